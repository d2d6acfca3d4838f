/**
 * Accelerators: what runs guest code. `createVm` makes a machine, `openVm` opens it on another
 * thread from the handle that was posted there.
 *
 * @module
 */

import type { Clock } from "../core/time/clock.ts";
import type { AcceleratedVm } from "./accelerator.ts";
import { createKvmVm } from "./kvm/create.ts";
import { softCode } from "./load.ts";

export * from "./accelerator.ts";
export * from "./choose.ts";
export * from "./cpu_state.ts";
export { loadAccelerator } from "./load.ts";
export { openVm } from "./open.ts";
export { currentThreadId } from "../sys/thread.ts";

/** What a machine is made of. */
export interface VmOptions {
  readonly accelerator: "kvm" | "soft";
  /** The guest's memory, shared. */
  readonly memory: WebAssembly.Memory;
  /** Number of virtual processors. */
  readonly cpus: number;
  /** Processor and features, e.g. `host` or `host,-avx,+x2apic`; `host` when left out. */
  readonly cpu?: string;
  /** The machine's time, for an accelerator that has no counter of its own; default: the host's. */
  readonly clock?: Clock;
}

/**
 * Makes a machine: processors after RESET, no memory mapped. Disposing of it ends the machine, after
 * every other thread has disposed of what it opened.
 *
 * @throws Error with what was wrong and what to do
 */
export function createVm(options: VmOptions): AcceleratedVm {
  const { accelerator, memory, cpus, cpu = "host", clock } = options;
  if (accelerator === "kvm") return createKvmVm({ memory, cpus, cpu });
  return softCode().createSoftVm({ memory, cpus, cpu, time: clock });
}
