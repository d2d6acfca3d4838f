/** What a virtqueue is made of underneath: split or packed. Called under the device's lock. */

import type { DescriptorChain, VirtqueueFault } from "./descriptor_chain.ts";

/** What has been negotiated, and what the device can do; asked at every use. */
export interface QueueRules {
  /** The largest size of the queue: also the most descriptors in a chain. */
  readonly maxSize: number;
  /** VIRTIO_F_INDIRECT_DESC. */
  readonly indirect: boolean;
  /** VIRTIO_F_EVENT_IDX. */
  readonly eventIndex: boolean;
}

/** A buffer that goes back. */
export interface Given {
  readonly chain: DescriptorChain;
  /** Bytes of what the device may write that it has written, from the first on. */
  readonly written: number;
}

/** See above. */
export interface Ring {
  /** Do all of its parts lie in RAM, aligned as they have to be? */
  isPlaced(): boolean;
  /** The queue is being enabled: nothing has been taken or given. */
  start(): void;
  /** Has the driver made something available? Without the lock it is a guess. */
  hasAvailable(): boolean;
  /** Takes the next buffer; undefined: there is none; a number: what is wrong. */
  take(): DescriptorChain | VirtqueueFault | undefined;
  /** Leaves the buffer that was taken last where it was: it is taken again. */
  untake(chain: DescriptorChain): void;
  /** Gives buffers back such that the driver sees all of them or none yet. */
  give(buffers: readonly Given[]): void;
  /** Asks the driver to notify when it makes the next buffer available. */
  wantNotifications(): void;
  /** The driver need not notify. */
  refuseNotifications(): void;
  /** Does the driver want an interrupt for what has been given back since this was last asked? */
  wantsInterrupt(): boolean;
}
