/** The processor's state between memory 0 and the common form (hv/accel/cpu_state.ts). */

import { MAX_MSRS } from "../../cpu_state.ts";
import type { CpuState, EventState, SegmentState } from "../../cpu_state.ts";
import { ACCESS_DPL_SHIFT } from "../../cpu_state.ts";
import { cr4Bits, missingFeatures } from "../../cr4_features.ts";
import { XCR0_BITS } from "../model/cpuid.ts";
import { CR0_PE } from "./control_bits.ts";
import type { Cpu } from "../cpu.ts";
import { Vector } from "../events/faults.ts";
import { readMsr, savedMsrs, writeMsrUnchecked } from "../model/msr.ts";
import { setBounds } from "./segments.ts";
import { Pending } from "./state.ts";
import type { SegmentCache } from "./state.ts";
import { rotateImage } from "./x87_state.ts";
import { readTsc, setTsc, TSC_HZ } from "../model/time_stamp.ts";

const SEGMENT_NAMES = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"] as const;
const VM = 1n << 17n;
/** In the header of the XSAVE area. */
const XSTATE_BV = 512;
const X87_AND_SSE = 0b11;
/** What a debug exception that is due may say of itself. */
const DR6_CAUSES = 0xe00fn;

/** Copies what the processor holds to `to`. */
export function saveState(cpu: Cpu, to: CpuState): void {
  const from = cpu.state;
  to.general.set(from.general);
  to.rip = from.rip;
  to.rflags = BigInt(cpu.flags >>> 0);
  SEGMENT_NAMES.forEach((name, n) => copySegment(from.segments[n], to[name]));
  to.gdtr.base = from.gdtrBase;
  to.gdtr.limit = from.gdtrLimit;
  to.idtr.base = from.idtrBase;
  to.idtr.limit = from.idtrLimit;
  to.cr0 = BigInt(from.cr0);
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = BigInt(from.cr4);
  to.cr8 = BigInt(from.cr8);
  to.efer = BigInt(from.efer);
  to.apicBase = from.apicBase;
  to.debugAddresses.set(from.debugAddresses);
  to.dr6 = BigInt(from.dr6);
  to.dr7 = BigInt(from.dr7);
  to.xcr0 = from.xcr0;
  to.tsc = readTsc(cpu);
  to.xsave.set(from.xsave);
  rotateImage(to.xsave, cpu.x87.top);
  // A component whose bit is clear would be taken to be as after initialization.
  to.xsave[XSTATE_BV] |= X87_AND_SSE;
  to.apic.set(from.apic);
  const msrs = savedMsrs(cpu);
  to.msrCount = msrs.length;
  msrs.forEach((index, i) => {
    to.msrIndices[i] = index;
    to.msrValues[i] = readMsr(cpu, index) ?? 0n;
  });
  saveEvents(cpu, to.events);
  to.activity = from.halted ? 3 : from.activity;
}

function saveEvents(cpu: Cpu, to: EventState): void {
  const from = cpu.state;
  to.exceptionInjected = false;
  to.exceptionPending = to.exceptionHasPayload = from.pendingDebug !== 0;
  to.exceptionVector = from.pendingDebug !== 0 ? Vector.debug : 0;
  to.exceptionPayload = BigInt(from.pendingDebug);
  to.exceptionHasErrorCode = false;
  to.exceptionErrorCode = 0;
  to.interruptInjected = false;
  to.interruptShadow = from.shadow;
  to.nmiInjected = false;
  to.nmiPending = (from.pending[0] & Pending.nmi) !== 0 ? 1 : 0;
  to.nmiMasked = from.nmiMasked;
  to.sipiVector = from.sipiVector;
}

/** @throws Error for a state that this processor cannot have */
export function checkState(cpu: Cpu, { xcr0, cr4 }: CpuState): void {
  const fail = (what: string): Error =>
    new Error(`the guest uses ${what}, which the software CPU does not have`);
  const features = xcr0 & ~BigInt(XCR0_BITS);
  if (features !== 0n) throw fail(`processor state 0x${features.toString(16)} of XCR0 (AVX)`);
  const missing = missingFeatures(cr4, (feature) => cpu.features.has(feature));
  if (missing.length > 0) throw fail(`${missing.join(", ")} in CR4`);
  const bits = cr4 & ~BigInt(cr4Bits(cpu.features) >>> 0);
  if (bits !== 0n) throw fail(`bits 0x${bits.toString(16)} of CR4`);
}

/** The reverse of `saveState`. */
export function restoreState(cpu: Cpu, from: CpuState): void {
  const to = cpu.state;
  to.general.set(from.general);
  to.rip = from.rip;
  SEGMENT_NAMES.forEach((name, n) => {
    copySegment(from[name], to.segments[n]);
    setBounds(to.segments[n]);
  });
  to.gdtrBase = from.gdtr.base;
  to.gdtrLimit = from.gdtr.limit;
  to.idtrBase = from.idtr.base;
  to.idtrLimit = from.idtr.limit;
  to.cr0 = Number(from.cr0);
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = Number(from.cr4);
  to.cr8 = Number(from.cr8 & 15n);
  to.efer = Number(from.efer);
  to.apicBase = from.apicBase;
  to.debugAddresses.set(from.debugAddresses);
  to.dr6 = Number(from.dr6 & 0xffff_ffffn);
  to.dr7 = Number(from.dr7 & 0xffff_ffffn);
  cpu.breakpoints.update();
  to.xcr0 = from.xcr0;
  to.xsave.set(from.xsave);
  rotateImage(to.xsave, -cpu.x87.top);
  to.apic.set(from.apic);
  for (let i = 0; i < Math.min(from.msrCount, MAX_MSRS); i++) {
    writeMsrUnchecked(cpu, from.msrIndices[i], from.msrValues[i]);
  }
  restoreTsc(cpu, from.tsc);
  const real = (from.cr0 & BigInt(CR0_PE)) === 0n;
  const virtual8086 = (from.rflags & VM) !== 0n;
  to.cpl = real ? 0 : virtual8086 ? 3 : from.ss.access >> ACCESS_DPL_SHIFT & 3;
  restoreEvents(cpu, from.events);
  to.halted = from.activity === 3;
  to.activity = to.halted ? 0 : from.activity;
  to.link = 0;
  cpu.log.clear();
  cpu.flags = Number(from.rflags & 0xffff_ffffn);
  cpu.flushTranslations();
  cpu.modeChanged();
  cpu.requestAll(Pending.clock);
}

/**
 * The processors' counters were read one after the other: what differs by less than a second, once what
 * the guest has added is left out, was one counter and stays one.
 */
function restoreTsc(cpu: Cpu, tsc: bigint): void {
  const { state } = cpu;
  setTsc(cpu, tsc);
  const counted = state.tscOffset - state.tscAdjust;
  const apart = BigInt.asIntN(64, counted - cpu.bootTscBase);
  if (apart > -BigInt(TSC_HZ) && apart < BigInt(TSC_HZ)) {
    state.tscOffset = BigInt.asUintN(64, state.tscOffset - apart);
  }
}

function restoreEvents(cpu: Cpu, from: EventState): void {
  const to = cpu.state;
  to.shadow = from.interruptShadow & 3;
  to.interruptHeld = 1;
  const debug = from.exceptionPending && from.exceptionHasPayload &&
    from.exceptionVector === Vector.debug;
  to.pendingDebug = debug ? Number(from.exceptionPayload & DR6_CAUSES) : 0;
  to.nmiMasked = from.nmiMasked;
  to.sipiVector = from.sipiVector;
  if (from.nmiPending > 0 || from.nmiInjected) cpu.request(Pending.nmi);
  else cpu.unrequest(Pending.nmi);
}

function copySegment(
  from: SegmentCache | SegmentState,
  to: SegmentCache | SegmentState,
): void {
  to.base = from.base;
  to.limit = from.limit;
  to.access = from.access;
  to.selector = from.selector;
}
