/** Single and double precision (Intel SDM volume 2: FLD, FST, FSTP; volume 1, 4.2.2). */

import type { Code, Local } from "../../wasm/code.ts";
import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { BIAS, Control, EXPONENT_MAX, Flag, INTEGER_BIT, QUIET_BIT } from "./format.ts";
import {
  anyOf,
  exponentOf,
  flagIf,
  flags,
  type Float80Library,
  has,
  hasMaximalExponent,
  isNanOrUnsupported,
  isUnmasked,
  isUnsupported,
  isZero,
  signOf,
  variable,
} from "./library.ts";
import { isAway, roundsUp } from "./round.ts";

const i32 = v.i32;
const i64 = v.i64;

interface Narrow {
  /** Bits of the fraction and of the exponent. */
  readonly fraction: number;
  readonly exponent: number;
}
const SINGLE: Narrow = { fraction: 23, exponent: 8 };
const DOUBLE: Narrow = { fraction: 52, exponent: 11 };

/** Adds the conversions: to a narrow format gives its bits and, in the high half, the flags. */
export function defineNarrow(lib: Float80Library): void {
  lib.define("toFloat32", (c, ...operand) => narrow(lib, c, operand, SINGLE));
  lib.define("toFloat64", (c, ...operand) => narrow(lib, c, operand, DOUBLE));
  lib.define("fromFloat32", (c, bits) => widen(c, c.let(v.extendU(bits)), SINGLE, true));
  lib.define("fromFloat64", (c, bits) => widen(c, bits, DOUBLE, true));
  lib.define("widenFloat32", (c, bits) => widen(c, c.let(v.extendU(bits)), SINGLE, false));
  lib.define("widenFloat64", (c, bits) => widen(c, bits, DOUBLE, false));
}

/** `quiets`: a load, which is an operation of its own on a signalling NaN. */
function widen(c: Code, bits: Value, format: Narrow, quiets: boolean): void {
  const { fraction: width, exponent: exponentWidth } = format;
  const maximum = (1 << exponentWidth) - 1;
  const shift = i64(width);
  const sign = c.let(
    v.and(v.wrap(v.shrU(bits, i64(width + exponentWidth - 15))), i32(0x8000)),
  );
  const exponent = c.let(v.and(v.wrap(v.shrU(bits, shift)), i32(maximum)));
  const fraction = c.let(v.shl(bits, i64(64 - width)));
  const placed = c.let(v.shrU(fraction, i64(1)));
  c.if(v.eq(exponent, i32(maximum)), () => {
    const signals = v.and(v.ne(fraction, i64(0)), v.geS(fraction, i64(0)));
    const quiet = v.select(v.ne(fraction, i64(0)), i64(QUIET_BIT), i64(0));
    c.return(
      anyOf(placed, quiets ? quiet : i64(0), i64(INTEGER_BIT)),
      anyOf(sign, i32(EXPONENT_MAX), quiets ? flagIf(signals, Flag.IE) : i32(0)),
    );
  });
  const rebias = BIAS - (maximum >> 1);
  c.if(v.eqz(exponent), () => {
    c.if(v.eqz(fraction), () => c.return(i64(0), sign));
    const zeros = c.let(v.clz(fraction));
    c.return(
      v.shl(fraction, zeros),
      anyOf(sign, v.sub(i32(rebias), v.wrap(zeros)), flags(Flag.DE)),
    );
  });
  c.return(v.or(placed, i64(INTEGER_BIT)), v.or(sign, v.add(exponent, i32(rebias))));
}

function narrow(lib: Float80Library, c: Code, [aM, aSe, control]: Local[], format: Narrow): void {
  const { fraction: width, exponent: exponentWidth } = format;
  const maximum = (1 << exponentWidth) - 1;
  const sign = c.let(
    v.shl(v.extendU(signOf(aSe)), i64(width + exponentWidth - 15)),
  );
  const infinity = BigInt(maximum) << BigInt(width);
  const dropped = 63 - width;
  c.if(isNanOrUnsupported(aM, aSe), () => {
    const signBit = 1n << BigInt(width + exponentWidth);
    const quietBit = 1n << BigInt(width - 1);
    c.if(isUnsupported(aM, aSe), () => {
      c.return(i64(signBit | infinity | quietBit), flags(Flag.IE));
    });
    const payload = v.shrU(v.shl(aM, i64(1)), i64(64 - width));
    const signals = v.eqz(v.and(aM, i64(QUIET_BIT)));
    c.return(anyOf(payload, sign, i64(infinity | quietBit)), flagIf(signals, Flag.IE));
  });
  c.if(hasMaximalExponent(aSe), () => c.return(v.or(sign, i64(infinity)), i32(0)));
  c.if(isZero(aM, aSe), () => c.return(sign, i32(0)));

  const signWord = signOf(aSe);
  const exponent = variable(c, v.sub(exponentOf(aSe), i32(BIAS - (maximum >> 1))));
  const significand = variable(c, aM);
  const report = c.local(v.I32);
  const low = c.local(v.I64);
  const round = () => {
    const rest = v.or(
      v.shl(significand, i64(64 - dropped)),
      v.extendU(v.ne(low, i64(0))),
    );
    const held = c.let(rest);
    const odd = v.shrU(significand, i64(dropped));
    return { rest: held, up: roundsUp(c, signWord, control, odd, held) };
  };
  c.if(v.leS(exponent, i32(0)), () => {
    // An 80-bit denormal is far below both formats, so its significand need not be normalized.
    const { up } = round();
    const all = v.eq(v.or(significand, i64((1n << BigInt(dropped)) - 1n)), i64(-1));
    const tiny = c.let(v.or(v.ltS(exponent, i32(0)), v.eqz(v.and(up, all))));
    c.if(v.and(tiny, isUnmasked(control, Flag.UE)), () => {
      c.return(i64(0), flags(Flag.UE));
    });
    lib.into(
      c,
      [significand, low],
      "shiftRightJam",
      significand,
      i64(0),
      v.sub(i32(1), exponent),
    );
    c.set(exponent, i32(0));
    c.set(report, flagIf(tiny, Flag.UE));
  });
  const { rest, up } = round();
  const isInexact = c.let(v.ne(rest, i64(0)));
  const kept = v.add(v.shrU(significand, i64(dropped)), v.extendU(up));
  // The integer bit adds one to the exponent field, a carry out of the fraction another.
  const based = v.select(v.eqz(exponent), i32(0), v.sub(exponent, i32(1)));
  const whole = c.let(v.add(kept, v.shl(v.extendU(based), i64(width))));
  const inexact = v.or(flagIf(isInexact, Flag.PE), flagIf(up, Flag.C1));
  c.if(v.or(v.geS(exponent, i32(maximum)), v.geU(whole, i64(infinity))), () => {
    c.if(isUnmasked(control, Flag.OE), () => c.return(i64(0), flags(Flag.OE)));
    const nearest = v.eqz(has(control, Control.rounding));
    c.if(v.or(nearest, isAway(signWord, control)), () => {
      c.return(v.or(sign, i64(infinity)), flags(Flag.OE, Flag.PE, Flag.C1));
    });
    c.return(v.or(sign, i64(infinity - 1n)), flags(Flag.OE, Flag.PE));
  });
  const underflow = v.select(isInexact, report, i32(0));
  c.return(v.or(sign, whole), v.or(inexact, underflow));
}
