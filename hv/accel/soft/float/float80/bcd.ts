/** Packed decimal of 18 digits and a sign (Intel SDM volume 1, 4.7; volume 2: FBLD, FBSTP). */

import * as v from "../../wasm/value.ts";
import { BIAS, Flag } from "./format.ts";
import {
  anyOf,
  exponentOf,
  flags,
  type Float80Library,
  isNanOrUnsupported,
  signOf,
  variable,
} from "./library.ts";

const i32 = v.i32;
const i64 = v.i64;
const LIMIT = 10n ** 18n;
const LOW_DIGITS = 16;
/** The packed decimal indefinite. */
const INDEFINITE_LOW = -(1n << 62n);
const INDEFINITE_HIGH = 0xffff;

/** Adds the conversions; a decimal is its low 64 bits and its high 16 bits. */
export function defineBcd(lib: Float80Library): void {
  lib.define("fromBcd", (c, low, high) => {
    const total = c.local(v.I64);
    const digit = (nibble: v.Value) =>
      c.set(total, v.add(v.mul(total, i64(10)), v.and(nibble, i64(15))));
    // Digits that are none (A to F) count as 10 to 15, as in the processors.
    for (const shift of [4, 0]) digit(v.extendU(v.shrU(high, i32(shift))));
    for (let i = LOW_DIGITS - 1; i >= 0; i--) digit(v.shrU(low, i64(i * 4)));
    const [significand, packed] = lib.results(c, "fromInteger", total);
    c.return(significand, v.or(packed, signOf(high)));
  });

  lib.define("toBcd", (c, aM, aSe, control) => {
    const invalid = () => c.return(i64(INDEFINITE_LOW), v.or(i32(INDEFINITE_HIGH), flags(Flag.IE)));
    const large = v.gtU(exponentOf(aSe), i32(BIAS + 62));
    c.if(v.or(isNanOrUnsupported(aM, aSe), large), invalid);
    const [whole, report] = lib.results(c, "integerOf", aM, aSe, control);
    c.if(v.geU(whole, i64(LIMIT)), invalid);
    const left = variable(c, whole);
    const low = c.local(v.I64);
    const position = c.local(v.I64);
    c.loop((again) => {
      c.set(low, v.or(low, v.shl(v.remU(left, i64(10)), position)));
      c.set(left, v.divU(left, i64(10)));
      c.set(position, v.add(position, i64(4)));
      c.branchIf(again, v.ltU(position, i64(64)));
    });
    const tens = v.shl(v.wrap(v.divU(left, i64(10))), i32(4));
    const high = v.or(tens, v.wrap(v.remU(left, i64(10))));
    c.return(low, anyOf(high, signOf(aSe), report));
  });
}
