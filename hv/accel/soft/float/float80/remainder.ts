/**
 * Partial remainder (Intel SDM volume 2: FPREM, FPREM1). While the exponents are 64 or more apart,
 * one step takes 32 to 63 of the difference away: 32 plus its low five bits, as the processors do.
 */

import * as v from "../../wasm/value.ts";
import { Control, EXPONENT_MAX, Flag } from "./format.ts";
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
  normalized,
  signOf,
  variable,
} from "./library.ts";
import { INVALID } from "./nan.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Adds FPREM and FPREM1: ST0, ST1 → ST0 with C0, C1, C3 (bits 2, 0, 1 of the quotient), C2. */
export function defineRemainder(lib: Float80Library): void {
  lib.define("prem", (c, ...operands) => lib.tail(c, "remainder", ...operands, i32(0)));
  lib.define("prem1", (c, ...operands) => lib.tail(c, "remainder", ...operands, i32(1)));

  lib.define("remainder", (c, aM, aSe, bM, bSe, control, nearest) => {
    c.if(v.or(isNanOrUnsupported(aM, aSe), isNanOrUnsupported(bM, bSe)), () => {
      lib.tail(c, "nan", aM, aSe, bM, bSe, control);
    });
    c.if(v.or(hasMaximalExponent(aSe), isZero(bM, bSe)), () => c.return(...INVALID));
    const denormal = v.or(isDenormal(aM, aSe), isDenormal(bM, bSe));
    const carrying = denormalOperand(c, denormal, aM, aSe, control);
    const sign = variable(c, signOf(aSe));
    c.if(isZero(aM, aSe), () => c.return(i64(0), v.or(sign, carried(carrying))));
    c.if(v.eq(exponentOf(bSe), i32(EXPONENT_MAX)), () => {
      const [high, exponent] = normalized(c, aM, aSe);
      const full = v.or(carrying, i32(Control.precision64));
      lib.tail(c, "round", sign, exponent, high, i64(0), full);
    });
    const [aHigh, aExponent] = normalized(c, aM, aSe);
    const [divisor, bExponent] = normalized(c, bM, bSe);
    const distance = c.let(v.sub(aExponent, bExponent));
    const full = c.let(v.or(carrying, i32(Control.precision64)));
    const left = variable(c, aHigh);
    const exponent = variable(c, aExponent);
    const quotient = c.local(v.I64);
    const steps = c.local(v.I32);
    const partial = c.let(v.geS(distance, i32(64)));
    // Below half the divisor nothing happens, in FPREM1 as in FPREM.
    const nothing = v.ltS(distance, v.sub(i32(0), nearest));
    c.if(nothing, () => lib.tail(c, "round", sign, exponent, left, i64(0), full));
    const carry = c.local(v.I32);
    c.if(v.geS(distance, i32(0)), () => {
      const some = v.or(v.and(distance, i32(31)), i32(32));
      c.set(steps, v.select(partial, some, distance));
      c.set(exponent, v.sub(exponent, steps));
      c.block((done) => {
        c.loop((again) => {
          c.set(quotient, v.shl(quotient, i64(1)));
          c.if(v.or(carry, v.geU(left, divisor)), () => {
            c.set(left, v.sub(left, divisor));
            c.set(quotient, v.or(quotient, i64(1)));
          });
          c.branchIf(done, v.eqz(steps));
          c.set(steps, v.sub(steps, i32(1)));
          c.set(carry, v.ltS(left, i64(0)));
          c.set(left, v.shl(left, i64(1)));
          c.branch(again);
        });
      });
    });
    c.if(v.and(nearest, v.eqz(partial)), () => {
      // `left` is at the divisor's exponent, or one below it.
      const below = c.let(v.ltS(distance, i32(0)));
      const twice = v.or(v.ltS(left, i64(0)), v.gtU(v.shl(left, i64(1)), divisor));
      const tie = v.and(
        v.eq(v.shl(left, i64(1)), divisor),
        v.and(v.geS(left, i64(0)), v.wrap(v.and(quotient, i64(1)))),
      );
      const up = v.select(below, v.gtU(left, divisor), v.or(twice, tie));
      c.if(up, () => {
        // One below: 2·divisor - left, which may have 65 bits but is less than the divisor.
        c.set(left, v.sub(v.shl(divisor, v.extendU(below)), left));
        c.set(quotient, v.add(quotient, i64(1)));
        c.set(sign, v.xor(sign, i32(0x8000)));
      });
    });
    const codes = variable(c, flags());
    c.if(partial, () => c.set(codes, flags(Flag.C2)), () => {
      const bit = (n: number, flag: number) =>
        flagIf(v.wrap(v.and(v.shrU(quotient, i64(n)), i64(1))), flag);
      c.set(codes, anyOf(bit(0, Flag.C1), bit(1, Flag.C3), bit(2, Flag.C0)));
    });
    c.if(v.eqz(left), () => c.return(i64(0), anyOf(signOf(aSe), codes, carried(full))));
    const shift = c.let(v.clz(left));
    c.set(left, v.shl(left, shift));
    c.set(exponent, v.sub(exponent, v.wrap(shift)));
    lib.tail(c, "round", sign, exponent, left, i64(0), v.or(full, codes));
  });
}
