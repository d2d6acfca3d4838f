/** What a KVM machine's handle carries from thread to thread: descriptors and shared tables. */

import { f64, flag, list, record, words } from "../../core/record.ts";

/** Memory slots that hv uses at most; KVM has thousands. */
export const MAX_SLOTS = 64;

/** A slot as it was last mapped; `length` 0 when it is not. Addresses and lengths in bytes. */
export const SlotEntry = record("kvm.slot", 1, {
  guestAddress: f64,
  length: f64,
  memoryOffset: f64,
  readOnly: flag,
  logDirty: flag,
});

/** The slots, shared by the threads: KVM itself cannot be asked. */
export const SlotTable = record("kvm.slots", 1, { entries: list(SlotEntry, MAX_SLOTS) });

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
  /** Where `emulatesRealMode`: see gaps/user_step.ts. */
  readonly scratch: WebAssembly.Memory | undefined;
  /** Host address of offset 0 of the guest's memory. */
  readonly memoryAddress: number;
  /** A `SlotTable`. */
  readonly slots: SharedArrayBuffer;
  /** A `kickTable`. */
  readonly kicks: SharedArrayBuffer;
  /** The chips' blobs as they were when the machine was made. */
  readonly resetChips: ReadonlyMap<string, Uint8Array>;
}
