/** Square root (Intel SDM volume 2: FSQRT). */

import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { BIAS, INTEGER_BIT } from "./format.ts";
import {
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
  variable,
  wideProduct,
} from "./library.ts";
import { INVALID } from "./nan.ts";

const i32 = v.i32;
const i64 = v.i64;
const LOW_HALF = 0xffff_ffff;

/** The processor's own square root of 64 bits, good to 32: f64.convert_i64_u, sqrt, trunc_f64_u. */
const estimate = (value: Value): Value => ({
  type: v.I64,
  emit: (out) => {
    value.emit(out);
    out.append([0xba, 0x9f, 0xb1]);
  },
});

/** Adds FSQRT. */
export function defineSquareRoot(lib: Float80Library): void {
  lib.define("sqrt", (c, aM, aSe, control) => {
    c.if(v.and(isNormal(aM, aSe), v.eqz(signOf(aSe))), () => {
      lib.tail(c, "sqrtFinite", exponentOf(aSe), aM, control);
    });
    lib.tail(c, "sqrtSpecial", aM, aSe, control);
  });

  lib.define("sqrtSpecial", (c, aM, aSe, control) => {
    c.if(isNanOrUnsupported(aM, aSe), () => lib.tail(c, "nanOf", aM, aSe, control));
    c.if(isZero(aM, aSe), () => c.return(aM, v.and(aSe, i32(0xffff))));
    c.if(signOf(aSe), () => c.return(...INVALID));
    c.if(hasMaximalExponent(aSe), () => c.return(aM, aSe));
    const carrying = denormalOperand(c, isDenormal(aM, aSe), aM, aSe, control);
    const [high, exponent] = normalized(c, aM, aSe);
    lib.tail(c, "sqrtFinite", exponent, high, carrying);
  });

  // Root of 128 bits (P. Zimmermann, "Karatsuba Square Root"): the upper 32 bits come from the
  // upper half, the lower ones by a division, which can be one too large.
  lib.define("sqrtFinite", (c, exponent, significand, control) => {
    const power = c.let(v.sub(exponent, i32(BIAS)));
    const odd = c.let(v.extendU(v.and(power, i32(1))));
    const high = c.let(v.shrU(significand, v.sub(i64(1), odd)));
    const low = c.let(v.and(v.shl(significand, i64(63)), v.sub(odd, i64(1))));
    const top = variable(c, estimate(high));
    c.if(v.gtU(top, i64(LOW_HALF)), () => c.set(top, i64(LOW_HALF)));
    const left = variable(c, v.sub(high, v.mul(top, top)));
    c.if(v.ltS(left, i64(0)), () => {
      c.set(top, v.sub(top, i64(1)));
      c.set(left, v.sub(high, v.mul(top, top)));
    });
    c.if(v.gtU(left, v.shl(top, i64(1))), () => {
      c.set(top, v.add(top, i64(1)));
      c.set(left, v.sub(high, v.mul(top, top)));
    });
    const dividend = v.or(v.shl(left, i64(31)), v.shrU(low, i64(33)));
    const bottom = variable(c, v.divU(dividend, top));
    c.if(v.gtU(bottom, i64(LOW_HALF)), () => c.set(bottom, i64(LOW_HALF)));
    const root = variable(c, v.or(v.shl(top, i64(32)), bottom));
    const [squareHigh, squareLow] = wideProduct(c, root, root);
    const restLow = variable(c, v.sub(low, squareLow));
    const restHigh = variable(c, v.sub(v.sub(high, squareHigh), v.extendU(v.ltU(low, squareLow))));
    c.if(v.ltS(restHigh, i64(0)), () => {
      // (r - 1)² = r² - (2r - 1)
      c.set(root, v.sub(root, i64(1)));
      const added = c.let(v.or(v.shl(root, i64(1)), i64(1)));
      c.set(restLow, v.add(restLow, added));
      const carry = v.extendU(v.ltU(restLow, added));
      c.set(restHigh, v.add(restHigh, v.add(v.shrU(root, i64(63)), carry)));
    });
    // Halfway would be a remainder of root + 1/4, which no integer is.
    const aboveHalf = v.or(v.ne(restHigh, i64(0)), v.gtU(restLow, root));
    const rest = v.select(
      aboveHalf,
      i64(INTEGER_BIT + 1n),
      v.extendU(v.ne(restLow, i64(0))),
    );
    lib.tail(c, "round", i32(0), v.add(v.shrS(power, i32(1)), i32(BIAS)), root, rest, control);
  });
}
