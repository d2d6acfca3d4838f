/**
 * FSIN, FCOS, FSINCOS, FPTAN (Intel SDM volume 2; volume 1, 8.3.8): the operand's remainder by π/2 is
 * exact, with the π of 66 bits that the processors use; so are sine and cosine of it, then, to the last
 * bit. From 2^63 on C2 is set and the operand stays.
 */

import * as v from "../../../wasm/value.ts";
import type { Value } from "../../../wasm/value.ts";
import { BIAS, Flag, INTEGER_BIT, SIGN } from "../format.ts";
import {
  anyOf,
  exponentOf,
  flags,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isZero,
  normalized,
  signOf,
  variable,
} from "../library.ts";
import { INVALID } from "../nan.ts";
import { addWide, reciprocals, series, subWide, wide, wideSum } from "./wide.ts";

const i32 = v.i32;
const i64 = v.i64;
/** π/2 in units of 2^-65. */
const HALF_PI = 0x3_243f_6a88_85a3_08d3n;
const TERMS = 15;
/** log2 of the largest square of a remainder. */
const LARGEST = -0.69;
/** Scale from which the tangent is r + r³/3 to all its bits. */
const TINY = 40;
const ONE: readonly [Value, Value] = [i64(INTEGER_BIT), i32(BIAS)];
/** In a quadrant: the remainder is negative. */
const NEGATIVE = -0x8000_0000;

const factorial = (n: number): bigint => n < 2 ? 1n : BigInt(n) * factorial(n - 1);

/** Adds the four instructions. */
export function defineTrigonometry(lib: Float80Library): void {
  lib.define("sin", (c, m, se, control) => {
    const [done, answer, packed] = lib.results(c, "angleSpecial", m, se, control);
    c.if(done, () => c.return(answer, packed));
    const reduced = lib.results(c, "reduceAngle", m, se);
    lib.tail(c, "sinOf", ...reduced, signOf(se), packed);
  });

  lib.define("cos", (c, m, se, control) => {
    const [done, answer, packed] = lib.results(c, "angleSpecial", m, se, control);
    c.if(done, () => {
      c.if(isZero(m, se), () => c.return(...ONE));
      c.return(answer, packed);
    });
    const [high, low, scale, quadrant] = lib.results(c, "reduceAngle", m, se);
    // The cosine does not see the sign of its operand.
    lib.tail(c, "sinOf", high, low, scale, v.add(quadrant, i32(1)), i32(0), packed);
  });

  lib.define("tan", (c, m, se, control) => {
    const [done, answer, packed] = lib.results(c, "angleSpecial", m, se, control);
    c.if(done, () => {
      c.if(isZero(m, se), () => c.return(m, se, ...ONE));
      c.return(answer, packed, answer, v.and(packed, i32(0xffff)));
    });
    const reduced = lib.results(c, "reduceAngle", m, se);
    const tangent = lib.results(c, "tanOf", ...reduced, signOf(se), packed);
    c.return(...tangent, ...ONE);
  });

  lib.define("sincos", (c, m, se, control) => {
    const [done, answer, packed] = lib.results(c, "angleSpecial", m, se, control);
    c.if(done, () => {
      c.if(isZero(m, se), () => c.return(m, se, ...ONE));
      c.return(answer, packed, answer, v.and(packed, i32(0xffff)));
    });
    const [high, low, scale, quadrant] = lib.results(c, "reduceAngle", m, se);
    const angle = [high, low, scale] as const;
    const sine = lib.results(c, "sinOf", ...angle, quadrant, signOf(se), packed);
    const turned = v.add(quadrant, i32(1));
    const cosine = lib.results(c, "sinOf", ...angle, turned, i32(0), packed);
    // The report, and with it C1, is the sine's, as in AMD's processors.
    c.return(...sine, cosine[0], v.and(cosine[1], i32(0xffff)));
  });

  // NaN, infinity, zero, too large, unmasked DE: 1 and the answer. Else 0 and, in the place of the
  // packed result, the control word with what it carries.
  lib.define("angleSpecial", (c, m, se, control) => {
    c.if(isNanOrUnsupported(m, se), () => {
      const answer = lib.results(c, "nanOf", m, se, control);
      c.return(i32(1), ...answer);
    });
    c.if(hasMaximalExponent(se), () => c.return(i32(1), ...INVALID));
    c.if(isZero(m, se), () => c.return(i32(1), m, se));
    const tooLarge = v.geU(exponentOf(se), i32(BIAS + 63));
    c.if(tooLarge, () => c.return(i32(1), m, v.or(se, flags(Flag.C2))));
    const denormal = c.let(isDenormal(m, se));
    const unmasked = v.eqz(v.and(control, i32(Flag.DE)));
    c.if(v.and(denormal, unmasked), () => c.return(i32(1), m, v.or(se, flags(Flag.DE))));
    const flag = v.shl(denormal, i32(17));
    c.return(i32(0), i64(0), v.or(control, flag));
  });

  lib.define("reduceAngle", (c, m, se) => {
    const [significand, exponent] = normalized(c, m, se);
    // m is the remainder in units of 2^(2 - shifts - 65).
    const shifts = variable(c, v.sub(exponent, i32(BIAS - 2)));
    c.if(v.ltS(shifts, i32(0)), () => {
      c.return(significand, i64(0), v.sub(i32(1), shifts), i32(0));
    });
    const high = c.local(v.I64);
    const low = variable(c, significand);
    const quadrant = c.local(v.I32);
    const [pHigh, pLow] = wide(HALF_PI);
    const subtract = () => {
      c.set(high, v.sub(v.sub(high, pHigh), v.extendU(v.ltU(low, pLow))));
      c.set(low, v.sub(low, pLow));
    };
    const reaches = () => v.or(v.gtU(high, pHigh), v.and(v.eq(high, pHigh), v.geU(low, pLow)));
    c.block((done) => {
      c.loop((again) => {
        c.branchIf(done, v.eqz(shifts));
        c.set(shifts, v.sub(shifts, i32(1)));
        c.set(high, v.or(v.shl(high, i64(1)), v.shrU(low, i64(63))));
        c.set(low, v.shl(low, i64(1)));
        c.set(quadrant, v.shl(quadrant, i32(1)));
        c.if(reaches(), () => {
          subtract();
          c.set(quadrant, v.or(quadrant, i32(1)));
        });
        c.branch(again);
      });
    });
    c.set(quadrant, v.and(quadrant, i32(3)));
    const twice = addWide(c, [high, low], [high, low]);
    const beyond = v.or(
      v.gtU(twice[0], pHigh),
      v.and(v.eq(twice[0], pHigh), v.gtU(twice[1], pLow)),
    );
    c.if(beyond, () => {
      wideSum(c, [high, low], [pHigh, pLow], i64(-1));
      c.set(quadrant, v.or(v.and(v.add(quadrant, i32(1)), i32(3)), i32(NEGATIVE)));
    });
    const [top, rest, count] = lib.results(c, "normalizeWide", high, low);
    c.return(top, rest, v.sub(count, i32(63)), quadrant);
  });

  const negativeSign = (quadrant: Value) => v.and(v.shrU(quadrant, i32(16)), i32(SIGN));
  const half = (quadrant: Value) => v.shl(v.and(quadrant, i32(2)), i32(14));

  lib.define("sinOf", (c, high, low, scale, quadrant, sign, control) => {
    const turned = c.let(v.xor(sign, half(quadrant)));
    c.if(v.and(quadrant, i32(1)), () => {
      const cosine = lib.results(c, "cosSeries", high, low, scale);
      lib.tail(c, "roundWide", turned, i32(BIAS - 1), ...cosine, control);
    });
    const sine = lib.results(c, "sinSeries", high, low, scale);
    const exponent = v.sub(i32(BIAS - 1), scale);
    const all = v.xor(turned, negativeSign(quadrant));
    lib.tail(c, "roundWide", all, exponent, ...sine, control);
  });

  lib.define("tanOf", (c, high, low, scale, quadrant, sign, control) => {
    const odd = c.let(v.and(quadrant, i32(1)));
    const signed = c.let(anyOf(
      v.xor(v.xor(sign, negativeSign(quadrant)), v.shl(odd, i32(15))),
    ));
    c.if(v.and(v.eqz(odd), v.gtS(scale, i32(TINY))), () => {
      // r + r³/3: at most a little more than r, which is what rounding has to see.
      const r = lib.results(c, "shiftRightJam", high, low, scale);
      const square = lib.results(c, "multiplyHigh", r[0], r[1], r[0], r[1]);
      const cube = lib.results(c, "multiplyHigh", high, low, square[0], square[1]);
      const third = lib.results(c, "multiplyHigh", ...cube, ...wide((1n << 128n) / 3n));
      const room = [
        v.shrU(high, i64(1)),
        v.or(v.shrU(low, i64(1)), v.shl(high, i64(63))),
      ] as const;
      const small = addWide(c, [v.shrU(third[0], i64(1)), third[0]], [i64(0), i64(1)]);
      const sum = addWide(c, room, small);
      lib.tail(c, "roundWide", signed, v.sub(i32(BIAS), scale), ...sum, control);
    });
    const sine = lib.results(c, "sinSeries", high, low, scale);
    const cosine = lib.results(c, "cosSeries", high, low, scale);
    const [s, sRest, sCount] = lib.results(c, "normalizeWide", ...sine);
    const [k, kRest, kCount] = lib.results(c, "normalizeWide", ...cosine);
    const exponent = c.let(v.sub(v.add(scale, sCount), kCount));
    const quotient = (a: readonly Value[], b: readonly Value[]) => {
      const [aHigh, aLow] = a;
      const shifted = [
        v.shrU(aHigh, i64(1)),
        v.or(v.shrU(aLow, i64(1)), v.shl(aHigh, i64(63))),
      ];
      return lib.results(c, "divideFraction", ...shifted, ...b);
    };
    c.if(odd, () => {
      const result = quotient([k, kRest], [s, sRest]);
      lib.tail(c, "roundWide", signed, v.add(i32(BIAS), exponent), ...result, control);
    });
    const result = quotient([s, sRest], [k, kRest]);
    lib.tail(c, "roundWide", signed, v.sub(i32(BIAS), exponent), ...result, control);
  });

  // r(1 - r²(1/3! - r²(1/5! - ...))), a little less, so that it never looks exact.
  lib.define("sinSeries", (c, high, low, scale) => {
    const r = lib.results(c, "shiftRightJam", high, low, scale);
    const u = lib.results(c, "multiplyHigh", r[0], r[1], r[0], r[1]);
    const coefficients = reciprocals(TERMS, (k) => factorial(2 * k + 3));
    const sum = series(lib, c, [u[0], u[1]], coefficients, true, LARGEST);
    const part = lib.results(c, "multiplyHigh", u[0], u[1], ...sum);
    const correction = lib.results(c, "multiplyHigh", high, low, part[0], part[1]);
    const more = addWide(c, [correction[0], correction[1]], [i64(0), i64(1)]);
    c.return(...subWide(c, [high, low], more));
  });

  // 1 - r²(1/2! - r²(1/4! - ...)) as a fraction, below 1.
  lib.define("cosSeries", (c, high, low, scale) => {
    const r = lib.results(c, "shiftRightJam", high, low, scale);
    const u = lib.results(c, "multiplyHigh", r[0], r[1], r[0], r[1]);
    const coefficients = reciprocals(TERMS, (k) => factorial(2 * k + 2));
    const sum = series(lib, c, [u[0], u[1]], coefficients, true, LARGEST);
    const part = lib.results(c, "multiplyHigh", u[0], u[1], ...sum);
    c.return(v.xor(part[0], i64(-1)), v.xor(part[1], i64(-1)));
  });
}
