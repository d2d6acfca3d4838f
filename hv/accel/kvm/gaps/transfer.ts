/**
 * The registers of a processor from KVM to the software CPU and back, for one instruction: only those
 * that it needs, and back only those that it has changed.
 */

import { bytesOf } from "../../../core/state/record.ts";
import type { Cpu } from "../../soft/cpu.ts";
import { readMsr, writeMsrUnchecked } from "../../soft/model/msr.ts";
import { setBounds } from "../../soft/state/segments.ts";
import { Pending } from "../../soft/state/state.ts";
import { rotateImage } from "../../soft/state/x87_state.ts";
import * as k from "../api/ioctl.ts";
import { call } from "../api/ioctl.ts";
import { MSR_IA32_TSC, MsrFile } from "../state/msr.ts";
import type { RegisterSync } from "../state/register_sync.ts";
import { restoreSegment, saveSegment } from "../state/state_transfer.ts";
import * as s from "../api/structs.ts";
import { type Needs, NO_NEEDS, unite } from "./needs.ts";

/** kvm_regs' order of the general registers, by their numbers as encoded. */
const PLACES = [0, 2, 3, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
const RIP = 16;
const RFLAGS = 17;
/** The segment registers by the software CPU's numbers. */
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr"] as const;
const CR0_PE = 1;
const VM = 1 << 17;
const DR7_NONE = 0x400;
const XSTATE_BV = 512;
/** x87 and SSE. */
const LEGACY_STATE = 3;

/** STAR to FMASK, KERNEL_GS_BASE, TSC_AUX, SYSENTER's, XSS. */
const MSRS = [
  ...[0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0102, 0xc000_0103],
  ...[0x174, 0x175, 0x176, 0xda0],
];

const buffer = (type: { readonly byteLength: number }) => new ArrayBuffer(type.byteLength);

/** See above. */
export class Transfer {
  readonly #fd: number;
  readonly #cpu: Cpu;
  readonly #sync: RegisterSync;
  readonly #msrFile: MsrFile;
  readonly #regs = new BigUint64Array(buffer(s.kvm_regs));
  readonly #regsBytes = new Uint8Array(this.#regs.buffer);
  readonly #sregs = new s.kvm_sregs(buffer(s.kvm_sregs));
  readonly #sregsBytes = bytesOf(this.#sregs);
  /** The special registers that the software CPU has. */
  readonly #held = new Uint8Array(buffer(s.kvm_sregs)).fill(0xff);
  #heldVm = 0;
  readonly #events = new s.kvm_vcpu_events(buffer(s.kvm_vcpu_events));
  readonly #eventsBytes = bytesOf(this.#events);
  readonly #xsave = new Uint8Array(buffer(s.kvm_xsave));
  readonly #debug = new s.kvm_debugregs(buffer(s.kvm_debugregs));
  #msrs = new Map<number, bigint>();
  #loaded: Needs = NO_NEEDS;

  /** @param fd Descriptor of the vCPU. */
  constructor(fd: number, cpu: Cpu, sync: RegisterSync) {
    this.#fd = fd;
    this.#cpu = cpu;
    this.#sync = sync;
    this.#msrFile = new MsrFile(fd);
  }

  /** Base of the local APIC's page, as of the last `load`. */
  get apicBase(): bigint {
    return this.#sregs.apic_base;
  }

  /** Vector of an exception that KVM is delivering, or undefined. */
  get exception(): number | undefined {
    const { exception_injected, exception_pending, exception_nr } = this.#events;
    return exception_injected !== 0 || exception_pending !== 0 ? exception_nr : undefined;
  }

  /** Takes general, segment and control registers and events from KVM. */
  load(): void {
    const cpu = this.#cpu;
    const { state } = cpu;
    const regs = this.#regs;
    this.#sync.load(this.#regsBytes);
    this.#sync.loadSpecial(this.#sregsBytes);
    this.#sync.loadEvents(this.#eventsBytes);
    for (let n = 0; n < 16; n++) state.general[n] = regs[PLACES[n]];
    state.rip = regs[RIP];
    const flags = Number(regs[RFLAGS] & 0xffff_ffffn);
    if ((flags & VM) !== this.#heldVm || !this.#isHeld()) this.#loadSpecial(flags);
    cpu.flags = flags;
    cpu.unrequest(Pending.interrupt);
    state.cr2 = this.#sregs.cr2;
    state.shadow = this.#events.interrupt_shadow & 3;
    state.nmiMasked = this.#events.nmi_masked !== 0;
    state.halted = false;
    state.activity = 0;
    state.link = 0;
    // With DR7 at 0 there are no breakpoints here: KVM has looked for them already.
    state.dr7 = DR7_NONE;
    state.pendingDebug = 0;
    if (this.#loaded.debug) cpu.breakpoints.update();
    this.#loaded = NO_NEEDS;
  }

  /** Takes what the instruction needs beyond that, unless an instruction before it has. */
  loadFor(needs: Needs): void {
    const { state, x87 } = this.#cpu;
    const had = this.#loaded;
    if (needs.floating && !had.floating) {
      call(this.#fd, k.KVM_GET_XSAVE, this.#xsave);
      state.xsave.set(this.#xsave);
      rotateImage(state.xsave, -x87.top);
    }
    if (needs.xcr0 && !had.xcr0) {
      const xcrs = new s.kvm_xcrs(buffer(s.kvm_xcrs));
      call(this.#fd, k.KVM_GET_XCRS, bytesOf(xcrs));
      state.xcr0 = xcrs.nr_xcrs > 0 ? xcrs.xcrs[0].value : 1n;
    }
    if (needs.msrs && !had.msrs) {
      this.#msrs = this.#msrFile.read(MSRS);
      for (const [index, value] of this.#msrs) writeMsrUnchecked(this.#cpu, index, value);
    }
    if (needs.tsc) {
      const tsc = this.#msrFile.read([MSR_IA32_TSC]).get(MSR_IA32_TSC);
      if (tsc !== undefined) writeMsrUnchecked(this.#cpu, MSR_IA32_TSC, tsc);
    }
    if (needs.debug && !had.debug) {
      call(this.#fd, k.KVM_GET_DEBUGREGS, bytesOf(this.#debug));
      state.debugAddresses.set(this.#debug.db);
      state.dr6 = Number(this.#debug.dr6 & 0xffff_ffffn);
      state.dr7 = Number(this.#debug.dr7 & 0xffff_ffffn);
    }
    this.#loaded = unite(had, needs);
  }

  /** Gives KVM what has changed since `load`. */
  store(): void {
    const { state } = this.#cpu;
    const regs = this.#regs;
    this.#storeBeyond();
    for (let n = 0; n < 16; n++) regs[PLACES[n]] = state.general[n];
    regs[RIP] = state.rip;
    regs[RFLAGS] = BigInt(this.#cpu.flags >>> 0);
    this.#sync.store(this.#regsBytes);
    this.#storeSpecial();
    this.#storeEvents();
  }

  /** What the software CPU has is not to be used again: an instruction was given up. */
  abandon(): void {
    this.#held.fill(0xff);
  }

  #isHeld(): boolean {
    const now = this.#sregsBytes;
    const held = this.#held;
    for (let i = 0; i < now.length; i++) if (now[i] !== held[i]) return false;
    return true;
  }

  #loadSpecial(flags: number): void {
    const { state } = this.#cpu;
    const sregs = this.#sregs;
    for (const [n, name] of SEGMENTS.entries()) {
      const segment = state.segments[n];
      saveSegment(sregs[name], segment);
      setBounds(segment);
    }
    state.gdtrBase = sregs.gdt.base;
    state.gdtrLimit = sregs.gdt.limit;
    state.idtrBase = sregs.idt.base;
    state.idtrLimit = sregs.idt.limit;
    state.cr0 = Number(sregs.cr0);
    state.cr3 = sregs.cr3;
    state.cr4 = Number(sregs.cr4);
    state.cr8 = Number(sregs.cr8 & 15n);
    state.efer = Number(sregs.efer);
    state.apicBase = sregs.apic_base;
    const real = (state.cr0 & CR0_PE) === 0;
    state.cpl = real ? 0 : (flags & VM) !== 0 ? 3 : sregs.ss.dpl & 3;
    this.#held.set(this.#sregsBytes);
    this.#heldVm = flags & VM;
    this.#cpu.modeChanged();
  }

  #storeSpecial(): void {
    const { state } = this.#cpu;
    const sregs = this.#sregs;
    for (const [n, name] of SEGMENTS.entries()) restoreSegment(state.segments[n], sregs[name]);
    // KVM takes the privilege level from here, in real-address mode too.
    if ((state.cr0 & CR0_PE) !== 0) sregs.ss.dpl = state.cpl;
    sregs.gdt.base = state.gdtrBase;
    sregs.gdt.limit = state.gdtrLimit;
    sregs.idt.base = state.idtrBase;
    sregs.idt.limit = state.idtrLimit;
    sregs.cr0 = BigInt(state.cr0 >>> 0);
    sregs.cr2 = state.cr2;
    sregs.cr3 = state.cr3;
    sregs.cr4 = BigInt(state.cr4 >>> 0);
    sregs.cr8 = BigInt(state.cr8);
    sregs.efer = BigInt(state.efer);
    if (this.#loaded.flush) this.#flush();
    this.#heldVm = this.#cpu.flags & VM;
    if (this.#isHeld()) return;
    this.#held.set(this.#sregsBytes);
    this.#sync.storeSpecial(this.#sregsBytes);
  }

  /** KVM forgets what it has cached of the page tables when CR4.PGE changes. */
  #flush(): void {
    const sregs = this.#sregs;
    const CR4_PGE = 0x80n;
    this.#sync.flush();
    sregs.cr4 ^= CR4_PGE;
    call(this.#fd, k.KVM_SET_SREGS, this.#sregsBytes);
    sregs.cr4 ^= CR4_PGE;
    call(this.#fd, k.KVM_SET_SREGS, this.#sregsBytes);
    this.#held.set(this.#sregsBytes);
  }

  #storeEvents(): void {
    const { state } = this.#cpu;
    const events = this.#events;
    const masked = Number(state.nmiMasked);
    if (events.interrupt_shadow === state.shadow && events.nmi_masked === masked) return;
    events.interrupt_shadow = state.shadow;
    events.nmi_masked = masked;
    // An exception that was pending is over; others may have come meanwhile that KVM knows better.
    events.exception_injected = events.exception_pending = events.exception_has_payload = 0;
    events.flags = s.KVM_VCPUEVENT_VALID_SHADOW;
    this.#sync.storeEvents(this.#eventsBytes);
  }

  #storeBeyond(): void {
    const needs = this.#loaded;
    const { state, x87 } = this.#cpu;
    if (needs.floating) {
      const now = state.xsave.slice(0, this.#xsave.length);
      rotateImage(now, x87.top);
      // What is not said to be in use would be as after initialization.
      const view = new DataView(now.buffer);
      let used = view.getUint32(XSTATE_BV, true) | LEGACY_STATE;
      for (const { bit, offset, bytes } of this.#cpu.components) {
        if (now.subarray(offset, offset + bytes).some((byte) => byte !== 0)) used |= bit;
      }
      view.setUint32(XSTATE_BV, used, true);
      const before = new Int32Array(this.#xsave.buffer);
      if (new Int32Array(now.buffer).some((word, i) => word !== before[i])) {
        call(this.#fd, k.KVM_SET_XSAVE, now);
      }
    }
    if (needs.xcr0) {
      const xcrs = new s.kvm_xcrs(buffer(s.kvm_xcrs));
      xcrs.nr_xcrs = 1;
      xcrs.xcrs[0].value = state.xcr0;
      call(this.#fd, k.KVM_SET_XCRS, bytesOf(xcrs));
    }
    if (needs.msrs) {
      const changed = new Map<number, bigint>();
      for (const [index, before] of this.#msrs) {
        const now = readMsr(this.#cpu, index);
        if (now !== undefined && now !== before) changed.set(index, now);
      }
      if (changed.size > 0) this.#msrFile.write(changed);
    }
    if (!needs.debug) return;
    this.#debug.db.set(state.debugAddresses);
    this.#debug.dr6 = BigInt(state.dr6 >>> 0);
    this.#debug.dr7 = BigInt(state.dr7 >>> 0);
    call(this.#fd, k.KVM_SET_DEBUGREGS, bytesOf(this.#debug));
  }
}
