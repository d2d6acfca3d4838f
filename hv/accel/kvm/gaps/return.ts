/**
 * IRET in protected and long mode, from privilege level 0. Returns to another task (NT) and to
 * virtual-8086 mode are left out, as is everything that raises an exception.
 *
 * Reference: Intel SDM volume 2, "IRET/IRETD/IRETQ"; volume 3, 3.4.5 "Segment Descriptors".
 */

import { bytesOf } from "../../../core/record.ts";
import { call, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS } from "../ioctl.ts";
import { kvm_vcpu_events } from "../structs.ts";
import type { Opcode } from "./instruction.ts";
import { RFLAGS_NT, RFLAGS_VM, type StoppedCpu } from "./stopped_cpu.ts";

export const IRET = 0xcf;
/** Flags that IRET loads at privilege level 0. */
const LOADED = 0x24_7fd5n;
const ALWAYS_ONE = 0x2n;
const LDT = 4;
const RPL = 3;

type Segment = StoppedCpu["sregs"]["cs"];

/** A segment from the descriptor tables. */
interface Descriptor {
  readonly base: bigint;
  readonly limit: number;
  readonly access: number;
  readonly flags: number;
}

/** Carries the instruction out in `cpu`'s registers; false, with nothing changed, when it cannot. */
export function returnFromInterrupt(cpu: StoppedCpu, { operandBits }: Opcode): boolean {
  const { regs, sregs } = cpu;
  if ((regs.rflags & RFLAGS_NT) !== 0n) return false;
  const size = operandBits / 8;
  const stackBits = cpu.codeBits === 64 ? 64 : sregs.ss.db !== 0 ? 32 : 16;
  const offset = BigInt.asUintN(stackBits, regs.rsp);
  const top = cpu.codeBits === 64 ? offset : BigInt.asUintN(32, sregs.ss.base + offset);
  const frame = cpu.read(top, size * 5) ?? cpu.read(top, size * 3);
  if (frame === undefined) return false;
  const view = new DataView(frame.buffer);
  const pop = (index: number): bigint => {
    const at = index * size;
    if (size === 8) return view.getBigUint64(at, true);
    return BigInt(size === 4 ? view.getUint32(at, true) : view.getUint16(at, true));
  };
  const [ip, codeSelector, flags] = [pop(0), Number(pop(1) & 0xffffn), pop(2)];
  if ((flags & RFLAGS_VM) !== 0n && !cpu.longMode) return false;
  const level = codeSelector & RPL;
  const code = descriptor(cpu, codeSelector);
  if (code === undefined || !isCode(code, level)) return false;

  const withStack = level > 0 || cpu.codeBits === 64;
  if (withStack) {
    if (frame.length < size * 5) return false;
    const stackSelector = Number(pop(4) & 0xffffn);
    const stack = descriptor(cpu, stackSelector);
    const isNull = (stackSelector & ~RPL) === 0;
    // 64-bit code below level 3 may have a null stack segment.
    if (isNull ? code.flags & 2 && level < 3 : stack !== undefined && isStack(stack, level)) {
      loadSegment(sregs.ss, stackSelector, isNull ? nullStack(level) : stack!);
    } else {
      return false;
    }
    regs.rsp = pop(3);
  } else {
    const after = BigInt.asUintN(stackBits, regs.rsp + BigInt(size * 3));
    regs.rsp = (regs.rsp >> BigInt(stackBits)) << BigInt(stackBits) | after;
  }
  loadSegment(sregs.cs, codeSelector, code);
  regs.rip = ip;
  const mask = size === 2 ? LOADED & 0xffffn : LOADED;
  regs.rflags = (regs.rflags & ~mask) | (flags & mask) | ALWAYS_ONE;
  if (level > 0) forgetPrivilegedData(cpu, level);
  allowNmi(cpu);
  return true;
}

function descriptor(cpu: StoppedCpu, selector: number): Descriptor | undefined {
  const offset = selector & 0xfff8;
  const { gdt, ldt } = cpu.sregs;
  const table = (selector & LDT) !== 0 ? ldt : gdt;
  if ((selector & ~RPL) === 0 || offset + 7 > table.limit) return undefined;
  const bytes = cpu.read(table.base + BigInt(offset), 8);
  if (bytes === undefined) return undefined;
  const flags = bytes[6] >> 4;
  const limit = bytes[0] | (bytes[1] << 8) | ((bytes[6] & 0xf) << 16);
  return {
    base: BigInt((bytes[2] | (bytes[3] << 8) | (bytes[4] << 16) | (bytes[7] << 24)) >>> 0),
    limit: (flags & 8) !== 0 ? ((limit << 12) | 0xfff) >>> 0 : limit,
    access: bytes[5],
    flags,
  };
}

const levelOf = ({ access }: Descriptor) => (access >> 5) & 3;

/** Present code whose level is `level`, or conforming code of at most that level. */
function isCode(code: Descriptor, level: number): boolean {
  if ((code.access & 0x98) !== 0x98) return false;
  return (code.access & 4) !== 0 ? levelOf(code) <= level : levelOf(code) === level;
}

/** Present, writable data of level `level`. */
function isStack(stack: Descriptor, level: number): boolean {
  return (stack.access & 0x9a) === 0x92 && levelOf(stack) === level;
}

const nullStack = (level: number): Descriptor => ({
  base: 0n,
  limit: 0xffff_ffff,
  access: 0x93 | (level << 5),
  flags: 0xc,
});

function loadSegment(segment: Segment, selector: number, from: Descriptor): void {
  const { base, limit, access, flags } = from;
  segment.selector = selector;
  segment.base = base;
  segment.limit = limit;
  segment.type = (access & 0xf) | 1;
  segment.s = 1;
  segment.dpl = (access >> 5) & 3;
  segment.present = 1;
  segment.avl = flags & 1;
  segment.l = (flags >> 1) & 1;
  segment.db = (flags >> 2) & 1;
  segment.g = flags >> 3;
  segment.unusable = 0;
}

/** What the new level may not use is not left in the data segments. */
function forgetPrivilegedData({ sregs }: StoppedCpu, level: number): void {
  for (const name of ["ds", "es", "fs", "gs"] as const) {
    const segment = sregs[name];
    const isConforming = (segment.type & 0xc) === 0xc;
    if (segment.dpl >= level || isConforming) continue;
    segment.selector = 0;
    segment.unusable = 1;
    segment.present = 0;
  }
}

/** The end of an NMI's handler lets the next one through. */
function allowNmi({ fd }: StoppedCpu): void {
  const events = new kvm_vcpu_events(new ArrayBuffer(kvm_vcpu_events.byteLength));
  call(fd, KVM_GET_VCPU_EVENTS, bytesOf(events));
  if (events.nmi_masked === 0) return;
  events.nmi_masked = 0;
  events.flags = 0;
  call(fd, KVM_SET_VCPU_EVENTS, bytesOf(events));
}
