/**
 * SSE2 arithmetic on integers, comparisons, logic, shifts, packing and shuffling (Intel SDM volume 2:
 * PACKSSWB to PXOR, ANDPS to XORPS, PSHUFD, SHUFPS, UNPCKLPS...).
 */

import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { packed, sse } from "./definition.ts";
import { range } from "./lanes.ts";

/** Lanes of `bytes` from the lower or upper halves of both, alternating. */
export function interleave(bytes: number, upper: boolean): number[] {
  const first = upper ? 8 : 0;
  return range(0, 8 / bytes).flatMap((i) => [
    ...range(first + i * bytes, bytes),
    ...range(16 + first + i * bytes, bytes),
  ]);
}

const unpack = (name: string, bytes: number, upper: boolean): Definition =>
  packed(name, (a, b) => s.shuffle(a, b, interleave(bytes, upper)));

/** Bytes 2 and 3, 6 and 7... of each product: the upper words of two vectors of products. */
const UPPER_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];

/** By name, what works on each lane for itself, and PACKSSWB and its kin on two halves. */
export const LANE_OPERATIONS: readonly (readonly [string, (a: Value, b: Value) => Value])[] = [
  ["paddb", simd.add8],
  ["paddw", simd.add16],
  ["paddd", simd.add32],
  ["paddq", simd.add64],
  ["psubb", simd.sub8],
  ["psubw", simd.sub16],
  ["psubd", simd.sub32],
  ["psubq", simd.sub64],
  ["paddsb", simd.addSatS8],
  ["paddsw", simd.addSatS16],
  ["paddusb", simd.addSatU8],
  ["paddusw", simd.addSatU16],
  ["psubsb", simd.subSatS8],
  ["psubsw", simd.subSatS16],
  ["psubusb", simd.subSatU8],
  ["psubusw", simd.subSatU16],
  ["pmullw", simd.mul16],
  ["pmaddwd", simd.dotS16],
  ["pavgb", simd.averageU8],
  ["pavgw", simd.averageU16],
  ["pminub", simd.minU8],
  ["pmaxub", simd.maxU8],
  ["pminsw", simd.minS16],
  ["pmaxsw", simd.maxS16],
  ["pcmpeqb", simd.eq8],
  ["pcmpeqw", simd.eq16],
  ["pcmpeqd", simd.eq32],
  ["pcmpgtb", simd.gtS8],
  ["pcmpgtw", simd.gtS16],
  ["pcmpgtd", simd.gtS32],
  ["pand", simd.and],
  ["por", simd.or],
  ["pxor", simd.xor],
  ["pandn", (a, b) => simd.andNot(b, a)],
  ["packsswb", simd.narrowS16],
  ["packuswb", simd.narrowU16],
  ["packssdw", simd.narrowS32],
  [
    "pmulhw",
    (a, b) => s.shuffle(simd.productLowS16(a, b), simd.productHighS16(a, b), UPPER_WORDS),
  ],
  [
    "pmulhuw",
    (a, b) => s.shuffle(simd.productLowU16(a, b), simd.productHighU16(a, b), UPPER_WORDS),
  ],
  [
    "pmuludq",
    (a, b) => {
      const even = (x: Value) => s.shuffle(x, x, [0, 1, 2, 3, 8, 9, 10, 11, ...range(0, 8)]);
      return simd.productLowU32(even(a), even(b));
    },
  ],
];

/** A shift of lanes. */
export interface LaneShift {
  readonly name: string;
  readonly bits: 16 | 32 | 64;
  readonly operate: (a: Value, n: Value) => Value;
  /** A count beyond the lane gives the sign, not 0. */
  readonly isArithmetic?: true;
}

export const LANE_SHIFTS: readonly LaneShift[] = [
  { name: "psllw", bits: 16, operate: simd.shl16 },
  { name: "pslld", bits: 32, operate: simd.shl32 },
  { name: "psllq", bits: 64, operate: simd.shl64 },
  { name: "psrlw", bits: 16, operate: simd.shrU16 },
  { name: "psrld", bits: 32, operate: simd.shrU32 },
  { name: "psrlq", bits: 64, operate: simd.shrU64 },
  { name: "psraw", bits: 16, operate: simd.shrS16, isArithmetic: true },
  { name: "psrad", bits: 32, operate: simd.shrS32, isArithmetic: true },
];

/** Lanes of `a` shifted by a count of 64 bits. */
export function shifted(h: Handler, shift: LaneShift, a: Value, count: Value): Value {
  const { bits, operate, isArithmetic } = shift;
  const beyond = h.let(v.geU(count, v.i64(bits)));
  const n = h.let(v.wrap(v.select(beyond, v.i64(bits - 1), count)));
  const result = operate(a, n);
  if (isArithmetic === true) return result;
  return simd.and(result, simd.splat32(v.select(beyond, v.i32(0), v.i32(-1))));
}

const laneShift = (shift: LaneShift): Definition =>
  sse(shift.name, ["rr", "rm", "ri"], (h) => {
    const count = h.form === "ri"
      ? h.let(v.extendU(h.opField(I32, 8, OP.immediate)))
      : h.let(s.extract64(h.readVector(1, true), 0));
    h.writeVector(0, shifted(h, shift, h.readVector(0, true), count), true);
  });

/** PSLLDQ and PSRLDQ: whole bytes. The vector lies between zeros from which it is read shifted. */
const byteShift = (name: string, left: boolean): Definition =>
  sse(name, ["ri"], (h) => {
    const raw = h.let(h.opField(I32, 8, OP.immediate));
    const n = h.let(v.select(v.gtU(raw, v.i32(15)), v.i32(16), raw));
    const a = h.readVector(0, true);
    const indices = s.vectorConstant(range(0, 16));
    // Indices beyond 15 select 0; going down they wrap to large unsigned ones.
    const by = simd.splat8(n);
    const chosen = left ? simd.sub8(indices, by) : simd.add8(indices, by);
    h.writeVector(0, simd.swizzle(a, chosen), true);
  });

/** Four fields of two bits, as byte indices of lanes of `bytes`, by multiplication. */
export function fieldsOf(h: Handler, bytes: 2 | 4): Value {
  const imm = h.let(h.opField(I32, 8, OP.immediate));
  const field = (i: number) => v.and(v.shrU(imm, v.i32(i * 2)), v.i32(3));
  if (bytes === 4) {
    let lanes: Value = simd.splat32(v.mul(field(0), v.i32(0x0404_0404)));
    for (let i = 1; i < 4; i++) {
      lanes = s.replace32(lanes, i, v.mul(field(i), v.i32(0x0404_0404)));
    }
    return simd.add8(lanes, s.vectorConstant(range(0, 16).map((i) => i & 3)));
  }
  let lanes: Value = s.ZERO;
  for (let i = 0; i < 4; i++) lanes = s.replace16(lanes, i, v.mul(field(i), v.i32(0x0202)));
  return simd.add8(lanes, s.vectorConstant(range(0, 16).map((i) => i & 1)));
}

const LOW_ONES = s.vectorConstant([...Array(8).fill(0xff), ...Array(8).fill(0)]);

/** Sums of absolute differences of eight bytes. */
export function absoluteDifferences(h: Handler, a: Value, b: Value): Value {
  const d = h.let(simd.or(simd.subSatU8(a, b), simd.subSatU8(b, a)));
  const half = (extend: (x: Value) => Value) => {
    const words = h.let(extend(d));
    const pairs = h.let(
      simd.add16(words, s.shuffle(words, words, [...range(8, 8), ...range(0, 8)])),
    );
    const quads = h.let(
      simd.add16(pairs, s.shuffle(pairs, pairs, [4, 5, 6, 7, 0, 1, 2, 3, ...range(8, 8)])),
    );
    return v.and(
      v.add(s.extract16(quads, 0), s.extract16(quads, 1)),
      v.i32(0xffff),
    );
  };
  const low = h.let(v.extendU(half(simd.extendLowU8)));
  const high = h.let(v.extendU(half(simd.extendHighU8)));
  return s.replace64(simd.splat64(low), 1, high);
}

/** See above. */
export const SSE_INTEGERS: readonly Definition[] = [
  ...LANE_OPERATIONS.map(([name, operate]) => packed(name, (a, b) => operate(a, b))),
  unpack("punpcklbw", 1, false),
  unpack("punpcklwd", 2, false),
  unpack("punpckldq", 4, false),
  unpack("punpcklqdq", 8, false),
  unpack("punpckhbw", 1, true),
  unpack("punpckhwd", 2, true),
  unpack("punpckhdq", 4, true),
  unpack("punpckhqdq", 8, true),
  ...LANE_SHIFTS.map(laneShift),
  byteShift("pslldq", true),
  byteShift("psrldq", false),
  packed("psadbw", (a, b, h) => absoluteDifferences(h, a, b)),
  sse("pshufd", ["rri", "rmi"], (h) => {
    const source = h.readVector(1, true);
    h.writeVector(0, simd.swizzle(source, fieldsOf(h, 4)), true);
  }),
  sse("pshuflw", ["rri", "rmi"], (h) => {
    const source = h.readVector(1, true);
    h.writeVector(0, simd.select(simd.swizzle(source, fieldsOf(h, 2)), source, LOW_ONES), true);
  }),
  sse("pshufhw", ["rri", "rmi"], (h) => {
    const source = h.readVector(1, true);
    const down = h.let(s.shuffle(source, source, [...range(8, 8), ...range(0, 8)]));
    const moved = h.let(simd.swizzle(down, fieldsOf(h, 2)));
    h.writeVector(0, s.shuffle(source, moved, [...range(0, 8), ...range(16, 8)]), true);
  }),
  sse("shufps", ["rri", "rmi"], (h) => {
    const b = h.readVector(1, true);
    const a = h.readVector(0, true);
    const fields = h.let(fieldsOf(h, 4));
    const result = s.shuffle(simd.swizzle(a, fields), simd.swizzle(b, fields), [
      ...range(0, 8),
      ...range(24, 8),
    ]);
    h.writeVector(0, result, true);
  }),
  sse("shufpd", ["rri", "rmi"], (h) => {
    const b = h.readVector(1, true);
    const a = h.readVector(0, true);
    const imm = h.let(h.opField(I32, 8, OP.immediate));
    const one = (x: Value, bit: number) =>
      v.select(
        v.and(imm, v.i32(bit)),
        s.extract64(x, 1),
        s.extract64(x, 0),
      );
    h.writeVector(0, s.replace64(simd.splat64(one(a, 1)), 1, one(b, 2)), true);
  }),
];
