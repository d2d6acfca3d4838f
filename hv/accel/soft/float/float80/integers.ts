/**
 * Integers (Intel SDM volume 2: FRNDINT, FILD, FIST, FISTP, FISTTP). FISTTP is a conversion with the
 * rounding field of the control word at 11b.
 */

import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { BIAS, Flag, SIGN } from "./format.ts";
import {
  anyOf,
  carried,
  denormalOperand,
  exponentOf,
  flagIf,
  flags,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isZero,
  signOf,
} from "./library.ts";
import { roundsUp } from "./round.ts";

const i32 = v.i32;
const i64 = v.i64;
/** Exponent of 2^63: from there on every value is an integer. */
const WHOLE = BIAS + 63;

/** Adds the conversions: an integer's result is its value and, in the high half, the flags. */
export function defineIntegers(lib: Float80Library): void {
  lib.define("integerOf", (c, aM, aSe, control) => {
    const distance = c.let(v.sub(i32(WHOLE), exponentOf(aSe)));
    const [high, low] = lib.results(c, "shiftRightJam", aM, i64(0), distance);
    const up = roundsUp(c, signOf(aSe), control, high, low);
    const inexact = flagIf(v.ne(low, i64(0)), Flag.PE);
    c.return(v.add(high, v.extendU(up)), v.or(inexact, flagIf(up, Flag.C1)));
  });

  lib.define("roundToInteger", (c, aM, aSe, control) => {
    c.if(isNanOrUnsupported(aM, aSe), () => lib.tail(c, "nanOf", aM, aSe, control));
    c.if(v.or(v.geU(exponentOf(aSe), i32(WHOLE)), isZero(aM, aSe)), () => c.return(aM, aSe));
    const carrying = denormalOperand(c, isDenormal(aM, aSe), aM, aSe, control);
    const [whole, report] = lib.results(c, "integerOf", aM, aSe, control);
    const packed = anyOf(signOf(aSe), report, carried(carrying));
    c.if(v.eqz(whole), () => c.return(i64(0), packed));
    const shift = c.let(v.clz(whole));
    c.return(v.shl(whole, shift), v.or(packed, v.sub(i32(WHOLE), v.wrap(shift))));
  });

  defineToInteger(lib, "toInt16", 16);
  defineToInteger(lib, "toInt32", 32);
  defineToInteger(lib, "toInt64", 64);

  lib.define("fromInteger", (c, value) => {
    c.if(v.eqz(value), () => c.return(i64(0), i32(0)));
    const negative = c.let(v.ltS(value, i64(0)));
    const magnitude = c.let(v.select(negative, v.sub(i64(0), value), value));
    const shift = c.let(v.clz(magnitude));
    const exponent = v.sub(i32(WHOLE), v.wrap(shift));
    c.return(v.shl(magnitude, shift), v.or(exponent, v.shl(negative, i32(15))));
  });
}

function defineToInteger(
  lib: Float80Library,
  name: "toInt16" | "toInt32" | "toInt64",
  bits: number,
): void {
  lib.define(name, (c, aM, aSe, control) => {
    // The integer indefinite.
    const invalid: [Value, Value] = [i64(-(1n << BigInt(bits - 1))), flags(Flag.IE)];
    const bad = v.or(isNanOrUnsupported(aM, aSe), hasMaximalExponent(aSe));
    c.if(v.or(bad, v.gtU(exponentOf(aSe), i32(BIAS + 63))), () => c.return(...invalid));
    const [whole, report] = lib.results(c, "integerOf", aM, aSe, control);
    const negative = c.let(v.shrU(v.and(aSe, i32(SIGN)), i32(15)));
    const limit = v.add(i64((1n << BigInt(bits - 1)) - 1n), v.extendU(negative));
    const carriedOver = v.and(v.eqz(whole), v.eq(exponentOf(aSe), i32(WHOLE)));
    c.if(v.or(v.gtU(whole, limit), carriedOver), () => c.return(...invalid));
    c.return(v.select(negative, v.sub(i64(0), whole), whole), report);
  });
}
