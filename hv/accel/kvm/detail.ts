/** What a KVM machine's handle carries from thread to thread: descriptors and shared tables. */

import { record, words } from "../../core/state/record.ts";
import type { PhysicalMapBuffers } from "../soft/memory/physical_map.ts";

/**
 * For every processor the number of the thread that has been signalled and has not yet taken the
 * signal, or 0: it keeps repeated kicks from filling the queue of signals.
 */
export const kickTable = (cpus: number) => record("kvm.kicks", 1, { threads: words(cpus) });

/** `VmHandle.detail` of a machine on KVM; everything in it may be posted to a worker. */
export interface KvmDetail {
  readonly systemFd: number;
  readonly vmFd: number;
  readonly vcpuFds: readonly number[];
  /** Bytes of struct kvm_run and the pages that follow it. */
  readonly runBytes: number;
  /** Registers that KVM can put into struct kvm_run (KVM_CAP_SYNC_REGS). */
  readonly syncRegisters: number;
  /** Does KVM run privileged code in its instruction emulator here? */
  readonly emulates: boolean;
  /** Host address of offset 0 of the guest's memory. */
  readonly memoryAddress: number;
  /** The memory slots, shared by the threads: KVM itself cannot be asked. */
  readonly map: PhysicalMapBuffers;
  /** What the software CPUs that help out share: see hv/accel/soft/world.ts. */
  readonly world: SharedArrayBuffer;
  /** A `FilledTable` for each processor: see gaps/filled.ts. */
  readonly filled: readonly SharedArrayBuffer[];
  /** A `kickTable`. */
  readonly kicks: SharedArrayBuffer;
  /** The chips' blobs as they were when the machine was made. */
  readonly resetChips: ReadonlyMap<string, Uint8Array>;
}
