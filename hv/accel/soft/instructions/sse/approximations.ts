/**
 * RCPPS, RCPSS, RSQRTPS, RSQRTSS (Intel SDM volume 2). Their relative error may be 1.5 times 2^-12;
 * processors differ within that. Here the exact value is rounded to 12 bits. No flags, no exceptions.
 */

import type { Handler } from "../../codegen/handler.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { spread, storeScalar } from "./arithmetic.ts";
import { LOAD, sse } from "./definition.ts";

const all = (bits: number): Value => simd.splat32(v.i32(bits));

const SIGN = all(0x8000_0000);
const LEAST_NORMAL = all(0x0080_0000);
const QUIET = all(0x0040_0000);
const ONE = all(0x3f80_0000);
/** Half of what is cut off, and what stays. */
const HALF = all(0x0800);
const TWELVE_BITS = all(~0xfff);

/** Denormals become zeros of their sign. */
const flushed = (h: Handler, a: Value): Value =>
  h.let(
    simd.select(simd.and(a, SIGN), a, simd.ltF32(simd.absF32(a), LEAST_NORMAL)),
  );

/** Rounds to 12 bits; NaNs are those of the operand, quiet, or the indefinite one. */
function finished(h: Handler, exact: Value, operand: Value): Value {
  const result = h.let(exact);
  const rounded = simd.and(simd.add32(result, HALF), TWELVE_BITS);
  const operandNan = simd.neF32(operand, operand);
  const nan = simd.select(simd.or(operand, QUIET), all(0xffc0_0000), operandNan);
  return simd.select(nan, rounded, simd.neF32(result, result));
}

const reciprocal = (h: Handler, b: Value): Value => {
  const exact = h.let(simd.divF32(ONE, flushed(h, b)));
  return finished(h, flushed(h, exact), b);
};

const reciprocalRoot = (h: Handler, b: Value): Value =>
  finished(h, simd.divF32(ONE, simd.sqrtF32(flushed(h, b))), b);

const both = (name: string, operate: (h: Handler, b: Value) => Value): Definition[] => [
  sse(`${name}ps`, LOAD, (h) => h.writeVector(0, operate(h, h.readVector(1, true)), true)),
  sse(`${name}ss`, LOAD, (h) => {
    storeScalar(h, 32, operate(h, spread(h, 32, h.read(1, 32))));
  }),
];

/** See above. */
export const SSE_APPROXIMATIONS: readonly Definition[] = [
  ...both("rcp", reciprocal),
  ...both("rsqrt", reciprocalRoot),
];
