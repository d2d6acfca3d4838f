/**
 * Segment registers: descriptors, and what follows from a register's hidden part (Intel SDM volume 3,
 * chapters 3.4 and 5; volume 1, 20 for real-address mode).
 */

import * as a from "../../cpu_state.ts";
import type { Cpu } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { Privilege } from "../memory/paging.ts";
import { Seg } from "./state.ts";
import type { SegmentCache } from "./state.ts";

const SELECTOR_TI = 4;
/** Bits of the type of a code or data segment. */
const TYPE_ACCESSED = 1;
const TYPE_WRITABLE_OR_READABLE = 2;
const TYPE_DOWN_OR_CONFORMING = 4;
const TYPE_CODE = 8;

/** Types of system descriptors. */
export const SystemType = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  tss32Busy: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;

/** A descriptor as it lies in a table, with what it says. */
export interface Descriptor {
  /** Linear address of the descriptor. */
  readonly at: bigint;
  readonly low: number;
  readonly high: number;
  /** In the form of `SegmentCache.access`. */
  readonly access: number;
  readonly base: bigint;
  /** Highest offset in bytes. */
  readonly limit: number;
}

export const dplOf = (access: number): number => access >> a.ACCESS_DPL_SHIFT & 3;
export const isSystem = (access: number): boolean => (access & a.ACCESS_S) === 0;
export const isCode = (access: number): boolean => (access & TYPE_CODE) !== 0 && !isSystem(access);
export const isConforming = (access: number): boolean =>
  isCode(access) && (access & TYPE_DOWN_OR_CONFORMING) !== 0;
export const isPresent = (access: number): boolean => (access & a.ACCESS_PRESENT) !== 0;
const isReadable = (access: number): boolean =>
  !isCode(access) || (access & TYPE_WRITABLE_OR_READABLE) !== 0;
const isWritable = (access: number): boolean =>
  !isCode(access) && !isSystem(access) && (access & TYPE_WRITABLE_OR_READABLE) !== 0;

/** Works out the bounds that accesses are checked against. */
export function setBounds(segment: SegmentCache): void {
  const { access, limit } = segment;
  segment.readLow = segment.writeLow = 1n;
  segment.readHigh = segment.writeHigh = 0n;
  if ((access & a.ACCESS_UNUSABLE) !== 0 || isSystem(access)) return;
  const down = !isCode(access) && (access & TYPE_DOWN_OR_CONFORMING) !== 0;
  const low = down ? BigInt(limit) + 1n : 0n;
  const high = !down ? BigInt(limit) : (access & a.ACCESS_DB) !== 0 ? 0xffff_ffffn : 0xffffn;
  if (isReadable(access)) {
    segment.readLow = low;
    segment.readHigh = high;
  }
  if (isWritable(access)) {
    segment.writeLow = low;
    segment.writeHigh = high;
  }
}

/** Real-address and virtual-8086 mode: the base follows the selector. */
export function loadRealSegment(cpu: Cpu, n: number, selector: number): void {
  const segment = cpu.segment(n);
  segment.selector = selector;
  segment.base = BigInt(selector) << 4n;
  if (cpu.isVirtual8086) {
    segment.limit = 0xffff;
    segment.access = a.ACCESS_PRESENT | a.ACCESS_S | 3 << a.ACCESS_DPL_SHIFT | 3;
  } else if (n === Seg.cs) {
    // The limit stays ("unreal" mode); rights are those of a writable segment.
    segment.access = segment.access & (a.ACCESS_DB | a.ACCESS_G) | a.ACCESS_PRESENT | a.ACCESS_S |
      0x3;
  }
  setBounds(segment);
}

/** Puts a descriptor into a segment register. */
export function setSegment(
  cpu: Cpu,
  n: number,
  selector: number,
  { access, base, limit }: Descriptor,
): void {
  const segment = cpu.segment(n);
  segment.selector = selector;
  // As nearly always: what follows from these need not be worked out again. CS's bounds are others in
  // real-address mode (`Cpu.modeChanged`).
  const isSame = segment.access === access && segment.limit === limit && segment.base === base;
  if (isSame && n !== Seg.cs) return;
  segment.base = base;
  segment.limit = limit;
  segment.access = access;
  setBounds(segment);
}

/** Puts a null selector into a data segment register, which then may not be used. */
export function setNull(cpu: Cpu, n: number, selector: number): void {
  const segment = cpu.segment(n);
  segment.selector = selector;
  segment.base = 0n;
  segment.limit = 0;
  segment.access = a.ACCESS_UNUSABLE | (selector & 3) << a.ACCESS_DPL_SHIFT;
  setBounds(segment);
}

/** Linear address of the descriptor of `selector`, or undefined beyond its table's limit. */
export function descriptorAddress(cpu: Cpu, selector: number, bytes = 8): bigint | undefined {
  const { state } = cpu;
  const index = selector & ~7;
  if ((selector & SELECTOR_TI) === 0) {
    return index + bytes - 1 > state.gdtrLimit ? undefined : state.gdtrBase + BigInt(index);
  }
  const ldt = cpu.segment(Seg.ldtr);
  const usable = (ldt.access & a.ACCESS_UNUSABLE) === 0 && (ldt.selector & ~3) !== 0;
  return !usable || index + bytes - 1 > ldt.limit ? undefined : ldt.base + BigInt(index);
}

/** The descriptor of `selector`; `vector` with the selector as error code where there is none. */
export function readDescriptor(
  cpu: Cpu,
  selector: number,
  vector: number = Vector.generalProtection,
  external = 0,
): Descriptor {
  const descriptor = findDescriptor(cpu, selector);
  return descriptor ?? fault(cpu.state, vector, selector & 0xfffc | external);
}

/** The descriptor of `selector`, or undefined beyond its table's limit. */
export function findDescriptor(cpu: Cpu, selector: number): Descriptor | undefined {
  const at = descriptorAddress(cpu, selector);
  if (at === undefined) return undefined;
  const value = cpu.memory.read(linear(cpu, at), 8, Privilege.implicit);
  return parseDescriptor(at, Number(value & 0xffff_ffffn), Number(value >> 32n));
}

/** Addresses of tables have 32 bits outside of long mode. */
export const linear = (cpu: Cpu, address: bigint): bigint =>
  cpu.isLongMode ? BigInt.asUintN(64, address) : address & 0xffff_ffffn;

/** Reads the fields of a descriptor. */
export function parseDescriptor(at: bigint, low: number, high: number): Descriptor {
  const access = high >>> 8 & 0xf0ff;
  const units = (low & 0xffff) | high & 0xf_0000;
  const limit = (access & a.ACCESS_G) !== 0 ? (units << 12 | 0xfff) >>> 0 : units;
  const base = (low >>> 16 | (high & 0xff) << 16 | high & 0xff00_0000) >>> 0;
  return { at, low, high, access, base: BigInt(base), limit };
}

/** In long mode the base of a system descriptor goes on in the next eight bytes. */
export function withUpperBase(cpu: Cpu, descriptor: Descriptor): Descriptor {
  if (!cpu.isLongMode) return descriptor;
  const upper = cpu.memory.read(linear(cpu, descriptor.at + 8n), 4, Privilege.implicit);
  return { ...descriptor, base: descriptor.base | upper << 32n };
}

/** Sets the accessed bit where it is not. */
export function markAccessed(cpu: Cpu, descriptor: Descriptor): Descriptor {
  if ((descriptor.access & TYPE_ACCESSED) !== 0) return descriptor;
  const byte = descriptor.high >>> 8 & 0xff | TYPE_ACCESSED;
  cpu.memory.write(linear(cpu, descriptor.at + 5n), 1, BigInt(byte), Privilege.implicit);
  return {
    ...descriptor,
    access: descriptor.access | TYPE_ACCESSED,
    high: descriptor.high | TYPE_ACCESSED << 8,
  };
}

/** Changes the type of a system descriptor in its table, as busy and available of a TSS. */
export function setSystemType(cpu: Cpu, { at, high }: Descriptor, type: number): void {
  const byte = high >>> 8 & 0xf0 | type;
  cpu.memory.write(linear(cpu, at + 5n), 1, BigInt(byte), Privilege.implicit);
}

/**
 * Loads a segment register other than CS as MOV, POP and the far pointer loads do (SDM volume 2, MOV).
 */
export function loadSegment(cpu: Cpu, n: number, selector: number): void {
  if (!cpu.isProtected || cpu.isVirtual8086) return loadRealSegment(cpu, n, selector);
  const { state } = cpu;
  const cpl = state.cpl;
  const rpl = selector & 3;
  if ((selector & ~3) === 0) {
    // In 64-bit mode SS may be null at privilege 0 to 2, with RPL equal to it.
    if (n === Seg.ss && !(cpu.isLong64 && cpl < 3 && rpl === cpl)) {
      fault(state, Vector.generalProtection, 0);
    }
    setNull(cpu, n, selector);
    return cpu.modeChanged();
  }
  const bad = (vector: number = Vector.generalProtection): never =>
    fault(state, vector, selector & 0xfffc);
  const descriptor = readDescriptor(cpu, selector);
  const { access } = descriptor;
  const dpl = dplOf(access);
  if (n === Seg.ss) {
    if (rpl !== cpl || dpl !== cpl || !isWritable(access)) bad();
    if (!isPresent(access)) bad(Vector.stackFault);
  } else {
    if (isSystem(access) || !isReadable(access)) bad();
    if (!isConforming(access) && (dpl < cpl || dpl < rpl)) bad();
    if (!isPresent(access)) bad(Vector.segmentNotPresent);
  }
  setSegment(cpu, n, selector, markAccessed(cpu, descriptor));
  cpu.modeChanged();
}

/** Loads CS with a checked code descriptor; the privilege becomes `cpl`. */
export function loadCode(cpu: Cpu, selector: number, descriptor: Descriptor, cpl: number): void {
  setSegment(cpu, Seg.cs, selector & ~3 | cpl, markAccessed(cpu, descriptor));
  cpu.state.cpl = cpl;
  cpu.modeChanged();
}

/**
 * After a return to an outer level: data segments that it may not have become null, and null selectors
 * lose their RPL. In long mode the bases stay, those of FS and GS count all the same (SDM volume 2, IRET).
 */
export function dropInnerSegments(cpu: Cpu): void {
  for (const n of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) {
    const segment = cpu.segment(n);
    const { access, selector, base } = segment;
    if ((access & a.ACCESS_UNUSABLE) !== 0 || (selector & ~3) === 0) {
      segment.selector = 0;
      continue;
    }
    if (isConforming(access) || dplOf(access) >= cpu.state.cpl) continue;
    setNull(cpu, n, 0);
    if (cpu.isLongMode) segment.base = base;
  }
}
