/** Comparison and classification (Intel SDM volume 2: FCOM, FUCOM, FTST, FXAM; table 8-6). */

import type { Code, Local } from "../../wasm/code.ts";
import * as v from "../../wasm/value.ts";
import { EXPONENT_MAX, Flag, SIGN } from "./format.ts";
import {
  anyOf,
  exponentOf,
  type Float80Library,
  isDenormal,
  isNanOrUnsupported,
  isUnsupported,
  isZero,
} from "./library.ts";

const i32 = v.i32;
const i64 = v.i64;
const UNORDERED = Flag.C0 | Flag.C2 | Flag.C3;

/**
 * Adds FCOM and FUCOM, whose result is C0, C2, C3 as in the status word with the exceptions (FCOMI
 * and FUCOMI put them into CF, PF, ZF), and FXAM of a register that is not empty. The codes are set
 * even when DE is raised and unmasked, as in the processors.
 */
export function defineComparison(lib: Float80Library): void {
  lib.define("compare", (c, ...operands) => compare(c, operands, false));
  lib.define("compareQuiet", (c, ...operands) => compare(c, operands, true));

  lib.define("examine", (c, aM, aSe) => {
    const sign = c.let(v.shl(v.shrU(v.and(aSe, i32(SIGN)), i32(15)), i32(9)));
    const is = (bits: number) => c.return(v.or(sign, i32(bits)));
    c.if(isUnsupported(aM, aSe), () => is(0));
    c.if(v.eq(exponentOf(aSe), i32(EXPONENT_MAX)), () => {
      c.if(v.eqz(v.shl(aM, i64(1))), () => is(Flag.C0 | Flag.C2));
      is(Flag.C0);
    });
    c.if(isZero(aM, aSe), () => is(Flag.C3));
    c.if(v.eqz(exponentOf(aSe)), () => is(Flag.C2 | Flag.C3));
    is(Flag.C2);
  });
}

function compare(c: Code, [aM, aSe, bM, bSe, control]: Local[], quiet: boolean): void {
  c.if(v.or(isNanOrUnsupported(aM, aSe), isNanOrUnsupported(bM, bSe)), () => {
    if (quiet) {
      const isQuiet = (m: Local, se: Local) =>
        v.or(
          v.eqz(isNanOrUnsupported(m, se)),
          v.eq(v.shrU(m, i64(62)), i64(3)),
        );
      c.if(v.and(isQuiet(aM, aSe), isQuiet(bM, bSe)), () => c.return(i32(UNORDERED)));
    }
    c.return(i32(UNORDERED | Flag.IE));
  });
  const carriedDe = v.and(v.shrU(control, i32(17)), i32(1));
  const denormal = anyOf(isDenormal(aM, aSe), isDenormal(bM, bSe), carriedDe);
  const flag = c.let(v.shl(denormal, i32(Math.log2(Flag.DE))));
  const equal = () => c.return(v.or(flag, i32(Flag.C3)));
  c.if(v.and(isZero(aM, aSe), isZero(bM, bSe)), equal);
  const aSign = v.and(aSe, i32(SIGN));
  // Pseudo-denormals have the exponent of the least normal number.
  const magnitude = (m: Local, se: Local) =>
    c.let(v.add(exponentOf(se), v.and(v.eqz(exponentOf(se)), v.ltS(m, i64(0)))));
  const aExponent = magnitude(aM, aSe);
  const bExponent = magnitude(bM, bSe);
  const less = c.local(v.I32);
  c.if(v.ne(aSign, v.and(bSe, i32(SIGN))), () => c.set(less, v.ne(aSign, i32(0))), () => {
    const sameExponent = c.let(v.eq(aExponent, bExponent));
    c.if(v.and(sameExponent, v.eq(aM, bM)), equal);
    const smaller = v.or(
      v.ltS(aExponent, bExponent),
      v.and(sameExponent, v.ltU(aM, bM)),
    );
    c.set(less, v.xor(smaller, v.ne(aSign, i32(0))));
  });
  c.return(anyOf(flag, v.shl(less, i32(8))));
}
