/** What a machine is put together of, made ready before. */

import type { AcceleratedVm } from "../accel/accelerator.ts";
import { type AcceleratorDecision, createVm } from "../accel/mod.ts";
import type { ResolvedConfig } from "../options/config.ts";
import type { Clock } from "../core/time/clock.ts";
import { GuestMemory } from "../core/memory/guest_memory.ts";
import type { DirectKernel } from "./direct_kernel.ts";
import { HostError, UsageError } from "../errors.ts";
import type { IoParts } from "../io/io_parts.ts";
import type { ThreadParts } from "../threads/machine_thread.ts";
import { discardPages } from "../sys/memory_map.ts";
import type { WorkerSet } from "./worker_set.ts";

/** Room for ROM images and video memory. */
const DEVICE_BYTES = 8 << 20;

/** What is made ready before a machine is put together. */
export interface MachineParts {
  readonly decision: AcceleratorDecision;
  /** The code of what the board has; main serves no firmware but puts the built-in one into its ROM. */
  readonly board: ThreadParts;
  readonly kernel: DirectKernel | undefined;
  readonly io: IoParts;
  readonly workers: WorkerSet;
  /** What is to be given back when that fails, the last first. */
  readonly undo: Disposable[];
}

/** Gives guest memory back at once: the garbage collector may come much later, if at all. */
export function release({ memory }: GuestMemory): void {
  discardPages(new Uint8Array(memory.buffer));
}

/** The virtual machine on the accelerator that was chosen. */
export function createMachine(
  { cpus, cpu }: ResolvedConfig,
  accelerator: "kvm" | "soft",
  { memory }: GuestMemory,
  clock: Clock,
): AcceleratedVm {
  try {
    return createVm({ accelerator, memory, cpus, cpu, clock });
  } catch (error) {
    const { name, message } = error as Error;
    if (name === "CpuError" || name === "RangeError") {
      throw new UsageError(message, { cause: error });
    }
    throw new HostError(message, { cause: error });
  }
}

/** Memory of the guest, with room for ROM images and video memory. */
export function allocateMemory(ramBytes: number): GuestMemory {
  try {
    return GuestMemory.allocate(ramBytes, DEVICE_BYTES);
  } catch (cause) {
    throw new HostError(
      `Cannot reserve ${ramBytes / 2 ** 20} MiB of guest memory: ${(cause as Error).message}; ` +
        "give the guest less with --memory",
      { cause },
    );
  }
}
