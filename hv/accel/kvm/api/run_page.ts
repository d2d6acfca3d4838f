/**
 * struct kvm_run, the page that KVM and the vCPU's thread share: offsets of the fields that are
 * read at every exit, and the exit reasons (<linux/kvm.h>). Numbers instead of a record, so that
 * an exit is decoded with plain typed-array reads and without a bigint.
 */

/** Offsets in bytes. */
export const RUN = {
  immediate_exit: 1,
  exit_reason: 8,
  flags: 14,
  cr8: 16,
  apic_base: 24,
  io_direction: 32,
  io_size: 33,
  io_port: 34,
  io_count: 36,
  io_data_offset: 40,
  mmio_phys_addr: 32,
  mmio_data: 40,
  mmio_len: 48,
  mmio_is_write: 52,
  hardware_exit_reason: 32,
  hardware_entry_failure_reason: 32,
  internal_suberror: 32,
  internal_ndata: 36,
  internal_data: 40,
  emulation_flags: 40,
  emulation_insn_size: 48,
  emulation_insn_bytes: 49,
  system_event_type: 32,
  debug_exception: 32,
  debug_pc: 40,
  kvm_valid_regs: 288,
  kvm_dirty_regs: 296,
  sync_regs: 304,
  sync_sregs: 448,
  sync_events: 760,
} as const;

/** Bits of `kvm_valid_regs` and `kvm_dirty_regs`. */
export const KVM_SYNC_X86_REGS = 1;
export const KVM_SYNC_X86_SREGS = 2;
export const KVM_SYNC_X86_EVENTS = 4;

/** Direction of a port access. */
export const KVM_EXIT_IO_OUT = 1;

export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_EXCEPTION = 1;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HYPERCALL = 3;
export const KVM_EXIT_DEBUG = 4;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_IRQ_WINDOW_OPEN = 7;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_SET_TPR = 11;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_SYSTEM_EVENT = 24;

/** `internal_suberror`. */
export const KVM_INTERNAL_ERROR_EMULATION = 1;
export const KVM_INTERNAL_ERROR_SIMUL_EX = 2;
export const KVM_INTERNAL_ERROR_DELIVERY_EV = 3;
export const KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4;
/** Bit of `emulation_flags`: the instruction's bytes are given. */
export const KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES = 1;
