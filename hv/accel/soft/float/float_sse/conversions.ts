/** Conversions (Intel SDM volume 2: CVTSD2SI, CVTSI2SD, CVTSD2SS, CVTSS2SD, ROUNDSD). */

import { type Float80Library, signOf } from "../float80/library.ts";
import * as v from "../../wasm/value.ts";
import { controlFor, flagsOf, withDenormal } from "./arithmetic.ts";
import { fastConvert, fastFromInteger, fastRound, fastToInteger } from "./fast.ts";
import { type Format, FORMATS } from "./format.ts";
import { exponentBits, isNan } from "./pack.ts";
import type { SseLibrary } from "./signatures.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Adds the functions of a format. */
export function defineConversions(lib: SseLibrary, float80: Float80Library, format: Format): void {
  const { name } = format;

  for (const target of ["toInt32", "toInt64"] as const) {
    lib.define(`${target}${name}`, (c, a, mxcsr) => {
      fastToInteger(c, [a, mxcsr], target === "toInt32" ? 32 : 64, format);
      const [bits] = lib.results(c, `denormal${name}`, a, mxcsr);
      const value = lib.results(c, `unpack${name}`, bits);
      const control = lib.call("control", mxcsr);
      const [integer, packed] = float80.results(c, target, ...value, control);
      c.return(integer, flagsOf(packed));
    });
  }

  lib.define(`fromInteger${name}`, (c, integer, mxcsr) => {
    fastFromInteger(c, [integer], format);
    const [significand, se] = float80.results(c, "fromInteger", integer);
    const control = controlFor(lib, c, mxcsr, format);
    const exponent = v.and(se, i32(0x7fff));
    const result = float80.results(
      c,
      "round",
      ...[signOf(se), exponent, significand, i64(0), control],
    );
    c.return(lib.call(`pack${name}`, ...result), flagsOf(result[1]));
  });

  lib.define(`round${name}`, (c, a, mxcsr) => {
    fastRound(c, [a, mxcsr], format);
    c.if(isNan(a, format), () => lib.tail(c, `nan${name}`, a, a, mxcsr));
    const [bits] = lib.results(c, `denormal${name}`, a, mxcsr);
    const value = lib.results(c, `unpack${name}`, bits);
    const control = lib.call("control", mxcsr);
    const result = float80.results(c, "roundToInteger", ...value, control);
    c.return(lib.call(`pack${name}`, ...result), flagsOf(result[1]));
  });

  lib.define(`convert${name}`, (c, a, mxcsr) => {
    fastConvert(c, [a, mxcsr], format);
    const other = FORMATS.find((one) => one !== format)!;
    c.if(isNan(a, format), () => {
      const [bits, flags] = lib.results(c, `nan${name}`, a, a, mxcsr);
      const value = lib.results(c, `unpack${name}`, bits);
      c.return(lib.call(`pack${other.name}`, ...value), flags);
    });
    const [bits, denormal] = lib.results(c, `denormal${name}`, a, mxcsr);
    const [significand, se] = lib.results(c, `unpack${name}`, bits);
    const special = v.or(
      v.eqz(significand),
      v.eq(v.and(bits, i64(exponentBits(format))), i64(exponentBits(format))),
    );
    c.if(special, () => c.return(lib.call(`pack${other.name}`, significand, se), i32(0)));
    const control = controlFor(lib, c, mxcsr, other);
    const exponent = v.and(se, i32(0x7fff));
    const result = float80.results(
      c,
      "round",
      ...[signOf(se), exponent, significand, i64(0), control],
    );
    const flags = withDenormal(c, flagsOf(result[1]), denormal, mxcsr);
    c.return(lib.call(`pack${other.name}`, ...result), flags);
  });
}
