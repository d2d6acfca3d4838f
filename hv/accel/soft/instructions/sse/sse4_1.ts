/** SSE4.1 on integers, and its blends (Intel SDM volume 2: BLENDPS to PTEST). */

import * as flags from "../../codegen/flags.ts";
import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import { CF, ZF } from "../../state/flags_word.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { LOAD, packed, sse } from "./definition.ts";
import { lanesOf, range } from "./lanes.ts";

const IMMEDIATE = ["rri", "rmi"];

const immediateByte = (h: Handler): Value => h.opField(I32, 8, OP.immediate);

const even = (x: Value): Value => s.shuffle(x, x, lanesOf(4, (i) => i * 2 & 3));

const simple: readonly (readonly [string, (a: Value, b: Value) => Value])[] = [
  ["pminsb", simd.minS8],
  ["pminsd", simd.minS32],
  ["pminuw", simd.minU16],
  ["pminud", simd.minU32],
  ["pmaxsb", simd.maxS8],
  ["pmaxsd", simd.maxS32],
  ["pmaxuw", simd.maxU16],
  ["pmaxud", simd.maxU32],
  ["pmulld", simd.mul32],
  ["pmuldq", (a, b) => simd.productLowS32(even(a), even(b))],
  ["packusdw", simd.narrowU32],
  ["pcmpeqq", simd.eq64],
  ["pcmpgtq", simd.gtS64],
];

/** Lanes of the source where the sign of XMM0's is set. */
const blendBySign = (name: string, shift: (a: Value, n: Value) => Value, bits: number) =>
  packed(name, (a, b, h) => simd.select(b, a, shift(h.implicitVector(), v.i32(bits - 1))));

/** Lanes of the source where the immediate has a bit. */
const blendByImmediate = (name: string, bytes: 2 | 4 | 8): Definition =>
  sse(name, IMMEDIATE, (h) => {
    const b = h.readVector(1, true);
    const a = h.readVector(0, true);
    const imm = h.let(immediateByte(h));
    // Lane i has bit i, in its low byte.
    const bits = s.vectorConstant(
      range(0, 16).map((at) => at % bytes === 0 ? 1 << at / bytes : 0),
    );
    const [splat, equal] = bytes === 2
      ? [simd.splat16(imm), simd.eq16]
      : bytes === 4
      ? [simd.splat32(imm), simd.eq32]
      : [simd.splat64(v.extendU(imm)), simd.eq64];
    h.writeVector(0, simd.select(b, a, equal(simd.and(splat, bits), bits)), true);
  });

/** Lanes of 8, 16 or 32 bits at the source's beginning to wider ones. */
function extension(name: string, from: number, steps: readonly ((a: Value) => Value)[]) {
  const bits = from === 8 ? 64 >> steps.length - 1 : from === 16 ? 64 >> steps.length - 1 : 64;
  const size = bits as 16 | 32 | 64;
  return sse(name, LOAD, (h) => {
    const low = h.read(1, size);
    const vector = simd.splat64(size === 64 ? low : v.extendU(low));
    h.writeVector(0, steps.reduce((value, step) => step(value), vector), true);
  });
}

const extensions = (["sx", "zx"] as const).flatMap((kind) => {
  const [bw, wd, dq] = kind === "sx"
    ? [simd.extendLowS8, simd.extendLowS16, simd.extendLowS32]
    : [simd.extendLowU8, simd.extendLowU16, simd.extendLowU32];
  return [
    extension(`pmov${kind}bw`, 8, [bw]),
    extension(`pmov${kind}bd`, 8, [bw, wd]),
    extension(`pmov${kind}bq`, 8, [bw, wd, dq]),
    extension(`pmov${kind}wd`, 16, [wd]),
    extension(`pmov${kind}wq`, 16, [wd, dq]),
    extension(`pmov${kind}dq`, 32, [dq]),
  ];
});

/** The least word and its place; of equal ones the first. */
function leastWord(h: Handler, b: Value): Value {
  const keyed = (i: number) => v.or(v.shl(s.extract16(b, i), v.i32(3)), v.i32(i));
  let least = h.let(keyed(0));
  for (let i = 1; i < 8; i++) {
    const other = h.let(keyed(i));
    least = h.let(v.select(v.ltU(other, least), other, least));
  }
  const place = v.shl(v.and(least, v.i32(7)), v.i32(16));
  return s.replace32(s.ZERO, 0, v.or(v.shrU(least, v.i32(3)), place));
}

/** Eight sums of four absolute differences: blocks of the destination with one of the source. */
function blockDifferences(h: Handler, a: Value, b: Value): Value {
  const imm = h.let(immediateByte(h));
  const bytesFrom = (x: Value, from: Value, step: 0 | 1) => {
    const indices = s.vectorConstant(range(0, 16).map((i) => i * step));
    return simd.extendLowU8(simd.swizzle(x, simd.add8(indices, simd.splat8(from))));
  };
  const first = h.let(v.and(imm, v.i32(4)));
  const block = h.let(v.shl(v.and(imm, v.i32(3)), v.i32(2)));
  return range(0, 4)
    .map((i) => {
      const mine = bytesFrom(a, v.add(first, v.i32(i)), 1);
      return simd.abs16(simd.sub16(mine, bytesFrom(b, v.add(block, v.i32(i)), 0)));
    })
    .reduce((sum, one) => simd.add16(sum, one));
}

/** A float of the source to any place; then the immediate's low bits make zeros. */
const insertFloat = sse("insertps", IMMEDIATE, (h) => {
  const imm = h.let(immediateByte(h));
  const field = (shift: number) => v.and(v.shrU(imm, v.i32(shift)), v.i32(12));
  const value = h.inMemory(1) ? h.read(1, 32) : h.readPart(1, field(4), 32);
  h.writePart(0, field(2), value, 32);
  for (let i = 0; i < 4; i++) {
    h.code.if(v.and(imm, v.i32(1 << i)), () => h.writePart(0, v.i32(4 * i), v.i32(0), 32));
  }
});

/** ZF: no bit of the source is set in the destination; CF: none outside of it. */
const test = sse("ptest", LOAD, (h) => {
  const b = h.readVector(1, true);
  const a = h.readVector(0, true);
  const flagOf = (bit: number, x: Value) => v.shl(v.eqz(simd.anyTrue(x)), v.i32(Math.log2(bit)));
  const word = v.or(flagOf(ZF, simd.and(a, b)), flagOf(CF, simd.andNot(b, a)));
  flags.setArithmeticFlags(h, h.let(word));
});

/** See above. */
export const SSE4_1: readonly Definition[] = [
  ...simple.map(([name, operate]) => packed(name, (a, b) => operate(a, b))),
  blendBySign("pblendvb", simd.shrS8, 8),
  blendBySign("blendvps", simd.shrS32, 32),
  blendBySign("blendvpd", simd.shrS64, 64),
  blendByImmediate("pblendw", 2),
  blendByImmediate("blendps", 4),
  blendByImmediate("blendpd", 8),
  ...extensions,
  packed("phminposuw", (_, b, h) => leastWord(h, b)),
  sse("mpsadbw", IMMEDIATE, (h) => {
    const b = h.readVector(1, true);
    h.writeVector(0, blockDifferences(h, h.readVector(0, true), b), true);
  }),
  insertFloat,
  test,
];
