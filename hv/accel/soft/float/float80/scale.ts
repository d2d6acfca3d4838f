/** Powers of two apart from the number (Intel SDM volume 2: FSCALE, FXTRACT). */

import * as v from "../../wasm/value.ts";
import { BIAS, Control, EXPONENT_MAX, Flag, INTEGER_BIT, SIGN } from "./format.ts";
import {
  carried,
  denormalOperand,
  exponentOf,
  flags,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isUnmasked,
  isZero,
  normalized,
  signOf,
  variable,
} from "./library.ts";
import { INVALID } from "./nan.ts";

const i32 = v.i32;
const i64 = v.i64;
/** More than any exponent can make up for. */
const FAR = 0x1_0000;

/**
 * Adds FSCALE (ST0, ST1 → ST0) and FXTRACT, which has four results: the exponent as a value with
 * the flags of both, then the significand as a value (the new top of the stack).
 */
export function defineScaling(lib: Float80Library): void {
  lib.define("scale", (c, aM, aSe, bM, bSe, control) => {
    c.if(v.or(isNanOrUnsupported(aM, aSe), isNanOrUnsupported(bM, bSe)), () => {
      lib.tail(c, "nan", aM, aSe, bM, bSe, control);
    });
    const aInfinite = c.let(hasMaximalExponent(aSe));
    const bInfinite = c.let(hasMaximalExponent(bSe));
    const bNegative = c.let(v.ne(signOf(bSe), i32(0)));
    const aZero = c.let(isZero(aM, aSe));
    const toNothing = v.and(aInfinite, bNegative);
    const fromNothing = v.and(aZero, v.eqz(bNegative));
    c.if(v.and(bInfinite, v.or(toNothing, fromNothing)), () => c.return(...INVALID));
    const denormal = v.or(isDenormal(aM, aSe), isDenormal(bM, bSe));
    const carrying = denormalOperand(c, denormal, aM, aSe, control);
    const packed = c.let(v.or(signOf(aSe), carried(carrying)));
    c.if(v.or(aInfinite, v.and(bInfinite, v.eqz(bNegative))), () => {
      c.return(i64(INTEGER_BIT), v.or(packed, i32(EXPONENT_MAX)));
    });
    c.if(v.or(aZero, bInfinite), () => c.return(i64(0), packed));
    const [high, exponent] = normalized(c, aM, aSe);
    const power = c.local(v.I32);
    const bExponent = c.let(exponentOf(bSe));
    c.if(v.gtU(bExponent, i32(BIAS + 15)), () => c.set(power, i32(FAR)), () => {
      c.if(v.geU(bExponent, i32(BIAS)), () => {
        c.set(power, v.wrap(v.shrU(bM, v.extendU(v.sub(i32(BIAS + 63), bExponent)))));
      });
    });
    const signed = v.select(bNegative, v.sub(i32(0), power), power);
    const full = v.or(carrying, i32(Control.precision64));
    lib.tail(c, "round", signOf(aSe), v.add(exponent, signed), high, i64(0), full);
  });

  lib.define("extract", (c, aM, aSe, control) => {
    c.if(isNanOrUnsupported(aM, aSe), () => {
      const [m, packed] = lib.results(c, "nanOf", aM, aSe, control);
      c.return(m, packed, m, v.and(packed, i32(0xffff)));
    });
    c.if(hasMaximalExponent(aSe), () => c.return(i64(INTEGER_BIT), i32(EXPONENT_MAX), aM, aSe));
    c.if(isZero(aM, aSe), () => {
      const infinity = v.or(i32(EXPONENT_MAX | SIGN), flags(Flag.ZE));
      c.return(i64(INTEGER_BIT), infinity, aM, aSe);
    });
    const denormal = c.let(isDenormal(aM, aSe));
    c.if(v.and(denormal, isUnmasked(control, Flag.DE)), () => {
      c.return(aM, v.or(aSe, flags(Flag.DE)), aM, aSe);
    });
    const [high, exponent] = normalized(c, aM, aSe);
    const unbiased = v.extendS(v.sub(exponent, i32(BIAS)));
    const [m, se] = lib.results(c, "fromInteger", unbiased);
    const flagged = variable(c, se);
    c.if(denormal, () => c.set(flagged, v.or(flagged, flags(Flag.DE))));
    c.return(m, flagged, high, v.or(signOf(aSe), i32(BIAS)));
  });
}
