/** Expressions of 128 bits (WebAssembly core specification, 5.4.9). */

import type { ByteWriter } from "./byte_writer.ts";
import { type Code, immediate, type MemoryRef } from "./code.ts";
import { F64, I32, I64, type Type, V128, type Value } from "./value.ts";

const PREFIX = 0xfd;

function write(out: ByteWriter, opcode: number): void {
  out.byte(PREFIX);
  out.unsigned(opcode);
}

/** An operator by its number; the operands come first. */
const operator = (type: Type, opcode: number) => (...args: Value[]): Value => ({
  type,
  emit: (out) => {
    for (const arg of args) arg.emit(out);
    write(out, opcode);
  },
});

const vector = (opcode: number) => operator(V128, opcode);

/** Operators on lanes, named as in the specification without dots; `Value` arguments in order. */
export const simd = {
  swizzle: vector(14),
  splat8: vector(15),
  splat16: vector(16),
  splat32: vector(17),
  splat64: vector(18),
  /** Of a value of 32 bits. */
  splatF32: vector(19),
  splatF64: vector(20),
  eq8: vector(35),
  ltU8: vector(38),
  gtS8: vector(39),
  eq16: vector(45),
  gtS16: vector(49),
  eq32: vector(55),
  ltU32: vector(58),
  gtS32: vector(59),
  eqF32: vector(65),
  neF32: vector(66),
  ltF32: vector(67),
  gtF32: vector(68),
  leF32: vector(69),
  geF32: vector(70),
  eqF64: vector(71),
  neF64: vector(72),
  ltF64: vector(73),
  gtF64: vector(74),
  leF64: vector(75),
  geF64: vector(76),
  not: vector(77),
  and: vector(78),
  /** a AND NOT b. */
  andNot: vector(79),
  or: vector(80),
  xor: vector(81),
  /** Bits of a where c has ones, of b elsewhere. */
  select: vector(82),
  demote: vector(94),
  promote: vector(95),
  abs8: vector(96),
  narrowS16: vector(101),
  narrowU16: vector(102),
  ceilF32: vector(103),
  floorF32: vector(104),
  truncF32: vector(105),
  nearestF32: vector(106),
  shl8: vector(107),
  shrS8: vector(108),
  shrU8: vector(109),
  add8: vector(110),
  addSatS8: vector(111),
  addSatU8: vector(112),
  sub8: vector(113),
  subSatS8: vector(114),
  subSatU8: vector(115),
  ceilF64: vector(116),
  floorF64: vector(117),
  minS8: vector(118),
  minU8: vector(119),
  maxS8: vector(120),
  maxU8: vector(121),
  truncF64: vector(122),
  averageU8: vector(123),
  abs16: vector(128),
  neg16: vector(129),
  /** (a * b + 4000h) >> 15, saturating. */
  q15Multiply: vector(130),
  narrowS32: vector(133),
  narrowU32: vector(134),
  extendLowS8: vector(135),
  extendLowU8: vector(137),
  extendHighU8: vector(138),
  shl16: vector(139),
  shrS16: vector(140),
  shrU16: vector(141),
  add16: vector(142),
  addSatS16: vector(143),
  addSatU16: vector(144),
  sub16: vector(145),
  subSatS16: vector(146),
  subSatU16: vector(147),
  nearestF64: vector(148),
  mul16: vector(149),
  minS16: vector(150),
  minU16: vector(151),
  maxS16: vector(152),
  maxU16: vector(153),
  averageU16: vector(155),
  abs32: vector(160),
  extendLowS16: vector(167),
  extendLowU16: vector(169),
  shl32: vector(171),
  shrS32: vector(172),
  shrU32: vector(173),
  add32: vector(174),
  sub32: vector(177),
  mul32: vector(181),
  minS32: vector(182),
  minU32: vector(183),
  maxS32: vector(184),
  maxU32: vector(185),
  dotS16: vector(186),
  productLowS16: vector(188),
  productHighS16: vector(189),
  productLowU16: vector(190),
  productHighU16: vector(191),
  extendLowS32: vector(199),
  extendLowU32: vector(201),
  shl64: vector(203),
  shrS64: vector(204),
  shrU64: vector(205),
  add64: vector(206),
  sub64: vector(209),
  mul64: vector(213),
  eq64: vector(214),
  gtS64: vector(217),
  productLowS32: vector(220),
  productLowU32: vector(222),
  absF32: vector(224),
  sqrtF32: vector(227),
  addF32: vector(228),
  subF32: vector(229),
  mulF32: vector(230),
  divF32: vector(231),
  /** b where b < a, else a. */
  pminF32: vector(234),
  /** b where a < b, else a. */
  pmaxF32: vector(235),
  absF64: vector(236),
  sqrtF64: vector(239),
  addF64: vector(240),
  subF64: vector(241),
  mulF64: vector(242),
  divF64: vector(243),
  pminF64: vector(246),
  pmaxF64: vector(247),
  /** To signed integers, saturating. */
  truncateF32: vector(248),
  convertS32ToF32: vector(250),
  /** To signed integers in the lower half, saturating; the upper half is 0. */
  truncateF64: vector(252),
  convertLowS32ToF64: vector(254),
  anyTrue: operator(I32, 83),
  allTrue8: operator(I32, 99),
  bitmask8: operator(I32, 100),
  allTrue16: operator(I32, 131),
  bitmask16: operator(I32, 132),
  allTrue32: operator(I32, 163),
  bitmask32: operator(I32, 164),
  bitmask64: operator(I32, 196),
} as const;

/** A constant, from its bytes in memory order. */
export const vectorConstant = (bytes: readonly number[]): Value => ({
  type: V128,
  emit: (out) => {
    write(out, 12);
    out.append(bytes);
  },
});

/** All zeros. */
export const ZERO: Value = vectorConstant(Array(16).fill(0));

/** Bytes chosen from both: 0 to 15 are of `a`, 16 to 31 of `b`. */
export const shuffle = (a: Value, b: Value, lanes: readonly number[]): Value => ({
  type: V128,
  emit: (out) => {
    a.emit(out);
    b.emit(out);
    write(out, 13);
    out.append(lanes);
  },
});

const lane = (type: Type, opcode: number) => (a: Value, n: number): Value => ({
  type,
  emit: (out) => {
    a.emit(out);
    write(out, opcode);
    out.byte(n);
  },
});

export const extract8 = lane(I32, 22);
export const extract16 = lane(I32, 25);
export const extract32 = lane(I32, 27);
export const extract64 = lane(I64, 29);
export const extractF64 = lane(F64, 33);
/** The lane is of 32 bits: only for what takes such a value at once. */
export const extractF32 = lane(F64, 31);

const replacement = (opcode: number) => (a: Value, n: number, value: Value): Value => ({
  type: V128,
  emit: (out) => {
    a.emit(out);
    value.emit(out);
    write(out, opcode);
    out.byte(n);
  },
});

export const replace8 = replacement(23);
export const replace16 = replacement(26);
export const replace32 = replacement(28);
export const replace64 = replacement(30);

/** A load of 16 bytes. */
export const loadVector = (memory: MemoryRef, address: Value, offset = 0): Value => ({
  type: V128,
  emit: (out) => {
    address.emit(out);
    write(out, 0);
    immediate(out, memory, offset);
  },
});

/** Stores 16 bytes. */
export function storeVector(
  code: Code,
  memory: MemoryRef,
  address: Value,
  value: Value,
  offset = 0,
): void {
  address.emit(code.out);
  value.emit(code.out);
  write(code.out, 11);
  immediate(code.out, memory, offset);
}
