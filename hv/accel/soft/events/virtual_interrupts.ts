/**
 * The virtual interrupt flag: CR4.VME in virtual-8086 mode, CR4.PVI at level 3 of protected mode (Intel
 * SDM volume 3, 20.3.3 and 20.4), where IOPL keeps a program from IF.
 */

import { CR4_PVI, CR4_VME } from "../state/control_bits.ts";
import type { Cpu } from "../cpu.ts";
import { fault, Vector } from "./faults.ts";
import { ARITHMETIC, DF, IF, IOPL, NT, TF, VIF, VIP } from "../state/flags_word.ts";
import { currentStack } from "./interrupts.ts";
import { Privilege } from "../memory/paging.ts";
import { loadRealSegment } from "../state/segments.ts";
import { StackFrame } from "./stack_frame.ts";
import { Seg } from "../state/state.ts";

const IO_MAP_BASE = 102;
const REDIRECTION_BYTES = 32;

const generalFault = (cpu: Cpu): never => fault(cpu.state, Vector.generalProtection, 0);

/** Is it virtual-8086 mode without the right to IF? */
export const isRestricted8086 = (cpu: Cpu): boolean =>
  cpu.isVirtual8086 && (cpu.flags & IOPL) !== IOPL;

const hasVme = (cpu: Cpu): boolean => (cpu.state.cr4 & CR4_VME) !== 0;

/** Do CLI and STI change VIF instead of IF? */
export function usesVirtualFlag(cpu: Cpu): boolean {
  const { state } = cpu;
  if (cpu.isVirtual8086) return isRestricted8086(cpu) && hasVme(cpu);
  return cpu.isProtected && state.cpl === 3 && (cpu.flags & IOPL) !== IOPL &&
    (state.cr4 & CR4_PVI) !== 0;
}

/** STI on VIF: #GP(0) if the system has something to deliver. */
export function setVirtualFlag(cpu: Cpu): void {
  if ((cpu.flags & VIP) !== 0) generalFault(cpu);
  cpu.state.eflags |= VIF;
}

/** What PUSHF and INT push where `isRestricted8086`: VIF in the place of IF, IOPL 3. */
export function virtualFlagsImage(cpu: Cpu, size: number): number {
  if (!hasVme(cpu) || size !== 16) generalFault(cpu);
  const flags = cpu.flags;
  return flags & 0xffff & ~IF | ((flags & VIF) !== 0 ? IF : 0) | IOPL;
}

/** RFLAGS after POPF and IRET have popped `value` where `isRestricted8086`. */
export function virtualFlagsFrom(cpu: Cpu, value: number, size: number): number {
  const old = cpu.flags;
  if (!hasVme(cpu) || size !== 16) generalFault(cpu);
  if ((value & TF) !== 0 || (old & VIP) !== 0 && (value & IF) !== 0) generalFault(cpu);
  const mask = ARITHMETIC | TF | DF | NT;
  return old & ~mask & ~VIF | value & mask | ((value & IF) !== 0 ? VIF : 0);
}

/**
 * INT n in virtual-8086 mode with CR4.VME: true if it went to the program's own handler, as the bitmap
 * below the I/O permissions says (20.3.3.4 to 20.3.3.6).
 */
export function redirectInterrupt(cpu: Cpu, vector: number, next: bigint): boolean {
  const { state } = cpu;
  if (!hasVme(cpu)) return false;
  const tr = state.segments[Seg.tr];
  const read = (offset: number, bytes: number) =>
    Number(cpu.memory.read(tr.base + BigInt(offset) & 0xffff_ffffn, bytes, Privilege.implicit));
  if (tr.limit < IO_MAP_BASE + 1) generalFault(cpu);
  const at = read(IO_MAP_BASE, 2) - REDIRECTION_BYTES + (vector >> 3);
  if (at < 0 || at > tr.limit) generalFault(cpu);
  if ((read(at, 1) >> (vector & 7) & 1) !== 0) return false;

  const restricted = isRestricted8086(cpu);
  const image = restricted ? virtualFlagsImage(cpu, 16) : cpu.flags & 0xffff;
  const target = cpu.readData(BigInt(vector * 4), 4);
  const frame = new StackFrame(cpu, currentStack(cpu));
  frame.push(BigInt(image), 2);
  frame.push(BigInt(state.segments[Seg.cs].selector), 2);
  frame.push(next & 0xffffn, 2);
  state.general[4] = frame.pointer;
  loadRealSegment(cpu, Seg.cs, Number(target >> 16n));
  state.rip = target & 0xffffn;
  cpu.flags &= ~(TF | (restricted ? VIF : IF));
  cpu.modeChanged();
  return true;
}
