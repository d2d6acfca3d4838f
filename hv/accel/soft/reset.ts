/**
 * The processor after RESET (Intel SDM volume 3, table 10-1 "IA-32 and Intel 64 Processor States
 * Following Power-up, Reset, or INIT").
 */

import { bytesOf } from "../../core/record.ts";
import * as a from "../cpu_state.ts";
import { Activity } from "../cpu_state.ts";
import { DR6_ONES, DR7_ONES } from "./breakpoints.ts";
import type { Cpu } from "./cpu.ts";
import { SIGNATURE } from "./cpuid.ts";
import { setBounds } from "./segments.ts";
import { Seg } from "./state.ts";
import { setTsc } from "./time_stamp.ts";

const MEMORY = a.ACCESS_PRESENT | a.ACCESS_S;
/** Fast strings; no branch trace store, no precise event sampling. */
const MISC_ENABLE = 0x1801n;
const XSAVE_FCW = 0;
const XSAVE_MXCSR = 24;

/** Puts the processor into its state after RESET; index 0 runs. */
export function resetCpu(cpu: Cpu, index: number): void {
  const { state } = cpu;
  const kept = state.pending[0];
  bytesOf(state).fill(0);
  state.pending[0] = kept & ~0b110;
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
  state.cr0 = 0x6000_0010;
  state.dr6 = DR6_ONES;
  state.dr7 = DR7_ONES;
  state.apicBase = 0xfee0_0800n | (index === 0 ? 0x100n : 0n);
  state.pat = 0x0007_0406_0007_0406n;
  state.miscEnable = MISC_ENABLE;
  state.xcr0 = 1n;
  const xsave = new DataView(state.xsave.buffer, state.xsave.byteOffset, state.xsave.byteLength);
  xsave.setUint16(XSAVE_FCW, 0x40, true);
  xsave.setUint32(XSAVE_MXCSR, 0x1f80, true);
  state.activity = index === 0 ? Activity.running : Activity.awaitsInit;
  setTsc(state, 0n);
  cpu.blocks.flush();
  cpu.breakpoints.update();
  cpu.flags = 2;
  cpu.flushTranslations();
  cpu.modeChanged();
}
