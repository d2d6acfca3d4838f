/**
 * F2XM1 (Intel SDM volume 2): 2^x - 1 for x from -1 to 1. Outside, where the result is undefined, the
 * operand comes back as inexact, as on AMD's processors.
 */

import * as v from "../../../wasm/value.ts";
import { BIAS, EXPONENT_MAX, Flag, INTEGER_BIT, SIGN } from "../format.ts";
import {
  carried,
  denormalOperand,
  exponentOf,
  flags,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isZero,
  normalized,
  signOf,
} from "../library.ts";
import { addWide, reciprocals, series, shiftWide, subWide, wide } from "./wide.ts";

const i32 = v.i32;
const i64 = v.i64;
/** ln 2 as a fraction of 128 bits. */
const LN2 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6afn;
const TERMS = 21;
/** log2 of the largest argument: ln 2 / 4. */
const LARGEST = -2.52;

const factorial = (n: number): bigint => n < 2 ? 1n : BigInt(n) * factorial(n - 1);

/** Adds F2XM1. */
export function defineExponential(lib: Float80Library): void {
  lib.define("exp2m1", (c, aM, aSe, control) => {
    c.if(isNanOrUnsupported(aM, aSe), () => lib.tail(c, "nanOf", aM, aSe, control));
    c.if(hasMaximalExponent(aSe), () => {
      const exponent = v.select(signOf(aSe), i32(SIGN | BIAS), i32(EXPONENT_MAX));
      c.return(i64(INTEGER_BIT), exponent);
    });
    c.if(isZero(aM, aSe), () => c.return(aM, aSe));
    const carrying = denormalOperand(c, isDenormal(aM, aSe), aM, aSe, control);
    c.if(v.geU(exponentOf(aSe), i32(BIAS)), () => {
      const isOne = v.and(v.eq(exponentOf(aSe), i32(BIAS)), v.eq(aM, i64(INTEGER_BIT)));
      // 1 is reached from below: the processors have it rounded up.
      const positive = v.and(isOne, v.eqz(signOf(aSe)));
      c.if(positive, () => {
        lib.tail(c, "roundWide", i32(0), i32(BIAS - 1), i64(-1), i64(-1), carrying);
      });
      const half = v.and(isOne, v.shrU(signOf(aSe), i32(15)));
      c.return(aM, v.or(v.sub(aSe, half), v.or(carried(carrying), flags(Flag.PE))));
    });
    const sign = c.let(signOf(aSe));
    const [significand, exponent] = normalized(c, aM, aSe);
    // y = |x| ln 2 / 4, with two bits of room above: y = mantissa · 2^-126 · 2^-scale.
    const [yHigh, yLow] = lib.results(c, "multiplyHigh", significand, i64(0), ...wide(LN2));
    const scale = c.let(v.sub(i32(BIAS + 1), exponent));
    const [mHigh, mLow] = shiftWide(c, [yHigh, yLow], 2);
    const absolute = lib.results(c, "shiftRightJam", yHigh, yLow, scale);
    const s = lib.results(c, "expm1Series", sign, mHigh, mLow, ...absolute);
    // s(2x) = s(x)(2 ± s(x)), twice.
    for (let i = 0; i < 2; i++) {
      const square = lib.results(c, "multiplyHigh", s[0], s[1], s[0], s[1]);
      const down = v.sub(scale, i32(i + 1));
      const jammed = lib.results(c, "shiftRightJam", square[0], square[1], down);
      const half = [jammed[0], jammed[1]] as const;
      c.if(sign, () => {
        const [high, low] = subWide(c, [s[0], s[1]], half);
        c.set(s[0], high);
        c.set(s[1], low);
      }, () => {
        const [high, low] = addWide(c, [s[0], s[1]], half);
        c.set(s[0], high);
        c.set(s[1], low);
      });
    }
    lib.tail(c, "roundWide", sign, v.sub(i32(BIAS + 3), scale), s[0], s[1], carrying);
  });

  // m(1 ± y(1/2! ± y(1/3! ± ...))), where m is y in the caller's scale.
  lib.define("expm1Series", (c, negative, mHigh, mLow, yHigh, yLow) => {
    const coefficients = reciprocals(TERMS, (k) => factorial(k + 2));
    for (const alternating of [true, false]) {
      const body = () => {
        const sum = series(lib, c, [yHigh, yLow], coefficients, alternating, LARGEST);
        const part = lib.results(c, "multiplyHigh", yHigh, yLow, ...sum);
        const correction = lib.results(c, "multiplyHigh", mHigh, mLow, ...part);
        const combine = alternating ? subWide : addWide;
        c.return(...combine(c, [mHigh, mLow], [correction[0], correction[1]]));
      };
      if (alternating) c.if(negative, body);
      else body();
    }
  });
}
