/** What the guest's conversations with the outside have in common. */

import type { DescriptorSet } from "../../../hv/sys/wait/descriptor_set.ts";
import type { ReachOptions } from "./addresses.ts";
import type { Output } from "./output.ts";

/** A conversation, with its descriptor on the host. */
export interface Flow extends Disposable {
  /**
   * Gives the guest what there is for it; false: it has no room, and is to be asked again at the next
   * turn.
   */
  pump(): boolean;
  /**
   * Does what is due.
   *
   * @returns When there is more to do, ns; Infinity: never.
   */
  tick(nowNs: number): number;
}

/** What conversations are made of. */
export interface FlowContext {
  readonly descriptors: DescriptorSet;
  readonly reach: ReachOptions;
  readonly output: Output;
  /** Monotonic time of this turn, ns. */
  readonly nowNs: number;
  /** The flow has something for the guest: `pump` is called at this turn's end, or the next one's. */
  ready(flow: Flow): void;
  /** The flow has something to do at that time. */
  wakeAt(ns: number): void;
}
