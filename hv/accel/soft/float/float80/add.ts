/** Addition and subtraction (Intel SDM volume 2: FADD, FSUB). */

import type { Code, Local } from "../../wasm/code.ts";
import * as v from "../../wasm/value.ts";
import { Control, INTEGER_BIT, SIGN } from "./format.ts";
import {
  anyOf,
  carried,
  denormalOperand,
  exponentOf,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isNormal,
  isZero,
  normalized,
  signOf,
} from "./library.ts";
import { INVALID } from "./nan.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Adds FADD and FSUB. */
export function defineAddition(lib: Float80Library): void {
  lib.define("add", (c, aM, aSe, bM, bSe, control) => {
    c.if(v.and(isNormal(aM, aSe), isNormal(bM, bSe)), () => {
      const [a, b] = [[aM, aSe], [bM, bSe]].map(([m, se]) => [signOf(se), exponentOf(se), m]);
      lib.tail(c, "addFinite", ...a, ...b, control);
    });
    lib.tail(c, "addSpecial", aM, aSe, bM, bSe, control);
  });

  lib.define("sub", (c, aM, aSe, bM, bSe, control) => {
    // The sign of a NaN stays.
    c.if(isNanOrUnsupported(bM, bSe), () => lib.tail(c, "nan", aM, aSe, bM, bSe, control));
    lib.tail(c, "add", aM, aSe, bM, v.xor(bSe, i32(SIGN)), control);
  });

  lib.define("addSpecial", (c, aM, aSe, bM, bSe, control) => {
    c.if(v.or(isNanOrUnsupported(aM, aSe), isNanOrUnsupported(bM, bSe)), () => {
      lib.tail(c, "nan", aM, aSe, bM, bSe, control);
    });
    const aInfinite = c.let(hasMaximalExponent(aSe));
    const bInfinite = c.let(hasMaximalExponent(bSe));
    const differ = c.let(v.ne(signOf(aSe), signOf(bSe)));
    c.if(v.and(v.and(aInfinite, bInfinite), differ), () => c.return(...INVALID));
    const denormal = v.or(isDenormal(aM, aSe), isDenormal(bM, bSe));
    const carrying = denormalOperand(c, denormal, aM, aSe, control);
    const whole = (significand: v.Value, se: v.Value) =>
      c.return(significand, v.or(v.and(se, i32(0xffff)), carried(carrying)));
    c.if(aInfinite, () => whole(aM, aSe));
    c.if(bInfinite, () => whole(bM, bSe));
    const aZero = c.let(isZero(aM, aSe));
    const bZero = c.let(isZero(bM, bSe));
    c.if(v.and(aZero, bZero), () => {
      c.if(differ, () => whole(i64(0), zeroSign(control)));
      whole(i64(0), aSe);
    });
    const [aHigh, aExponent] = normalized(c, aM, aSe);
    const [bHigh, bExponent] = normalized(c, bM, bSe);
    c.if(aZero, () => lib.tail(c, "round", signOf(bSe), bExponent, bHigh, i64(0), carrying));
    c.if(bZero, () => lib.tail(c, "round", signOf(aSe), aExponent, aHigh, i64(0), carrying));
    lib.tail(
      c,
      "addFinite",
      ...[signOf(aSe), aExponent, aHigh, signOf(bSe), bExponent, bHigh, carrying],
    );
  });

  lib.define("addFinite", (c, aSign, aExponent, aM, bSign, bExponent, bM, control) => {
    c.if(v.ltS(aExponent, bExponent), () => {
      lib.tail(c, "addFinite", bSign, bExponent, bM, aSign, aExponent, aM, control);
    });
    const low = c.local(v.I64);
    const distance = c.let(v.sub(aExponent, bExponent));
    const n = c.let(v.extendU(distance));
    c.if(distance, () => {
      c.if(v.ltU(distance, i32(64)), () => {
        c.set(low, v.shl(bM, v.sub(i64(64), n)));
        c.set(bM, v.shrU(bM, n));
      }, () => lib.into(c, [bM, low], "shiftRightJam", bM, i64(0), distance));
    });
    c.if(v.eq(aSign, bSign), () => {
      c.set(bM, v.add(aM, bM));
      c.if(v.ltU(bM, aM), () => {
        c.set(low, anyOf(v.shrU(low, i64(1)), v.and(low, i64(1)), v.shl(bM, i64(63))));
        c.set(bM, v.or(v.shrU(bM, i64(1)), i64(INTEGER_BIT)));
        c.set(aExponent, v.add(aExponent, i32(1)));
      });
      lib.tail(c, "round", aSign, aExponent, bM, low, control);
    });
    // At the same exponent either may be the larger one.
    c.if(v.eqz(distance), () => {
      c.if(v.eq(aM, bM), () => c.return(i64(0), v.or(zeroSign(control), carried(control))));
      c.if(v.ltU(aM, bM), () => {
        lib.tail(c, "addFinite", bSign, bExponent, bM, aSign, aExponent, aM, control);
      });
    });
    c.set(aM, v.sub(v.sub(aM, bM), v.extendU(v.ne(low, i64(0)))));
    c.set(low, v.sub(i64(0), low));
    normalizeAndRound(lib, c, aSign, aExponent, aM, low, control);
  });
}

function normalizeAndRound(
  lib: Float80Library,
  c: Code,
  ...[sign, exponent, high, low, control]: Local[]
): void {
  c.if(v.eqz(high), () => {
    c.set(high, low);
    c.set(low, i64(0));
    c.set(exponent, v.sub(exponent, i32(64)));
  });
  const shift = c.let(v.clz(high));
  c.if(v.ne(shift, i64(0)), () => {
    c.set(high, v.or(v.shl(high, shift), v.shrU(low, v.sub(i64(64), shift))));
    c.set(low, v.shl(low, shift));
    c.set(exponent, v.sub(exponent, v.wrap(shift)));
  });
  lib.tail(c, "round", sign, exponent, high, low, control);
}

/** Sign of an exact zero difference: - when rounding down. */
const zeroSign = (control: v.Value): v.Value =>
  v.shl(v.eq(v.and(control, i32(Control.rounding)), i32(Control.down)), i32(15));
