/** Operands of the assembler: registers, memory, labels. */

const REGISTERS8 = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"] as const;
const REGISTERS16 = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"] as const;
const REGISTERS32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"] as const;
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"] as const;
/** Parts of 16-bit addresses, in the order of their codes in the ModR/M byte. */
export const BASES = ["bx+si", "bx+di", "bp+si", "bp+di", "si", "di", "bp", "bx"] as const;
/** Prefix bytes that choose a segment. */
export const SEGMENT_PREFIX = { es: 0x26, cs: 0x2e, ss: 0x36, ds: 0x3e, fs: 0x64, gs: 0x65 };

/** A general register of 8, 16 or 32 bits. */
export type Register =
  | typeof REGISTERS8[number]
  | typeof REGISTERS16[number]
  | typeof REGISTERS32[number];
/** A segment register. */
export type SegmentRegister = typeof SEGMENTS[number];
/** What a 16-bit address may be made of besides a displacement. */
export type Base = typeof BASES[number];

/** The 16-bit offset of a label, plus a number. */
export class LabelOffset {
  readonly name: string;
  readonly addend: number;
  constructor(name: string, addend: number) {
    this.name = name;
    this.addend = addend;
  }
}

/** The offset of label `name`, as an immediate or displacement. */
export const offset = (name: string, addend = 0): LabelOffset => new LabelOffset(name, addend);

/** An immediate operand. */
export type Immediate = number | LabelOffset;

/** A memory operand. */
export class Memory {
  readonly size: 1 | 2 | 4;
  readonly displacement: Immediate;
  readonly base: Base | undefined;
  readonly segment: SegmentRegister | undefined;
  constructor(size: 1 | 2 | 4, displacement: Immediate, base?: Base, segment?: SegmentRegister) {
    this.size = size;
    this.displacement = displacement;
    this.base = base;
    this.segment = segment;
  }
}

/** A byte in memory at `[base + displacement]`. */
export const byte = (displacement: Immediate, base?: Base, segment?: SegmentRegister): Memory =>
  new Memory(1, displacement, base, segment);
/** A word in memory. */
export const word = (displacement: Immediate, base?: Base, segment?: SegmentRegister): Memory =>
  new Memory(2, displacement, base, segment);
/** A doubleword (or far pointer, or table register) in memory. */
export const dword = (displacement: Immediate, base?: Base, segment?: SegmentRegister): Memory =>
  new Memory(4, displacement, base, segment);

/** Size and code of a general register. */
export interface RegisterInfo {
  readonly size: 1 | 2 | 4;
  readonly number: number;
}

/** What a register's name means; undefined when it is none. */
export function registerInfo(name: string): RegisterInfo | undefined {
  for (const [size, names] of [[1, REGISTERS8], [2, REGISTERS16], [4, REGISTERS32]] as const) {
    const number = (names as readonly string[]).indexOf(name);
    if (number >= 0) return { size, number };
  }
  return undefined;
}

/** Code of a segment register, or -1. */
export const segmentNumber = (name: unknown): number => SEGMENTS.indexOf(name as SegmentRegister);
