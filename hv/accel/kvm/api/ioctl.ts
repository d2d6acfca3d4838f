/**
 * The ioctls of KVM, each declared once: name, direction, number, structure, and the capability
 * that announces it (Documentation/virt/kvm/api.rst). The request numbers are computed as
 * <asm-generic/ioctl.h> does, and checked against <linux/kvm.h> in tests/accel/kvm.
 */

import { asBuffer } from "../../../sys/address.ts";
import { SysError } from "../../../sys/errors.ts";
import { errno, libc } from "../../../sys/libc.ts";
import * as s from "./structs.ts";

/** Capabilities by the names and numbers of <linux/kvm.h>. */
export const Cap = {
  KVM_CAP_IRQCHIP: 0,
  KVM_CAP_HLT: 1,
  KVM_CAP_USER_MEMORY: 3,
  KVM_CAP_SET_TSS_ADDR: 4,
  KVM_CAP_EXT_CPUID: 7,
  KVM_CAP_NR_VCPUS: 9,
  KVM_CAP_NR_MEMSLOTS: 10,
  KVM_CAP_MP_STATE: 14,
  KVM_CAP_SET_GUEST_DEBUG: 23,
  KVM_CAP_REINJECT_CONTROL: 24,
  KVM_CAP_IRQ_ROUTING: 25,
  KVM_CAP_IRQFD: 32,
  KVM_CAP_PIT2: 33,
  KVM_CAP_PIT_STATE2: 35,
  KVM_CAP_IOEVENTFD: 36,
  KVM_CAP_SET_IDENTITY_MAP_ADDR: 37,
  KVM_CAP_ADJUST_CLOCK: 39,
  KVM_CAP_VCPU_EVENTS: 41,
  KVM_CAP_DEBUGREGS: 50,
  KVM_CAP_ENABLE_CAP: 54,
  KVM_CAP_XSAVE: 55,
  KVM_CAP_XCRS: 56,
  KVM_CAP_TSC_CONTROL: 60,
  KVM_CAP_MAX_VCPUS: 66,
  KVM_CAP_TSC_DEADLINE_TIMER: 72,
  KVM_CAP_SYNC_REGS: 74,
  KVM_CAP_SIGNAL_MSI: 77,
  KVM_CAP_READONLY_MEM: 81,
  KVM_CAP_IMMEDIATE_EXIT: 136,
  KVM_CAP_EXCEPTION_PAYLOAD: 164,
  KVM_CAP_EXIT_ON_EMULATION_FAILURE: 204,
  KVM_CAP_XSAVE2: 208,
  KVM_CAP_X86_TRIPLE_FAULT_EVENT: 218,
} as const;
/** Name of a capability. */
export type CapName = keyof typeof Cap;

/** A declared ioctl. */
export interface Ioctl {
  readonly name: string;
  /** Request number. */
  readonly request: number;
  /** Capability that says the kernel has it; without one every kernel with API version 12 has. */
  readonly capability?: CapName;
}

const KVMIO = 0xae;
const WRITE = 1;
const READ = 2;

const ioc = (direction: number, number: number, size: number): number =>
  ((direction << 30) | (size << 16) | (KVMIO << 8) | number) >>> 0;

type Sized = { readonly byteLength: number };
const U64: Sized = { byteLength: 8 };
const declare = (name: string, request: number, capability?: CapName): Ioctl => ({
  name,
  request,
  capability,
});
const io = (name: string, number: number, cap?: CapName) => declare(name, ioc(0, number, 0), cap);
const ior = (name: string, number: number, type: Sized, cap?: CapName) =>
  declare(name, ioc(READ, number, type.byteLength), cap);
const iow = (name: string, number: number, type: Sized, cap?: CapName) =>
  declare(name, ioc(WRITE, number, type.byteLength), cap);
const iowr = (name: string, number: number, type: Sized, cap?: CapName) =>
  declare(name, ioc(READ | WRITE, number, type.byteLength), cap);

// Of the system (/dev/kvm).
export const KVM_GET_API_VERSION = io("KVM_GET_API_VERSION", 0x00);
export const KVM_CREATE_VM = io("KVM_CREATE_VM", 0x01);
export const KVM_GET_MSR_INDEX_LIST = iowr("KVM_GET_MSR_INDEX_LIST", 0x02, s.kvm_msr_list);
export const KVM_CHECK_EXTENSION = io("KVM_CHECK_EXTENSION", 0x03);
export const KVM_GET_VCPU_MMAP_SIZE = io("KVM_GET_VCPU_MMAP_SIZE", 0x04);
export const KVM_GET_SUPPORTED_CPUID = iowr(
  "KVM_GET_SUPPORTED_CPUID",
  0x05,
  s.kvm_cpuid2,
  "KVM_CAP_EXT_CPUID",
);

// Of a virtual machine.
export const KVM_CREATE_VCPU = io("KVM_CREATE_VCPU", 0x41);
export const KVM_GET_DIRTY_LOG = iow("KVM_GET_DIRTY_LOG", 0x42, s.kvm_dirty_log);
export const KVM_SET_USER_MEMORY_REGION = iow(
  "KVM_SET_USER_MEMORY_REGION",
  0x46,
  s.kvm_userspace_memory_region,
  "KVM_CAP_USER_MEMORY",
);
export const KVM_SET_TSS_ADDR = io("KVM_SET_TSS_ADDR", 0x47, "KVM_CAP_SET_TSS_ADDR");
export const KVM_SET_IDENTITY_MAP_ADDR = iow(
  "KVM_SET_IDENTITY_MAP_ADDR",
  0x48,
  U64,
  "KVM_CAP_SET_IDENTITY_MAP_ADDR",
);
export const KVM_CREATE_IRQCHIP = io("KVM_CREATE_IRQCHIP", 0x60, "KVM_CAP_IRQCHIP");
export const KVM_IRQ_LINE = iow("KVM_IRQ_LINE", 0x61, s.kvm_irq_level, "KVM_CAP_IRQCHIP");
export const KVM_GET_IRQCHIP = iowr("KVM_GET_IRQCHIP", 0x62, s.kvm_irqchip, "KVM_CAP_IRQCHIP");
export const KVM_SET_IRQCHIP = ior("KVM_SET_IRQCHIP", 0x63, s.kvm_irqchip, "KVM_CAP_IRQCHIP");
export const KVM_SET_GSI_ROUTING = iow(
  "KVM_SET_GSI_ROUTING",
  0x6a,
  s.kvm_irq_routing,
  "KVM_CAP_IRQ_ROUTING",
);
/** Takes a `kvm_reinject_control`, although its number does not say so. */
export const KVM_REINJECT_CONTROL = io("KVM_REINJECT_CONTROL", 0x71, "KVM_CAP_REINJECT_CONTROL");
export const KVM_IRQFD = iow("KVM_IRQFD", 0x76, s.kvm_irqfd, "KVM_CAP_IRQFD");
export const KVM_CREATE_PIT2 = iow("KVM_CREATE_PIT2", 0x77, s.kvm_pit_config, "KVM_CAP_PIT2");
export const KVM_IOEVENTFD = iow("KVM_IOEVENTFD", 0x79, s.kvm_ioeventfd, "KVM_CAP_IOEVENTFD");
export const KVM_SET_CLOCK = iow("KVM_SET_CLOCK", 0x7b, s.kvm_clock_data, "KVM_CAP_ADJUST_CLOCK");
export const KVM_GET_CLOCK = ior("KVM_GET_CLOCK", 0x7c, s.kvm_clock_data, "KVM_CAP_ADJUST_CLOCK");
export const KVM_GET_PIT2 = ior("KVM_GET_PIT2", 0x9f, s.kvm_pit_state2, "KVM_CAP_PIT_STATE2");
export const KVM_SET_PIT2 = iow("KVM_SET_PIT2", 0xa0, s.kvm_pit_state2, "KVM_CAP_PIT_STATE2");
export const KVM_SIGNAL_MSI = iow("KVM_SIGNAL_MSI", 0xa5, s.kvm_msi, "KVM_CAP_SIGNAL_MSI");

// Of a virtual processor.
export const KVM_RUN = io("KVM_RUN", 0x80);
export const KVM_GET_REGS = ior("KVM_GET_REGS", 0x81, s.kvm_regs);
export const KVM_SET_REGS = iow("KVM_SET_REGS", 0x82, s.kvm_regs);
export const KVM_GET_SREGS = ior("KVM_GET_SREGS", 0x83, s.kvm_sregs);
export const KVM_SET_SREGS = iow("KVM_SET_SREGS", 0x84, s.kvm_sregs);
export const KVM_TRANSLATE = iowr("KVM_TRANSLATE", 0x85, s.kvm_translation);
export const KVM_GET_MSRS = iowr("KVM_GET_MSRS", 0x88, s.kvm_msrs);
export const KVM_SET_MSRS = iow("KVM_SET_MSRS", 0x89, s.kvm_msrs);
export const KVM_SET_SIGNAL_MASK = iow("KVM_SET_SIGNAL_MASK", 0x8b, s.kvm_signal_mask);
export const KVM_GET_FPU = ior("KVM_GET_FPU", 0x8c, s.kvm_fpu);
export const KVM_SET_FPU = iow("KVM_SET_FPU", 0x8d, s.kvm_fpu);
export const KVM_GET_LAPIC = ior("KVM_GET_LAPIC", 0x8e, s.kvm_lapic_state, "KVM_CAP_IRQCHIP");
export const KVM_SET_LAPIC = iow("KVM_SET_LAPIC", 0x8f, s.kvm_lapic_state, "KVM_CAP_IRQCHIP");
export const KVM_SET_CPUID2 = iow("KVM_SET_CPUID2", 0x90, s.kvm_cpuid2, "KVM_CAP_EXT_CPUID");
export const KVM_GET_CPUID2 = iowr("KVM_GET_CPUID2", 0x91, s.kvm_cpuid2, "KVM_CAP_EXT_CPUID");
export const KVM_GET_MP_STATE = ior("KVM_GET_MP_STATE", 0x98, s.kvm_mp_state, "KVM_CAP_MP_STATE");
export const KVM_SET_MP_STATE = iow("KVM_SET_MP_STATE", 0x99, s.kvm_mp_state, "KVM_CAP_MP_STATE");
export const KVM_NMI = io("KVM_NMI", 0x9a);
export const KVM_SET_GUEST_DEBUG = iow(
  "KVM_SET_GUEST_DEBUG",
  0x9b,
  s.kvm_guest_debug,
  "KVM_CAP_SET_GUEST_DEBUG",
);
export const KVM_GET_VCPU_EVENTS = ior(
  "KVM_GET_VCPU_EVENTS",
  0x9f,
  s.kvm_vcpu_events,
  "KVM_CAP_VCPU_EVENTS",
);
export const KVM_SET_VCPU_EVENTS = iow(
  "KVM_SET_VCPU_EVENTS",
  0xa0,
  s.kvm_vcpu_events,
  "KVM_CAP_VCPU_EVENTS",
);
export const KVM_GET_DEBUGREGS = ior(
  "KVM_GET_DEBUGREGS",
  0xa1,
  s.kvm_debugregs,
  "KVM_CAP_DEBUGREGS",
);
export const KVM_SET_DEBUGREGS = iow(
  "KVM_SET_DEBUGREGS",
  0xa2,
  s.kvm_debugregs,
  "KVM_CAP_DEBUGREGS",
);
export const KVM_SET_TSC_KHZ = io("KVM_SET_TSC_KHZ", 0xa2, "KVM_CAP_TSC_CONTROL");
export const KVM_GET_TSC_KHZ = io("KVM_GET_TSC_KHZ", 0xa3);
export const KVM_ENABLE_CAP = iow("KVM_ENABLE_CAP", 0xa3, s.kvm_enable_cap, "KVM_CAP_ENABLE_CAP");
export const KVM_GET_XSAVE = ior("KVM_GET_XSAVE", 0xa4, s.kvm_xsave, "KVM_CAP_XSAVE");
export const KVM_SET_XSAVE = iow("KVM_SET_XSAVE", 0xa5, s.kvm_xsave, "KVM_CAP_XSAVE");
export const KVM_GET_XCRS = ior("KVM_GET_XCRS", 0xa6, s.kvm_xcrs, "KVM_CAP_XCRS");
export const KVM_SET_XCRS = iow("KVM_SET_XCRS", 0xa7, s.kvm_xcrs, "KVM_CAP_XCRS");

function failed(ioctl: Ioctl, hint?: string): SysError {
  const number = errno();
  return new SysError(
    `complete ${ioctl.name}`,
    number,
    hint ?? (ioctl.capability && `the host's KVM may lack ${ioctl.capability}`),
  );
}

/**
 * Calls `ioctl` with a structure, or null for 0.
 *
 * @throws SysError
 */
export function call(fd: number, ioctl: Ioctl, argument: ArrayBufferView | null): number {
  const { ioctl: invoke } = libc;
  const result = invoke(fd, ioctl.request, argument && asBuffer(argument));
  if (result < 0) throw failed(ioctl);
  return result;
}

/**
 * Calls `ioctl` with an integer.
 *
 * @param hint What the user can do when it fails.
 * @throws SysError
 */
export function callValue(fd: number, ioctl: Ioctl, argument: number, hint?: string): number {
  const { ioctlValue } = libc;
  const result = ioctlValue(fd, ioctl.request, BigInt(argument));
  if (result < 0) throw failed(ioctl, hint);
  return result;
}
