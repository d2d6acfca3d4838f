/**
 * Operations on NaNs and unsupported formats (Intel SDM volume 1, 4.8.3.5 table 4-7, 8.2.2, 8.5.1):
 * the larger significand wins, a quiet NaN before a signalling one, + where both are the same.
 */

import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { DEFAULT_NAN, DEFAULT_NAN_SE, Flag, QUIET_BIT } from "./format.ts";
import {
  carried,
  flagIf,
  flags,
  type Float80Library,
  hasMaximalExponent,
  isUnsupported,
  variable,
} from "./library.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Significand and packed result of an invalid operation. */
export const INVALID: readonly [Value, Value] = [
  i64(DEFAULT_NAN),
  v.or(i32(DEFAULT_NAN_SE), flags(Flag.IE)),
];

const isNan = (significand: Value, se: Value): Value =>
  v.and(hasMaximalExponent(se), v.ne(v.shl(significand, i64(1)), i64(0)));
/** Of a NaN. */
const isSignalling = (significand: Value): Value => v.eqz(v.and(significand, i64(QUIET_BIT)));

/** Adds `nan` and `nanOf`. */
export function defineNans(lib: Float80Library): void {
  lib.define("nan", (c, aM, aSe, bM, bSe, _control) => {
    c.if(v.or(isUnsupported(aM, aSe), isUnsupported(bM, bSe)), () => c.return(...INVALID));
    const aNan = c.let(isNan(aM, aSe));
    const bNan = c.let(isNan(bM, bSe));
    const aSignals = c.let(v.and(aNan, isSignalling(aM)));
    const bSignals = c.let(v.and(bNan, isSignalling(bM)));
    const takesA = variable(c, aNan);
    c.if(v.and(aNan, bNan), () => {
      const larger = v.or(
        v.gtU(aM, bM),
        v.and(v.eq(aM, bM), v.ltU(v.and(aSe, i32(0xffff)), v.and(bSe, i32(0xffff)))),
      );
      c.set(takesA, v.select(v.eq(aSignals, bSignals), larger, bSignals));
    });
    const signals = flagIf(v.or(aSignals, bSignals), Flag.IE);
    c.return(
      v.or(v.select(takesA, aM, bM), i64(QUIET_BIT)),
      v.or(v.and(v.select(takesA, aSe, bSe), i32(0xffff)), signals),
    );
  });

  lib.define("nanOf", (c, aM, aSe, control) => {
    c.if(isUnsupported(aM, aSe), () => c.return(...INVALID));
    c.return(
      v.or(aM, i64(QUIET_BIT)),
      v.or(v.and(aSe, i32(0xffff)), v.or(carried(control), flagIf(isSignalling(aM), Flag.IE))),
    );
  });
}
