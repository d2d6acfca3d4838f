/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM volume 2, 4.1). */

import { OP, Status } from "../codegen/operation.ts";
import type { Cpu, Service, ServiceCall } from "../cpu.ts";
import { ARITHMETIC, CF, OF, SF, ZF } from "../flags_word.ts";
import { vectorAt } from "../state.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;

/** Fields of the immediate. */
const WORDS = 1 << 0;
const SIGNED = 1 << 1;
const AGGREGATION_SHIFT = 2;
const NEGATIVE = 1 << 4;
const MASKED = 1 << 5;
const FROM_THE_END = 1 << 6;
const WHOLE_LANES = 1 << 6;

/** A string in a vector. */
interface Text {
  readonly elements: readonly number[];
  /** How many of the elements count. */
  length: number;
}

/** The 16 bytes of the second operand, unaligned in memory. */
function secondOperand(cpu: Cpu, { hasMemory }: ServiceCall): DataView {
  const bytes = new DataView(new ArrayBuffer(16));
  if (hasMemory) {
    const linear = cpu.operandLinear(16, false);
    bytes.setBigUint64(0, cpu.readData(linear, 8), true);
    bytes.setBigUint64(8, cpu.readData(BigInt.asUintN(64, linear + 8n), 8), true);
  } else {
    const at = cpu.registerAt(1);
    bytes.setBigUint64(0, cpu.data.getBigUint64(at, true), true);
    bytes.setBigUint64(8, cpu.data.getBigUint64(at + 8, true), true);
  }
  return bytes;
}

function text(view: DataView, at: number, format: number): Text {
  const count = (format & WORDS) !== 0 ? 8 : 16;
  const element = (i: number): number => {
    switch (format & (WORDS | SIGNED)) {
      case 0:
        return view.getUint8(at + i);
      case WORDS:
        return view.getUint16(at + 2 * i, true);
      case SIGNED:
        return view.getInt8(at + i);
      default:
        return view.getInt16(at + 2 * i, true);
    }
  };
  const elements = Array.from({ length: count }, (_, i) => element(i));
  const end = elements.indexOf(0);
  return { elements, length: end < 0 ? count : end };
}

/** The magnitude of a length that a register gives, as far as the vector reaches. */
function givenLength(cpu: Cpu, register: number, size: number, most: number): number {
  const value = BigInt.asIntN(size, cpu.general(register, size));
  const magnitude = value < 0n ? -value : value;
  return magnitude > BigInt(most) ? most : Number(magnitude);
}

/** One bit for each element of `b`: how it, or what begins with it, compares with `a`. */
function aggregate(a: Text, b: Text, aggregation: number): number {
  const count = b.elements.length;
  let result = 0;
  for (let j = 0; j < count; j++) {
    if (holds(a, b, aggregation, j, count)) result |= 1 << j;
  }
  return result;
}

function holds(a: Text, b: Text, aggregation: number, j: number, count: number): boolean {
  const one = b.elements[j];
  switch (aggregation) {
    case 0: // equal any
      return j < b.length && a.elements.slice(0, a.length).includes(one);
    case 1: // ranges: pairs of bounds
      if (j >= b.length) return false;
      for (let i = 0; i + 1 < a.length; i += 2) {
        if (a.elements[i] <= one && one <= a.elements[i + 1]) return true;
      }
      return false;
    case 2: // equal each; what is beyond both ends is equal
      return j < a.length && j < b.length ? a.elements[j] === one : j >= a.length && j >= b.length;
    default: // equal ordered: the whole of `a`, as far as the vector reaches
      for (let i = 0; i < a.length && j + i < count; i++) {
        if (j + i >= b.length || a.elements[i] !== b.elements[j + i]) return false;
      }
      return true;
  }
}

function polarized(bits: number, imm: number, { length, elements }: Text): number {
  if ((imm & NEGATIVE) === 0) return bits;
  const reach = (imm & MASKED) !== 0 ? length : elements.length;
  return bits ^ (1 << reach) - 1;
}

function storeMask(cpu: Cpu, bits: number, imm: number, count: number): void {
  const at = vectorAt(0);
  cpu.data.setBigUint64(at, BigInt(bits), true);
  cpu.data.setBigUint64(at + 8, 0n, true);
  if ((imm & WHOLE_LANES) === 0) return;
  for (let i = 0; i < count; i++) {
    const ones = (bits >> i & 1) !== 0 ? -1 : 0;
    if (count === 16) cpu.data.setInt8(at + i, ones);
    else cpu.data.setInt16(at + 2 * i, ones, true);
  }
}

const compareStrings = (explicit: boolean, index: boolean): Service => (cpu, call) => {
  const imm = cpu.data.getUint8(cpu.state.op + OP.immediate);
  const b = text(secondOperand(cpu, call), 0, imm);
  const a = text(cpu.data, cpu.registerAt(0), imm);
  const count = a.elements.length;
  if (explicit) {
    a.length = givenLength(cpu, RAX, call.size, count);
    b.length = givenLength(cpu, RDX, call.size, count);
  }
  const bits = polarized(aggregate(a, b, imm >> AGGREGATION_SHIFT & 3), imm, b);
  if (index) {
    const lowest = 31 - Math.clz32(bits & -bits);
    const highest = 31 - Math.clz32(bits);
    const found = (imm & FROM_THE_END) !== 0 ? highest : lowest;
    cpu.setGeneral(RCX, 32, BigInt(bits === 0 ? count : found));
  } else storeMask(cpu, bits, imm, count);
  cpu.flags = cpu.flags & ~ARITHMETIC | (bits !== 0 ? CF : 0) | (b.length < count ? ZF : 0) |
    (a.length < count ? SF : 0) | ((bits & 1) !== 0 ? OF : 0);
  return Status.next;
};

/** See above. */
export const STRING_COMPARE_SERVICES = {
  pcmpestri: compareStrings(true, true),
  pcmpestrm: compareStrings(true, false),
  pcmpistri: compareStrings(false, true),
  pcmpistrm: compareStrings(false, false),
} satisfies Readonly<Record<string, Service>>;
