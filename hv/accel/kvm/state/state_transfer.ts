/**
 * Copies a virtual processor's state between KVM and the common form (hv/accel/cpu_state.ts).
 *
 * Order of loading, for what depends on what: special registers before MSRs and the local APIC
 * (they enable it), MSRs before the events; the run state last.
 */

import { bytesOf } from "../../../core/state/record.ts";
import * as cpu from "../../cpu_state.ts";
import { type CpuState, GENERAL_REGISTERS, type SegmentState } from "../../cpu_state.ts";
import { missingFeatures } from "../../cr4_features.ts";
import { hasFeature } from "../cpuid.ts";
import { readCpuid } from "../cpuid_table.ts";
import * as k from "../api/ioctl.ts";
import { call } from "../api/ioctl.ts";
import { MSR_IA32_TSC, MsrFile, savedMsrs } from "./msr.ts";
import * as s from "../api/structs.ts";

const SEGMENTS = [
  ["es", "es"],
  ["cs", "cs"],
  ["ss", "ss"],
  ["ds", "ds"],
  ["fs", "fs"],
  ["gs", "gs"],
  ["ldtr", "ldt"],
  ["tr", "tr"],
] as const;

const CONTROL = ["cr0", "cr2", "cr3", "cr4", "cr8", "efer"] as const;

type KvmSegment = InstanceType<typeof s.kvm_segment>;

function make<T extends { readonly byteLength: number }>(
  type: T & (new (buffer: ArrayBufferLike) => InstanceOf<T>),
): InstanceOf<T> {
  return new type(new ArrayBuffer(type.byteLength));
}
type InstanceOf<T> = T extends new (buffer: ArrayBufferLike) => infer I ? I : never;

/** Saves and loads one virtual processor; not while it runs. */
export class StateTransfer {
  readonly #fd: number;
  readonly #msrs: readonly number[];
  readonly #msrFile: MsrFile;

  /** @param systemFd Descriptor of /dev/kvm. @param fd Descriptor of the vCPU. */
  constructor(systemFd: number, fd: number) {
    this.#fd = fd;
    this.#msrs = savedMsrs(systemFd);
    this.#msrFile = new MsrFile(fd);
  }

  /** Copies the processor's state into `state`. */
  save(state: CpuState): void {
    this.#saveRegisters(state);
    this.#saveFloatingPoint(state);
    this.#saveDebug(state);
    const lapic = new Uint8Array(s.kvm_lapic_state.byteLength);
    call(this.#fd, k.KVM_GET_LAPIC, lapic);
    state.apic.set(lapic);
    // The run state before the events: asking for it makes KVM act on a pending INIT or SIPI.
    const mp = make(s.kvm_mp_state);
    call(this.#fd, k.KVM_GET_MP_STATE, bytesOf(mp));
    state.activity = mp.mp_state;
    this.#saveEvents(state);
    state.tsc = this.#msrFile.read([MSR_IA32_TSC]).get(MSR_IA32_TSC) ?? 0n;
    const values = this.#msrFile.read(this.#msrs);
    state.msrCount = values.size;
    let i = 0;
    for (const [index, value] of values) {
      state.msrIndices[i] = index;
      state.msrValues[i++] = value;
    }
  }

  /**
   * The reverse of `save`.
   *
   * @throws SysError, Error where the host's KVM refuses a part of it
   */
  restore(state: CpuState): void {
    this.#restoreRegisters(state);
    this.#restoreFloatingPoint(state);
    this.#msrFile.write(new Map([[MSR_IA32_TSC, state.tsc]]));
    const msrs = new Map<number, bigint>();
    for (let i = 0; i < Math.min(state.msrCount, cpu.MAX_MSRS); i++) {
      msrs.set(state.msrIndices[i], state.msrValues[i]);
    }
    // The deadline counts only with the timer mode that the local APIC's registers give.
    const lapic = new Uint8Array(state.apic);
    call(this.#fd, k.KVM_SET_LAPIC, lapic);
    this.#msrFile.write(msrs);
    this.#restoreDebug(state);
    this.#restoreEvents(state);
    const mp = make(s.kvm_mp_state);
    mp.mp_state = state.activity;
    call(this.#fd, k.KVM_SET_MP_STATE, bytesOf(mp));
  }

  #saveRegisters(state: CpuState): void {
    const regs = make(s.kvm_regs);
    call(this.#fd, k.KVM_GET_REGS, bytesOf(regs));
    GENERAL_REGISTERS.forEach((name, i) => state.general[i] = regs[name]);
    state.rip = regs.rip;
    state.rflags = regs.rflags;

    const sregs = make(s.kvm_sregs);
    call(this.#fd, k.KVM_GET_SREGS, bytesOf(sregs));
    for (const [ours, theirs] of SEGMENTS) saveSegment(sregs[theirs], state[ours]);
    state.gdtr.base = sregs.gdt.base;
    state.gdtr.limit = sregs.gdt.limit;
    state.idtr.base = sregs.idt.base;
    state.idtr.limit = sregs.idt.limit;
    for (const name of CONTROL) state[name] = sregs[name];
    state.apicBase = sregs.apic_base;
  }

  #restoreRegisters(state: CpuState): void {
    const sregs = make(s.kvm_sregs);
    for (const [ours, theirs] of SEGMENTS) restoreSegment(state[ours], sregs[theirs]);
    sregs.gdt.base = state.gdtr.base;
    sregs.gdt.limit = state.gdtr.limit;
    sregs.idt.base = state.idtr.base;
    sregs.idt.limit = state.idtr.limit;
    for (const name of CONTROL) sregs[name] = state[name];
    sregs.apic_base = state.apicBase;
    this.#setSpecial(sregs);

    const regs = make(s.kvm_regs);
    GENERAL_REGISTERS.forEach((name, i) => regs[name] = state.general[i]);
    regs.rip = state.rip;
    regs.rflags = state.rflags;
    call(this.#fd, k.KVM_SET_REGS, bytesOf(regs));
  }

  #setSpecial(sregs: InstanceType<typeof s.kvm_sregs>): void {
    try {
      call(this.#fd, k.KVM_SET_SREGS, bytesOf(sregs));
    } catch (error) {
      const leaves = readCpuid(this.#fd);
      const missing = missingFeatures(sregs.cr4, (feature) => hasFeature(leaves, feature));
      if (missing.length === 0) throw error;
      throw new Error(
        `the guest uses ${missing.join(", ")} in CR4, which its processor on KVM does not have; ` +
          `start it with --cpu host,-${missing.join(",-")}`,
        { cause: error },
      );
    }
  }

  #saveFloatingPoint(state: CpuState): void {
    const xcrs = make(s.kvm_xcrs);
    call(this.#fd, k.KVM_GET_XCRS, bytesOf(xcrs));
    state.xcr0 = xcrs.nr_xcrs > 0 ? xcrs.xcrs[0].value : 1n;
    const area = new Uint8Array(s.kvm_xsave.byteLength);
    call(this.#fd, k.KVM_GET_XSAVE, area);
    state.xsave.set(area);
  }

  #restoreFloatingPoint(state: CpuState): void {
    const xcrs = make(s.kvm_xcrs);
    xcrs.nr_xcrs = 1;
    xcrs.xcrs[0].value = state.xcr0;
    call(this.#fd, k.KVM_SET_XCRS, bytesOf(xcrs));
    call(this.#fd, k.KVM_SET_XSAVE, new Uint8Array(state.xsave));
  }

  #saveDebug(state: CpuState): void {
    const debug = make(s.kvm_debugregs);
    call(this.#fd, k.KVM_GET_DEBUGREGS, bytesOf(debug));
    state.debugAddresses.set(debug.db);
    state.dr6 = debug.dr6;
    state.dr7 = debug.dr7;
  }

  #restoreDebug(state: CpuState): void {
    const debug = make(s.kvm_debugregs);
    debug.db.set(state.debugAddresses);
    debug.dr6 = state.dr6;
    debug.dr7 = state.dr7;
    call(this.#fd, k.KVM_SET_DEBUGREGS, bytesOf(debug));
  }

  #saveEvents(state: CpuState): void {
    const from = make(s.kvm_vcpu_events);
    call(this.#fd, k.KVM_GET_VCPU_EVENTS, bytesOf(from));
    const to = state.events;
    to.exceptionInjected = from.exception_injected !== 0;
    to.exceptionPending = from.exception_pending !== 0;
    to.exceptionVector = from.exception_nr;
    to.exceptionHasErrorCode = from.exception_has_error_code !== 0;
    to.exceptionErrorCode = from.exception_error_code;
    to.exceptionHasPayload = from.exception_has_payload !== 0;
    to.exceptionPayload = from.exception_payload;
    to.interruptInjected = from.interrupt_injected !== 0;
    to.interruptVector = from.interrupt_nr;
    to.interruptSoft = from.interrupt_soft !== 0;
    to.interruptShadow = from.interrupt_shadow;
    to.nmiInjected = from.nmi_injected !== 0;
    to.nmiPending = from.nmi_pending;
    to.nmiMasked = from.nmi_masked !== 0;
    to.smm = from.smi_smm !== 0;
    to.smiPending = from.smi_pending !== 0;
    to.smmInsideNmi = from.smi_smm_inside_nmi !== 0;
    to.initLatched = from.smi_latched_init !== 0;
    to.tripleFaultPending = from.triple_fault_pending !== 0;
    to.sipiVector = from.sipi_vector & 0xff;
  }

  #restoreEvents(state: CpuState): void {
    const from = state.events;
    const to = make(s.kvm_vcpu_events);
    to.flags = s.KVM_VCPUEVENT_VALID_NMI_PENDING | s.KVM_VCPUEVENT_VALID_SIPI_VECTOR |
      s.KVM_VCPUEVENT_VALID_SHADOW | s.KVM_VCPUEVENT_VALID_SMM;
    // Without KVM_CAP_EXCEPTION_PAYLOAD a pending exception is reported as one being delivered.
    to.exception_injected = Number(from.exceptionInjected || from.exceptionPending);
    to.exception_nr = from.exceptionVector;
    to.exception_has_error_code = Number(from.exceptionHasErrorCode);
    to.exception_error_code = from.exceptionErrorCode;
    to.interrupt_injected = Number(from.interruptInjected);
    to.interrupt_nr = from.interruptVector;
    to.interrupt_soft = Number(from.interruptSoft);
    to.interrupt_shadow = from.interruptShadow;
    to.nmi_injected = Number(from.nmiInjected);
    to.nmi_pending = from.nmiPending;
    to.nmi_masked = Number(from.nmiMasked);
    to.smi_smm = Number(from.smm);
    to.smi_pending = Number(from.smiPending);
    to.smi_smm_inside_nmi = Number(from.smmInsideNmi);
    to.smi_latched_init = Number(from.initLatched);
    to.sipi_vector = from.sipiVector;
    call(this.#fd, k.KVM_SET_VCPU_EVENTS, bytesOf(to));
  }
}

/** A segment register in the common form. */
export function saveSegment(
  from: KvmSegment,
  to: Pick<SegmentState, "base" | "limit" | "selector" | "access">,
): void {
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.access = (from.type & cpu.ACCESS_TYPE) |
    (from.s ? cpu.ACCESS_S : 0) |
    ((from.dpl & 3) << cpu.ACCESS_DPL_SHIFT) |
    (from.present ? cpu.ACCESS_PRESENT : 0) |
    (from.avl ? cpu.ACCESS_AVL : 0) |
    (from.l ? cpu.ACCESS_L : 0) |
    (from.db ? cpu.ACCESS_DB : 0) |
    (from.g ? cpu.ACCESS_G : 0) |
    (from.unusable ? cpu.ACCESS_UNUSABLE : 0);
}

/** The reverse of `saveSegment`. */
export function restoreSegment(
  from: Pick<SegmentState, "base" | "limit" | "selector" | "access">,
  to: KvmSegment,
): void {
  const bit = (mask: number) => (from.access & mask) !== 0 ? 1 : 0;
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.type = from.access & cpu.ACCESS_TYPE;
  to.s = bit(cpu.ACCESS_S);
  to.dpl = (from.access >> cpu.ACCESS_DPL_SHIFT) & 3;
  to.present = bit(cpu.ACCESS_PRESENT);
  to.avl = bit(cpu.ACCESS_AVL);
  to.l = bit(cpu.ACCESS_L);
  to.db = bit(cpu.ACCESS_DB);
  to.g = bit(cpu.ACCESS_G);
  to.unusable = bit(cpu.ACCESS_UNUSABLE);
}
