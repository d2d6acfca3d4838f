/** SYSCALL, SYSRET, SYSENTER, SYSEXIT (Intel SDM volume 2; AMD APM volume 3). */

import { isCanonical } from "../memory/linear_address.ts";
import * as a from "../../cpu_state.ts";
import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { IF, RF, TF, VM } from "../state/flags_word.ts";
import { setBounds } from "../state/segments.ts";
import { Seg } from "../state/state.ts";

const RCX = 1;
const RDX = 2;
const RSP = 4;
const R11 = 11;
const EFER_SCE = 1;
/** RF and VM are not returned to. */
const SYSRET_FLAGS = 0x3c_7fd7;

/** A flat segment, as these instructions make them without reading a descriptor. */
function setFlat(
  cpu: Cpu,
  n: number,
  selector: number,
  dpl: number,
  type: number,
  bits: 32 | 64,
): void {
  const segment = cpu.segment(n);
  segment.selector = selector & 0xffff;
  segment.base = 0n;
  segment.limit = 0xffff_ffff;
  segment.access = type | a.ACCESS_S | dpl << a.ACCESS_DPL_SHIFT | a.ACCESS_PRESENT | a.ACCESS_G |
    (bits === 64 ? a.ACCESS_L : a.ACCESS_DB);
  setBounds(segment);
}

const CODE = 0xb;
const DATA = 0x3;

function enterLevel(cpu: Cpu, cpl: number, code: number, stack: number, bits: 32 | 64): void {
  setFlat(cpu, Seg.cs, code, cpl, CODE, bits);
  setFlat(cpu, Seg.ss, stack, cpl, DATA, 32);
  cpu.state.cpl = cpl;
  cpu.modeChanged();
}

/** See above. */
export const FAST_CALL_SERVICES = {
  syscall: (cpu) => {
    const { state } = cpu;
    // Intel's, which CPUID shows, have it in 64-bit mode alone.
    if ((state.efer & EFER_SCE) === 0 || !cpu.isLong64) fault(state, Vector.undefinedOpcode);
    state.general[RCX] = cpu.nextRip();
    const flags = cpu.flags;
    state.general[R11] = BigInt((flags & ~RF) >>> 0);
    const selector = Number(state.star >> 32n & 0xfffcn);
    state.rip = state.lstar;
    cpu.flags = flags & ~Number(state.fmask & 0xffff_ffffn) & ~RF;
    enterLevel(cpu, 0, selector, selector + 8, 64);
    // A single-step trap follows only if TF is not masked.
    return (cpu.flags & TF) !== 0 ? Status.enter : Status.interrupted;
  },
  sysret: (cpu, { size }) => {
    const { state } = cpu;
    if ((state.efer & EFER_SCE) === 0 || !cpu.isLong64) fault(state, Vector.undefinedOpcode);
    if (state.cpl !== 0) fault(state, Vector.generalProtection, 0);
    const target = state.general[RCX];
    if (size === 64 && !isCanonical(target)) fault(state, Vector.generalProtection, 0);
    const selector = Number(state.star >> 48n & 0xffffn);
    const code = size === 64 ? selector + 16 : selector;
    state.rip = size === 64 ? target : target & 0xffff_ffffn;
    const flags = Number(state.general[R11] & 0xffff_ffffn) & SYSRET_FLAGS | 2;
    enterLevel(cpu, 3, code | 3, selector + 8 | 3, size === 64 ? 64 : 32);
    cpu.flags = flags;
    return Status.enter;
  },
  sysenter: (cpu) => {
    const { state } = cpu;
    const selector = Number(state.sysenterCs & 0xfffcn);
    if (!cpu.isProtected || selector === 0) fault(state, Vector.generalProtection, 0);
    const long = cpu.isLongMode;
    cpu.flags &= ~(VM | IF | RF);
    const mask = long ? ~0n : 0xffff_ffffn;
    state.general[RSP] = BigInt.asUintN(64, state.sysenterEsp & mask);
    state.rip = BigInt.asUintN(64, state.sysenterEip & mask);
    enterLevel(cpu, 0, selector, selector + 8, long ? 64 : 32);
    return Status.enter;
  },
  sysexit: (cpu, { size }) => {
    const { state } = cpu;
    const selector = Number(state.sysenterCs & 0xfffcn);
    if (!cpu.isProtected || selector === 0 || state.cpl !== 0) {
      fault(state, Vector.generalProtection, 0);
    }
    const wide = size === 64;
    const stack = state.general[RCX];
    const target = state.general[RDX];
    if (wide && !(isCanonical(stack) && isCanonical(target))) {
      fault(state, Vector.generalProtection, 0);
    }
    const code = selector + (wide ? 32 : 16);
    state.general[RSP] = wide ? stack : stack & 0xffff_ffffn;
    state.rip = wide ? target : target & 0xffff_ffffn;
    enterLevel(cpu, 3, code | 3, code + 8 | 3, wide ? 64 : 32);
    return Status.enter;
  },
} satisfies Readonly<Record<string, Service>>;
