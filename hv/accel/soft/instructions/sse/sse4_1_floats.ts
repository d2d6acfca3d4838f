/** SSE4.1 on floats (Intel SDM volume 2: DPPD, DPPS, ROUNDPD, ROUNDPS, ROUNDSD, ROUNDSS). */

import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import { Mxcsr } from "../../float/float_sse/format.ts";
import { Flag } from "../../float/float80/format.ts";
import type { Local } from "../../wasm/code.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, I64, V128, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { packedArithmetic, spread, storeScalar } from "./arithmetic.ts";
import { sse } from "./definition.ts";
import { lanesOf, range } from "./lanes.ts";
import { everyLane, isPlain, isUsual, mxcsr, report, type Width } from "./mxcsr.ts";

const IMMEDIATE = ["rri", "rmi"];
/** In ROUND's immediate: MXCSR's rounding, and no report of inexactness. */
const BY_MXCSR = 1 << 2;
const QUIET = 1 << 3;

const byte = (h: Handler): Value => h.let(h.opField(I32, 8, OP.immediate));

/** Rounds by WebAssembly's operations where no flag can come of it, else by what `slow` calls. */
function rounded(
  h: Handler,
  w: Width,
  b: Value,
  slow: (result: Local, flags: Local, used: Value) => void,
): Value {
  const imm = byte(h);
  const control = mxcsr(h);
  const field = v.and(v.shrU(control, v.i32(Mxcsr.rounding)), v.i32(3));
  const mode = h.let(v.select(v.and(imm, v.i32(BY_MXCSR)), field, v.and(imm, v.i32(3))));
  const result = h.code.local(V128);
  const silent = v.or(v.and(imm, v.i32(QUIET)), isUsual(control));
  h.code.if(v.and(v.ne(silent, v.i32(0)), everyLane(isPlain(w, b))), () => {
    const operations = w === 32
      ? [simd.nearestF32, simd.floorF32, simd.ceilF32, simd.truncF32]
      : [simd.nearestF64, simd.floorF64, simd.ceilF64, simd.truncF64];
    operations.forEach((operation, i) => {
      h.code.if(v.eq(mode, v.i32(i)), () => h.code.set(result, operation(b)));
    });
  }, () => {
    const others = v.and(control, v.i32(~(3 << Mxcsr.rounding)));
    const flags = h.code.local(I32);
    slow(result, flags, h.let(v.or(others, v.shl(mode, v.i32(Mxcsr.rounding)))));
    const inexact = v.select(v.and(imm, v.i32(QUIET)), v.i32(0), v.i32(Flag.PE));
    report(h, control, h.let(v.and(flags, v.or(v.i32(Flag.IE), inexact))));
  });
  return result;
}

const roundings = ([32, 64] as const).flatMap((w) => {
  const letter = w === 32 ? "s" : "d";
  return [
    sse(`roundp${letter}`, IMMEDIATE, (h) => {
      const b = h.readVector(1, true);
      const result = rounded(h, w, b, (r, flags, used) => {
        h.callFloat(`packedRound${w}`, [r, flags], b, used);
      });
      h.writeVector(0, result, true);
    }),
    sse(`rounds${letter}`, IMMEDIATE, (h) => {
      const bits = h.read(1, w);
      const result = rounded(h, w, spread(h, w, bits), (r, flags, used) => {
        const scalar = h.code.local(I64);
        h.callFloat(`round${w}`, [scalar, flags], v.extendU(bits), used);
        h.code.set(r, w === 32 ? simd.splat32(v.wrap(scalar)) : simd.splat64(scalar));
      });
      storeScalar(h, w, result);
    }),
  ];
});

/** Lanes whose bit (from `first` on) the immediate has: all ones. */
function chosen(w: Width, imm: Value, first: number): Value {
  const bytes = w >> 3;
  const bits = s.vectorConstant(
    range(0, 16).map((at) => at % bytes === 0 ? 1 << first + at / bytes : 0),
  );
  const all = w === 32 ? simd.splat32(imm) : simd.splat64(v.extendU(imm));
  return (w === 32 ? simd.eq32 : simd.eq64)(simd.and(all, bits), bits);
}

/** The sum of products; each step rounds and reports for itself. */
const dotProduct = (name: string, w: Width): Definition =>
  sse(name, IMMEDIATE, (h) => {
    const b = h.readVector(1, true);
    const a = h.readVector(0, true);
    const imm = byte(h);
    // Products that are left out are those of zeros, which report nothing.
    const taken = h.let(chosen(w, imm, 4));
    const products = packedArithmetic(
      h,
      "mul",
      w,
      h.let(simd.and(a, taken)),
      h.let(simd.and(b, taken)),
    );
    const neighbours = (x: Value, from: number) =>
      h.let(s.shuffle(x, x, lanesOf(w >> 3, (i) => i & ~1 | from)));
    let sum = packedArithmetic(h, "add", w, neighbours(products, 0), neighbours(products, 1));
    if (w === 32) {
      const pair = (from: number) => h.let(s.shuffle(sum, sum, lanesOf(4, () => from)));
      sum = packedArithmetic(h, "add", w, pair(0), pair(2));
    }
    h.writeVector(0, simd.and(sum, chosen(w, imm, 0)), true);
  });

/** See above. */
export const SSE4_1_FLOATS: readonly Definition[] = [
  ...roundings,
  dotProduct("dpps", 32),
  dotProduct("dppd", 64),
];
