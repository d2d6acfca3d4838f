/** Multiplication and division (Intel SDM volume 2: FMUL, FDIV). */

import * as v from "../../wasm/value.ts";
import { BIAS, EXPONENT_MAX, Flag, INTEGER_BIT } from "./format.ts";
import {
  anyOf,
  carried,
  denormalOperand,
  exponentOf,
  flags,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isNormal,
  isZero,
  normalized,
  signOf,
  variable,
  wideProduct,
} from "./library.ts";
import { INVALID } from "./nan.ts";

const i32 = v.i32;
const i64 = v.i64;
const LOW_HALF = 0xffff_ffff;

/** Adds FMUL and FDIV. */
export function defineMultiplication(lib: Float80Library): void {
  lib.define("mul", (c, aM, aSe, bM, bSe, control) => {
    const sign = c.let(v.xor(signOf(aSe), signOf(bSe)));
    c.if(v.and(isNormal(aM, aSe), isNormal(bM, bSe)), () => {
      const exponent = v.sub(v.add(exponentOf(aSe), exponentOf(bSe)), i32(BIAS - 1));
      lib.tail(c, "mulFinite", sign, exponent, aM, bM, control);
    });
    lib.tail(c, "mulSpecial", aM, aSe, bM, bSe, control);
  });

  lib.define("mulFinite", (c, sign, exponent, aM, bM, control) => {
    const [high, low] = wideProduct(c, aM, bM);
    c.if(v.ltS(high, i64(0)), () => lib.tail(c, "round", sign, exponent, high, low, control));
    const shifted = v.or(v.shl(high, i64(1)), v.shrU(low, i64(63)));
    const less = v.sub(exponent, i32(1));
    lib.tail(c, "round", sign, less, shifted, v.shl(low, i64(1)), control);
  });

  lib.define("mulSpecial", (c, aM, aSe, bM, bSe, control) => {
    c.if(v.or(isNanOrUnsupported(aM, aSe), isNanOrUnsupported(bM, bSe)), () => {
      lib.tail(c, "nan", aM, aSe, bM, bSe, control);
    });
    const infinite = c.let(v.or(hasMaximalExponent(aSe), hasMaximalExponent(bSe)));
    const zero = c.let(v.or(isZero(aM, aSe), isZero(bM, bSe)));
    c.if(v.and(infinite, zero), () => c.return(...INVALID));
    const denormal = v.or(isDenormal(aM, aSe), isDenormal(bM, bSe));
    const carrying = denormalOperand(c, denormal, aM, aSe, control);
    const sign = c.let(v.xor(signOf(aSe), signOf(bSe)));
    const packed = c.let(v.or(sign, carried(carrying)));
    c.if(infinite, () => c.return(i64(INTEGER_BIT), v.or(packed, i32(EXPONENT_MAX))));
    c.if(zero, () => c.return(i64(0), packed));
    const [aHigh, aExponent] = normalized(c, aM, aSe);
    const [bHigh, bExponent] = normalized(c, bM, bSe);
    const exponent = v.sub(v.add(aExponent, bExponent), i32(BIAS - 1));
    lib.tail(c, "mulFinite", sign, exponent, aHigh, bHigh, carrying);
  });

  lib.define("div", (c, aM, aSe, bM, bSe, control) => {
    const sign = c.let(v.xor(signOf(aSe), signOf(bSe)));
    c.if(v.and(isNormal(aM, aSe), isNormal(bM, bSe)), () => {
      const exponent = v.add(v.sub(exponentOf(aSe), exponentOf(bSe)), i32(BIAS));
      lib.tail(c, "divFinite", sign, exponent, aM, bM, control);
    });
    lib.tail(c, "divSpecial", aM, aSe, bM, bSe, control);
  });

  lib.define("divFinite", (c, sign, exponent, aM, bM, control) => {
    const below = c.let(v.extendU(v.ltU(aM, bM)));
    // The quotient lies between 2^63 and 2^64: the dividend is halved where it would not.
    const shift = v.sub(i64(1), below);
    const low = v.and(v.shl(aM, i64(63)), v.sub(below, i64(1)));
    const [quotient, remainder] = lib.results(c, "divideWide", v.shrU(aM, shift), low, bM);
    const half = v.shrU(bM, i64(1));
    // What is left against half the divisor; exact halves need an even divisor.
    const rest = v.select(
      v.gtU(remainder, half),
      i64(INTEGER_BIT + 1n),
      v.select(
        v.or(v.ltU(remainder, half), v.ne(v.and(bM, i64(1)), i64(0))),
        v.extendU(v.ne(remainder, i64(0))),
        i64(INTEGER_BIT),
      ),
    );
    const lower = v.sub(exponent, v.wrap(below));
    lib.tail(c, "round", sign, lower, quotient, rest, control);
  });

  lib.define("divSpecial", (c, aM, aSe, bM, bSe, control) => {
    c.if(v.or(isNanOrUnsupported(aM, aSe), isNanOrUnsupported(bM, bSe)), () => {
      lib.tail(c, "nan", aM, aSe, bM, bSe, control);
    });
    const aInfinite = c.let(hasMaximalExponent(aSe));
    const bInfinite = c.let(hasMaximalExponent(bSe));
    const aZero = c.let(isZero(aM, aSe));
    const bZero = c.let(isZero(bM, bSe));
    const invalid = v.or(v.and(aInfinite, bInfinite), v.and(aZero, bZero));
    c.if(invalid, () => c.return(...INVALID));
    const sign = c.let(v.xor(signOf(aSe), signOf(bSe)));
    const finiteByZero = v.and(bZero, v.eqz(aInfinite));
    c.if(finiteByZero, () => {
      c.return(i64(INTEGER_BIT), anyOf(sign, i32(EXPONENT_MAX), flags(Flag.ZE)));
    });
    const denormal = v.or(isDenormal(aM, aSe), isDenormal(bM, bSe));
    const carrying = denormalOperand(c, denormal, aM, aSe, control);
    const packed = c.let(v.or(sign, carried(carrying)));
    c.if(aInfinite, () => c.return(i64(INTEGER_BIT), v.or(packed, i32(EXPONENT_MAX))));
    c.if(v.or(aZero, bInfinite), () => c.return(i64(0), packed));
    const [aHigh, aExponent] = normalized(c, aM, aSe);
    const [bHigh, bExponent] = normalized(c, bM, bSe);
    const exponent = v.add(v.sub(aExponent, bExponent), i32(BIAS));
    lib.tail(c, "divFinite", sign, exponent, aHigh, bHigh, carrying);
  });

  // Schoolbook division with digits of 32 bits: each is guessed from the divisor's upper digit, and
  // the guess is at most two too large (Knuth, volume 2, 4.3.1).
  lib.define("divideWide", (c, high, low, divisor) => {
    const upper = c.let(v.shrU(divisor, i64(32)));
    const lower = c.let(v.and(divisor, i64(LOW_HALF)));
    const digit = (top: v.Value, next: v.Value) => {
      const guess = variable(c, v.divU(top, upper));
      const left = variable(c, v.sub(top, v.mul(guess, upper)));
      c.block((done) => {
        c.loop((again) => {
          const wide = v.or(v.shl(left, i64(32)), next);
          const fits = v.and(
            v.leU(guess, i64(LOW_HALF)),
            v.leU(v.mul(guess, lower), wide),
          );
          c.branchIf(done, fits);
          c.set(guess, v.sub(guess, i64(1)));
          c.set(left, v.add(left, upper));
          c.branchIf(again, v.leU(left, i64(LOW_HALF)));
        });
      });
      return guess;
    };
    const next1 = c.let(v.shrU(low, i64(32)));
    const next0 = c.let(v.and(low, i64(LOW_HALF)));
    const digit1 = digit(high, next1);
    const shifted = v.or(v.shl(high, i64(32)), next1);
    const middle = c.let(v.sub(shifted, v.mul(digit1, divisor)));
    const digit0 = digit(middle, next0);
    const last = v.or(v.shl(middle, i64(32)), next0);
    c.return(
      v.add(v.shl(digit1, i64(32)), digit0),
      v.sub(last, v.mul(digit0, divisor)),
    );
  });
}
