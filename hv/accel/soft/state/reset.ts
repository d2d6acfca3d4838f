/**
 * The processor after RESET (Intel SDM volume 3, table 10-1 "IA-32 and Intel 64 Processor States
 * Following Power-up, Reset, or INIT").
 */

import { bytesOf } from "../../../core/state/record.ts";
import * as a from "../../cpu_state.ts";
import { Activity } from "../../cpu_state.ts";
import { DR6_ONES, DR7_ONES } from "../events/breakpoints.ts";
import type { Cpu } from "../cpu.ts";
import { SIGNATURE } from "../model/cpuid.ts";
import { setBounds } from "./segments.ts";
import { Pending, Seg } from "./state.ts";
import { setTsc } from "../model/time_stamp.ts";

const MEMORY = a.ACCESS_PRESENT | a.ACCESS_S;
/** Fast strings; no branch trace store, no precise event sampling. */
const MISC_ENABLE = 0x1801n;
/** CR0.CD and CR0.NW. */
const CACHE_BITS = 0x6000_0000;
const XSAVE_FCW = 0;
const XSAVE_MXCSR = 24;

/** Puts the processor into its state after RESET; index 0 runs. */
export function resetCpu(cpu: Cpu, index: number): void {
  const { state } = cpu;
  const kept = state.pending[0];
  bytesOf(state).fill(0);
  state.pending[0] = kept & ~(Pending.interrupt | Pending.nmi);
  state.cr0 = 0x6000_0010;
  state.apicBase = 0xfee0_0800n | (index === 0 ? 0x100n : 0n);
  state.pat = 0x0007_0406_0007_0406n;
  state.miscEnable = MISC_ENABLE;
  state.xcr0 = 1n;
  const xsave = new DataView(state.xsave.buffer, state.xsave.byteOffset, state.xsave.byteLength);
  xsave.setUint16(XSAVE_FCW, 0x40, true);
  xsave.setUint32(XSAVE_MXCSR, 0x1f80, true);
  state.activity = index === 0 ? Activity.running : Activity.awaitsInit;
  // All counters are one; processor 0 is reset first.
  if (index === 0) setTsc(cpu, 0n);
  else state.tscOffset = BigInt.asUintN(64, cpu.bootTscBase);
  cpu.blocks.flush();
  setInitialRegisters(cpu);
}

/**
 * INIT: as RESET, but x87 and vector registers, memory type ranges and most other MSRs, the time-stamp
 * counter and the caches' bits of CR0 stay. Processor 0 runs, the others wait for the start-up
 * interrupt (SDM volume 3, 9.4.3).
 */
export function initCpu(cpu: Cpu): void {
  const { state } = cpu;
  cpu.unrequest(Pending.nmi);
  state.general.fill(0n);
  for (const segment of state.segments) bytesOf(segment).fill(0);
  state.cr0 = state.cr0 & CACHE_BITS | 0x10;
  state.cr2 =
    state.cr3 =
    state.gdtrBase =
    state.idtrBase =
      0n;
  state.cr4 =
    state.efer =
    state.cpl =
    state.shadow =
      0;
  state.kvmSystemTime = 0n; // as KVM does
  state.halted = state.nmiMasked = false;
  state.interruptHeld = 1;
  state.debugAddresses.fill(0n);
  state.activity = cpu.index === 0 ? Activity.running : Activity.awaitsSipi;
  cpu.log.clear();
  setInitialRegisters(cpu);
}

/** The start-up interrupt: real-address mode from 1000h * `vector` (SDM volume 3, 9.4.4). */
export function startCpu(cpu: Cpu, vector: number): void {
  const { state } = cpu;
  const cs = state.segments[Seg.cs];
  cs.selector = vector << 8;
  cs.base = BigInt(vector << 12);
  state.rip = 0n;
  state.sipiVector = vector;
  state.activity = Activity.running;
  cpu.modeChanged();
}

/** What RESET and INIT set alike. */
function setInitialRegisters(cpu: Cpu): void {
  const { state } = cpu;
  state.general[2] = BigInt(SIGNATURE);
  state.rip = 0xfff0n;
  for (let n = 0; n < 6; n++) {
    const segment = state.segments[n];
    segment.limit = 0xffff;
    segment.access = MEMORY | 0x3;
  }
  const cs = state.segments[Seg.cs];
  cs.base = 0xffff_0000n;
  cs.selector = 0xf000;
  cs.access = MEMORY | 0xb;
  for (const [n, type] of [[Seg.ldtr, 0x2], [Seg.tr, 0xb]] as const) {
    state.segments[n].limit = 0xffff;
    state.segments[n].access = a.ACCESS_PRESENT | type;
  }
  for (const segment of state.segments) setBounds(segment);
  state.gdtrLimit = state.idtrLimit = 0xffff;
  state.dr6 = DR6_ONES;
  state.dr7 = DR7_ONES;
  cpu.breakpoints.update();
  cpu.flags = 2;
  cpu.flushTranslations();
  cpu.modeChanged();
}
