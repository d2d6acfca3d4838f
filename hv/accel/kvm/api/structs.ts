/**
 * Structures of <linux/kvm.h> and <asm/kvm.h> for x86, with the names that those use; their layout
 * is checked against the compiler's in tests/accel/kvm. Unions are given by the member that is used, and
 * a structure that ends in a flexible array by its head.
 */

import {
  bytes,
  i32,
  list,
  nested,
  record,
  u16,
  u32,
  u32s,
  u64,
  u64s,
  u8,
} from "../../../core/state/record.ts";

export const kvm_userspace_memory_region = record("kvm_userspace_memory_region", 1, {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});
/** Flags of a memory region. */
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;

export const kvm_regs = record("kvm_regs", 1, {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});

export const kvm_segment = record("kvm_segment", 1, {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});

export const kvm_dtable = record("kvm_dtable", 1, { base: u64, limit: u16, padding: bytes(6) });

export const kvm_sregs = record("kvm_sregs", 1, {
  cs: nested(kvm_segment),
  ds: nested(kvm_segment),
  es: nested(kvm_segment),
  fs: nested(kvm_segment),
  gs: nested(kvm_segment),
  ss: nested(kvm_segment),
  tr: nested(kvm_segment),
  ldt: nested(kvm_segment),
  gdt: nested(kvm_dtable),
  idt: nested(kvm_dtable),
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: u64s(4),
});

export const kvm_fpu = record("kvm_fpu", 1, {
  fpr: bytes(128),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: u8,
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: bytes(256),
  mxcsr: u32,
  pad2: u32,
});

export const kvm_xsave = record("kvm_xsave", 1, { region: u32s(1024) });

export const kvm_xcr = record("kvm_xcr", 1, { xcr: u32, reserved: u32, value: u64 });
export const kvm_xcrs = record("kvm_xcrs", 1, {
  nr_xcrs: u32,
  flags: u32,
  xcrs: list(kvm_xcr, 16),
  padding: u64s(16),
});

export const kvm_msr_entry = record("kvm_msr_entry", 1, { index: u32, reserved: u32, data: u64 });
/** Followed by `nmsrs` entries. */
export const kvm_msrs = record("kvm_msrs", 1, { nmsrs: u32, pad: u32 });
/** Followed by `nmsrs` 32-bit indices. */
export const kvm_msr_list = record("kvm_msr_list", 1, { nmsrs: u32 });

export const kvm_cpuid_entry2 = record("kvm_cpuid_entry2", 1, {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: u32s(3),
});
/** Flag of an entry whose `index` (ECX) counts. */
export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;
/** Followed by `nent` entries. */
export const kvm_cpuid2 = record("kvm_cpuid2", 1, { nent: u32, padding: u32 });

/** The nested structures `exception`, `interrupt`, `nmi`, `smi` and `triple_fault` are flattened. */
export const kvm_vcpu_events = record("kvm_vcpu_events", 1, {
  exception_injected: u8,
  exception_nr: u8,
  exception_has_error_code: u8,
  exception_pending: u8,
  exception_error_code: u32,
  interrupt_injected: u8,
  interrupt_nr: u8,
  interrupt_soft: u8,
  interrupt_shadow: u8,
  nmi_injected: u8,
  nmi_pending: u8,
  nmi_masked: u8,
  nmi_pad: u8,
  sipi_vector: u32,
  flags: u32,
  smi_smm: u8,
  smi_pending: u8,
  smi_smm_inside_nmi: u8,
  smi_latched_init: u8,
  triple_fault_pending: u8,
  reserved: bytes(26),
  exception_has_payload: u8,
  exception_payload: u64,
});
/** Flags of `kvm_vcpu_events`: which fields count. */
export const KVM_VCPUEVENT_VALID_NMI_PENDING = 0x01;
export const KVM_VCPUEVENT_VALID_SIPI_VECTOR = 0x02;
export const KVM_VCPUEVENT_VALID_SHADOW = 0x04;
export const KVM_VCPUEVENT_VALID_SMM = 0x08;
export const KVM_VCPUEVENT_VALID_PAYLOAD = 0x10;
export const KVM_VCPUEVENT_VALID_TRIPLE_FAULT = 0x20;

export const kvm_debugregs = record("kvm_debugregs", 1, {
  db: u64s(4),
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: u64s(9),
});

export const kvm_mp_state = record("kvm_mp_state", 1, { mp_state: u32 });
export const kvm_lapic_state = record("kvm_lapic_state", 1, { regs: bytes(0x400) });
export const kvm_irq_level = record("kvm_irq_level", 1, { irq: u32, level: u32 });

/** `chip` holds a kvm_pic_state (16 bytes) or a kvm_ioapic_state (216 bytes). */
export const kvm_irqchip = record("kvm_irqchip", 1, { chip_id: u32, pad: u32, chip: u64s(64) });
export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;

export const kvm_pit_config = record("kvm_pit_config", 1, { flags: u32, pad: u32s(15) });
/** The speaker's port 61h is answered in the kernel, as a dummy. */
export const KVM_PIT_SPEAKER_DUMMY = 1;

export const kvm_pit_channel_state = record("kvm_pit_channel_state", 1, {
  count: u32,
  latched_count: u16,
  count_latched: u8,
  status_latched: u8,
  status: u8,
  read_state: u8,
  write_state: u8,
  write_latch: u8,
  rw_mode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
  count_load_time: u64,
});
export const kvm_pit_state2 = record("kvm_pit_state2", 1, {
  channels: list(kvm_pit_channel_state, 3),
  flags: u32,
  reserved: u32s(9),
});

/** `u` is, for KVM_IRQ_ROUTING_IRQCHIP: chip, pin; for KVM_IRQ_ROUTING_MSI: address, data. */
export const kvm_irq_routing_entry = record("kvm_irq_routing_entry", 1, {
  gsi: u32,
  type: u32,
  flags: u32,
  pad: u32,
  // The union holds 64-bit members, which align it.
  u: u64s(4),
});
export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
/** Followed by `nr` entries. */
export const kvm_irq_routing = record("kvm_irq_routing", 1, { nr: u32, flags: u32 });

export const kvm_irqfd = record("kvm_irqfd", 1, {
  fd: u32,
  gsi: u32,
  flags: u32,
  resamplefd: u32,
  pad: bytes(16),
});
export const KVM_IRQFD_FLAG_DEASSIGN = 1;

export const kvm_reinject_control = record("kvm_reinject_control", 1, {
  pit_reinject: u8,
  reserved: bytes(31),
});

export const kvm_ioeventfd = record("kvm_ioeventfd", 1, {
  datamatch: u64,
  addr: u64,
  len: u32,
  fd: i32,
  flags: u32,
  pad: bytes(36),
});
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;

export const kvm_msi = record("kvm_msi", 1, {
  address_lo: u32,
  address_hi: u32,
  data: u32,
  flags: u32,
  devid: u32,
  pad: bytes(12),
});

export const kvm_clock_data = record("kvm_clock_data", 1, {
  clock: u64,
  flags: u32,
  pad0: u32,
  realtime: u64,
  host_tsc: u64,
  pad: u32s(4),
});

export const kvm_dirty_log = record("kvm_dirty_log", 1, {
  slot: u32,
  padding1: u32,
  dirty_bitmap: u64,
});

export const kvm_enable_cap = record("kvm_enable_cap", 1, {
  cap: u32,
  flags: u32,
  args: u64s(4),
  pad: bytes(64),
});

/** Followed by `len` bytes of the kernel's sigset_t, which has 8. */
export const kvm_signal_mask = record("kvm_signal_mask", 1, { len: u32 });

export const kvm_guest_debug = record("kvm_guest_debug", 1, {
  control: u32,
  pad: u32,
  debugreg: u64s(8),
});

export const kvm_translation = record("kvm_translation", 1, {
  linear_address: u64,
  physical_address: u64,
  valid: u8,
  writeable: u8,
  usermode: u8,
  pad: bytes(5),
});
