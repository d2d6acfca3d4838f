/**
 * Rounding to single and double precision as SSE does it (Intel SDM volume 1: 10.2.3.3 flush to zero,
 * 11.5.2 exceptions). The result is still an 80-bit value; a denormal one is normalized.
 */

import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { BIAS, Control, EXPONENT_MAX, Flag, INTEGER_BIT } from "./format.ts";
import {
  anyOf,
  carried,
  flagIf,
  flags,
  type Float80Library,
  has,
  isUnmasked,
  variable,
} from "./library.ts";
import { isAway, roundsUp } from "./round.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Adds `roundNarrow`. */
export function defineNarrowRounding(lib: Float80Library): void {
  lib.define("roundNarrow", (c, sign, exponent, high, low, control) => {
    const isSingle = c.let(has(control, Control.toSingle));
    const choose = (single: Value, double: Value) => c.let(v.select(isSingle, single, double));
    const drop = choose(i64(40), i64(11));
    const least = choose(i32(BIAS - 126), i32(BIAS - 1022));
    const greatest = choose(i32(BIAS + 127), i32(BIAS + 1023));
    const mask = c.let(v.sub(v.shl(i64(1), drop), i64(1)));
    const restOf = () =>
      c.let(v.or(v.shl(high, v.sub(i64(64), drop)), v.extendU(v.ne(low, i64(0)))));
    const add = (up: Value) => v.add(v.and(high, v.xor(mask, i64(-1))), v.shl(v.extendU(up), drop));
    const before = c.let(v.or(carried(control), sign));
    const inexact = (rest: Value) => flagIf(v.ne(rest, i64(0)), Flag.PE);

    c.if(v.ltS(exponent, least), () => {
      const rest = restOf();
      const up = roundsUp(c, sign, control, v.shrU(high, drop), rest);
      const carry = v.and(up, v.eq(v.or(high, mask), i64(-1)));
      const justBelow = v.eq(exponent, v.sub(least, i32(1)));
      const tiny = c.let(v.eqz(v.and(carry, justBelow)));
      // Unmasked, it is only the report that counts: inexact as if the exponent had no bound.
      c.if(v.and(tiny, isUnmasked(control, Flag.UE)), () => {
        c.return(i64(0), anyOf(before, flags(Flag.UE), inexact(rest)));
      });
      c.if(v.and(tiny, has(control, Control.flushToZero)), () => {
        c.return(i64(0), v.or(before, flags(Flag.UE, Flag.PE)));
      });
      const distance = v.sub(least, exponent);
      lib.into(c, [high, low], "shiftRightJam", high, low, distance);
      const lost = restOf();
      const roundedUp = roundsUp(c, sign, control, v.shrU(high, drop), lost);
      const value = c.let(add(roundedUp));
      const underflow = v.and(tiny, v.ne(lost, i64(0)));
      const report = c.let(anyOf(before, inexact(lost), flagIf(underflow, Flag.UE)));
      c.if(v.eqz(value), () => c.return(i64(0), report));
      const shift = c.let(v.clz(value));
      c.return(v.shl(value, shift), v.add(report, v.sub(least, v.wrap(shift))));
    });

    const rest = restOf();
    const up = roundsUp(c, sign, control, v.shrU(high, drop), rest);
    const result = variable(c, add(up));
    c.if(v.eqz(result), () => {
      c.set(result, i64(INTEGER_BIT));
      c.set(exponent, v.add(exponent, i32(1)));
    });
    c.if(v.gtS(exponent, greatest), () => {
      const masked = v.eqz(isUnmasked(control, Flag.OE));
      const report = c.let(v.or(before, flags(Flag.OE)));
      c.if(v.eqz(masked), () => c.return(i64(0), v.or(report, inexact(rest))));
      const nearest = v.eqz(has(control, Control.rounding));
      c.if(v.or(nearest, isAway(sign, control)), () => {
        c.return(i64(INTEGER_BIT), anyOf(report, flags(Flag.PE), i32(EXPONENT_MAX)));
      });
      c.return(v.xor(mask, i64(-1)), anyOf(report, flags(Flag.PE), greatest));
    });
    c.return(result, anyOf(before, exponent, inexact(rest)));
  });
}
