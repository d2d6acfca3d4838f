/**
 * SSSE3 on vectors of 16 bytes (Intel SDM volume 2: PABSB, PALIGNR, PHADDW, PHSUBW, PMADDUBSW, PMULHRSW,
 * PSHUFB, PSIGNB and their kin). What works lane by lane serves MMX as well.
 */

import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { packed, sse } from "./definition.ts";
import { lanesOf, range } from "./lanes.ts";

type Plain = (a: Value, b: Value) => Value;
type Binary = (a: Value, b: Value, h: Handler) => Value;

/** `a` with the sign of `b`, or 0. */
const sign =
  (shift: (x: Value, n: Value) => Value, bits: number, sub: Plain, eq: Plain): Binary =>
  (a, b, h) => {
    const negative = h.let(shift(b, v.i32(bits - 1)));
    const signed = sub(simd.xor(a, negative), negative);
    return simd.andNot(signed, eq(b, s.ZERO));
  };

const MOST_NEGATIVE = simd.splat16(v.i32(0x8000));

/** By name, what works on each lane for itself. */
export const SSSE3_LANES: readonly (readonly [string, Binary])[] = [
  ["psignb", sign(simd.shrS8, 8, simd.sub8, simd.eq8)],
  ["psignw", sign(simd.shrS16, 16, simd.sub16, simd.eq16)],
  ["psignd", sign(simd.shrS32, 32, simd.sub32, simd.eq32)],
  ["pabsb", (_, b) => simd.abs8(b)],
  ["pabsw", (_, b) => simd.abs16(b)],
  ["pabsd", (_, b) => simd.abs32(b)],
  // -1 times -1 is 8000h here, where WebAssembly's saturates.
  ["pmulhrsw", (a, b) => {
    const both = simd.and(simd.eq16(a, MOST_NEGATIVE), simd.eq16(b, MOST_NEGATIVE));
    return simd.xor(simd.q15Multiply(a, b), both);
  }],
  // Unsigned bytes of the first times signed bytes of the second: each product fits into a word.
  ["pmaddubsw", (a, b) => {
    const eight = v.i32(8);
    const even = simd.mul16(
      simd.and(a, simd.splat16(v.i32(0xff))),
      simd.shrS16(simd.shl16(b, eight), eight),
    );
    const odd = simd.mul16(simd.shrU16(a, eight), simd.shrS16(b, eight));
    return simd.addSatS16(even, odd);
  }],
];

/** By name: bytes of a lane, and what neighbours are joined by. */
export const HORIZONTAL: readonly (readonly [string, 2 | 4, (a: Value, b: Value) => Value])[] = [
  ["phaddw", 2, simd.add16],
  ["phaddd", 4, simd.add32],
  ["phaddsw", 2, simd.addSatS16],
  ["phsubw", 2, simd.sub16],
  ["phsubd", 4, simd.sub32],
  ["phsubsw", 2, simd.subSatS16],
];

/** Joins neighbours: those of `a` give the lower half, those of `b` the upper. */
export const joined = (
  bytes: 2 | 4,
  join: Plain,
  a: Value,
  b: Value,
): Value =>
  join(
    s.shuffle(a, b, lanesOf(bytes, (i) => i * 2)),
    s.shuffle(a, b, lanesOf(bytes, (i) => i * 2 + 1)),
  );

/** Indices 0, 1, 2... plus the immediate; beyond 255 they stay there. */
export const indicesFromImmediate = (h: Handler): Value =>
  h.let(
    simd.addSatU8(
      s.vectorConstant(range(0, 16)),
      simd.splat8(h.opField(I32, 8, OP.immediate)),
    ),
  );

/** See above. */
export const SSSE3: readonly Definition[] = [
  ...SSSE3_LANES.map(([name, operate]) => packed(name, operate)),
  ...HORIZONTAL.map(([name, bytes, join]) => packed(name, (a, b) => joined(bytes, join, a, b))),
  // Bit 7 of an index gives 0, as every index beyond the vector does in WebAssembly.
  packed("pshufb", (a, b) => simd.swizzle(a, simd.and(b, simd.splat8(v.i32(0x8f))))),
  sse("palignr", ["rri", "rmi"], (h) => {
    const low = h.readVector(1, true);
    const high = h.readVector(0, true);
    const indices = indicesFromImmediate(h);
    const upper = simd.sub8(indices, simd.splat8(v.i32(16)));
    h.writeVector(0, simd.or(simd.swizzle(low, indices), simd.swizzle(high, upper)), true);
  }),
];
