/**
 * FYL2X and FYL2XP1 (Intel SDM volume 2). log2(m) = 2/ln 2 · artanh((m - 1)/(m + 1)) with m between
 * √½ and √2. FYL2XP1 is computed wherever x + 1 is positive; below, where it is undefined, x comes
 * back as inexact.
 */

import type { Code, Local } from "../../../wasm/code.ts";
import * as v from "../../../wasm/value.ts";
import type { Value } from "../../../wasm/value.ts";
import { BIAS, Control, EXPONENT_MAX, Flag, INTEGER_BIT, SIGN } from "../format.ts";
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
} from "../library.ts";
import { INVALID } from "../nan.ts";
import { reciprocals, series, shiftWide, wide, wideSum } from "./wide.ts";

const i32 = v.i32;
const i64 = v.i64;
/** 1/ln 2 in units of 2^-127. */
const LOG2_E = 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88n;
/** Significand of √2. */
const ROOT_2 = BigInt.asIntN(64, 0xb504_f333_f9de_6484n);
const TERMS = 21;
/** log2 of the largest ((m - 1)/(m + 1))². */
const LARGEST = -5.08;
/** 1 - √½ begins with this significand, at exponent -2: FYL2XP1 keeps its precision up to there. */
const NEAR = BigInt.asIntN(64, 0x95f6_1980_0000_0000n);

/** Adds FYL2X and FYL2XP1: (ST0 = x, ST1 = y). */
export function defineLogarithms(lib: Float80Library): void {
  lib.define("yLog2x", (c, xM, xSe, yM, ySe, control) => {
    const whenNan = v.or(isNanOrUnsupported(xM, xSe), isNanOrUnsupported(yM, ySe));
    c.if(whenNan, () => lib.tail(c, "nan", xM, xSe, yM, ySe, control));
    const xZero = c.let(isZero(xM, xSe));
    const yZero = c.let(isZero(yM, ySe));
    const yInfinite = c.let(hasMaximalExponent(ySe));
    const xInfinite = c.let(hasMaximalExponent(xSe));
    const ySign = c.let(signOf(ySe));
    const infinity = (sign: Value, flagged: Value) =>
      c.return(i64(INTEGER_BIT), anyOf(sign, i32(EXPONENT_MAX), flagged));
    c.if(xZero, () => {
      c.if(yZero, () => c.return(...INVALID));
      const report = v.select(yInfinite, i32(0), flags(Flag.ZE));
      infinity(v.xor(ySign, i32(SIGN)), report);
    });
    c.if(signOf(xSe), () => c.return(...INVALID));
    c.if(v.and(xInfinite, yZero), () => c.return(...INVALID));
    const isOne = c.let(v.and(v.eq(xSe, i32(BIAS)), v.eq(xM, i64(INTEGER_BIT))));
    c.if(v.and(isOne, yInfinite), () => c.return(...INVALID));
    const denormal = v.or(isDenormal(xM, xSe), isDenormal(yM, ySe));
    const carrying = denormalOperand(c, denormal, xM, xSe, control);
    const below = v.ltU(exponentOf(xSe), i32(BIAS));
    const sign = c.let(v.xor(ySign, v.shl(below, i32(15))));
    const report = c.let(carried(carrying));
    c.if(v.or(xInfinite, yInfinite), () => infinity(sign, report));
    c.if(v.or(isOne, yZero), () => c.return(i64(0), v.or(sign, report)));

    const [significand, exponent] = normalized(c, xM, xSe);
    const [factor, yExponent] = normalized(c, yM, ySe);
    const power = v.sub(exponent, i32(BIAS));
    lib.tail(c, "timesLogOf", ySign, yExponent, factor, power, significand, i64(0), carrying);
  });

  lib.define("timesLogOf", (c, ySign, yExponent, factor, power, mHigh, mLow, control) => {
    // From √2 on half of m: the same bits, and the power is one more.
    const low = c.let(v.geU(mHigh, i64(ROOT_2)));
    c.set(power, v.add(power, low));
    const one = c.let(v.select(low, i64(0), i64(INTEGER_BIT)));
    const mask = c.let(allOnes(low));
    const sum = c.let(v.xor(mHigh, one));
    // m + 1 with bit 127 set: 1, then the bits of `sum` and of what follows.
    const divisor = [
      v.or(v.shrU(sum, i64(1)), i64(INTEGER_BIT)),
      v.or(v.shl(sum, i64(63)), v.shrU(mLow, i64(1))),
    ] as const;
    const numerator = [variable(c, sum), variable(c, mLow)] as const;
    wideSum(c, numerator, [i64(0), i64(0)], mask);
    const scale = c.local(v.I32);
    const [high, rest] = [c.local(v.I64), c.local(v.I64)];
    const nothing = c.let(v.eqz(v.or(numerator[0], numerator[1])));
    c.if(v.eqz(nothing), () => {
      const [n, nLow, shift] = lib.results(c, "normalizeWide", ...numerator);
      c.set(scale, shift);
      logarithmOf(lib, c, [n, nLow], divisor, scale, [high, rest]);
    });
    const logSign = v.shl(low, i32(15));
    c.if(v.and(v.eqz(power), v.eqz(nothing)), () => {
      const exponent = v.sub(i32(BIAS + 2), scale);
      lib.tail(c, "timesLog", ySign, yExponent, factor, logSign, exponent, high, rest, control);
    });
    // power ± log2(m), in units of 2^-112; so far it is in units of 2^-(125 + scale).
    lib.into(c, [high, rest], "shiftRightJam", high, rest, v.add(scale, i32(13)));
    wideSum(c, [high, rest], [v.shl(v.extendS(power), i64(48)), i64(0)], mask);
    const negative = c.let(v.ltS(high, i64(0)));
    wideSum(c, [high, rest], [i64(0), i64(0)], allOnes(negative));
    const totalSign = c.let(v.shl(negative, i32(15)));
    c.if(nothing, () => {
      powerOfTwo(lib, c, v.xor(ySign, totalSign), yExponent, factor, high, control);
    });
    const top = i32(BIAS + 15);
    lib.tail(c, "timesLog", ySign, yExponent, factor, totalSign, top, high, rest, control);
  });

  lib.define("yLog2xPlus1", (c, xM, xSe, yM, ySe, control) => {
    const whenNan = v.or(isNanOrUnsupported(xM, xSe), isNanOrUnsupported(yM, ySe));
    c.if(whenNan, () => lib.tail(c, "nan", xM, xSe, yM, ySe, control));
    const xZero = c.let(isZero(xM, xSe));
    const yZero = c.let(isZero(yM, ySe));
    const yInfinite = c.let(hasMaximalExponent(ySe));
    const xInfinite = c.let(hasMaximalExponent(xSe));
    const xSign = c.let(signOf(xSe));
    c.if(
      anyOf(
        v.and(xZero, yInfinite),
        v.and(xInfinite, v.or(yZero, v.ne(xSign, i32(0)))),
      ),
      () => c.return(...INVALID),
    );
    const denormal = v.or(isDenormal(xM, xSe), isDenormal(yM, ySe));
    const carrying = denormalOperand(c, denormal, xM, xSe, control);
    const sign = c.let(v.xor(xSign, signOf(ySe)));
    const report = c.let(carried(carrying));
    c.if(v.or(xInfinite, yInfinite), () => {
      c.return(i64(INTEGER_BIT), anyOf(sign, i32(EXPONENT_MAX), report));
    });
    c.if(v.or(xZero, yZero), () => c.return(i64(0), v.or(sign, report)));
    const [significand, exponent] = normalized(c, xM, xSe);
    const power = c.let(v.sub(exponent, i32(BIAS)));
    const near = v.or(
      v.ltS(power, i32(-2)),
      v.and(v.eq(power, i32(-2)), v.ltU(significand, i64(NEAR))),
    );
    c.if(v.eqz(near), () => {
      c.if(v.and(v.ne(xSign, i32(0)), v.geS(power, i32(0))), () => {
        c.return(xM, anyOf(v.and(xSe, i32(0xffff)), report, flags(Flag.PE)));
      });
      const [factor, yExponent] = normalized(c, yM, ySe);
      const [high, low] = [variable(c, significand), c.local(v.I64)];
      const top = variable(c, power);
      onePlus(lib, c, xSign, top, high, low);
      lib.tail(
        c,
        "timesLogOf",
        ...[signOf(ySe), yExponent, factor, top, high, low, carrying],
      );
    });
    const down = v.sub(i32(0), power);
    const divisor = [c.local(v.I64), c.local(v.I64)] as const;
    // 2 + x in units of 2^-126, or 2 - |x| in units of 2^-127.
    c.if(xSign, () => {
      lib.into(c, divisor, "shiftRightJam", significand, i64(0), down);
      const borrow = v.extendU(v.ne(divisor[1], i64(0)));
      c.set(divisor[0], v.sub(v.sub(i64(0), divisor[0]), borrow));
      c.set(divisor[1], v.sub(i64(0), divisor[1]));
    }, () => {
      lib.into(c, divisor, "shiftRightJam", significand, i64(0), v.add(down, i32(1)));
      c.set(divisor[0], v.or(divisor[0], i64(INTEGER_BIT)));
    });
    const negative = v.shrU(xSign, i32(15));
    const scale = variable(c, v.sub(down, negative));
    const log = [c.local(v.I64), c.local(v.I64)] as const;
    logarithmOf(lib, c, [significand, i64(0)], divisor, scale, log);
    const [factor, yExponent] = normalized(c, yM, ySe);
    const top = v.sub(i32(BIAS + 2), scale);
    lib.tail(
      c,
      "timesLog",
      ...[signOf(ySe), yExponent, factor, xSign, top, ...log, carrying],
    );
  });

  // z(1 + z²(1/3 + z²(1/5 + ...))), with a bit of room above.
  lib.define("atanhSeries", (c, high, low, scale) => {
    const z = lib.results(c, "shiftRightJam", high, low, scale);
    const u = lib.results(c, "multiplyHigh", z[0], z[1], z[0], z[1]);
    const coefficients = reciprocals(TERMS, (k) => BigInt(2 * k + 3));
    const sum = series(lib, c, [u[0], u[1]], coefficients, false, LARGEST);
    const part = lib.results(c, "multiplyHigh", u[0], u[1], ...sum);
    const half = shiftWide(c, [high, low], 1);
    const correction = lib.results(c, "multiplyHigh", ...half, part[0], part[1]);
    wideSum(c, correction, half, i64(0));
    c.return(correction[0], correction[1]);
  });

  lib.define("timesLog", (c, ySign, yExponent, factor, sign, exponent, high, low, control) => {
    const [m, rest, count] = lib.results(c, "normalizeWide", high, low);
    const product = lib.results(c, "multiplyHigh", m, rest, factor, i64(0));
    const top = v.sub(v.add(yExponent, exponent), v.add(count, i32(BIAS - 1)));
    lib.tail(c, "roundWide", v.xor(ySign, sign), top, product[0], product[1], control);
  });
}

/** -1 where a condition is 1. */
const allOnes = (condition: Value): Value => v.sub(i64(0), v.extendU(condition));

/** The product is exact; the processors report it as inexact all the same. */
function powerOfTwo(
  lib: Float80Library,
  c: Code,
  sign: Value,
  yExponent: Value,
  factor: Value,
  power: Value,
  control: Value,
): void {
  const shift = c.let(v.clz(power));
  const top = v.sub(i32(BIAS + 15), v.wrap(shift));
  const exponent = v.sub(v.add(yExponent, top), i32(BIAS - 1));
  const all = v.or(control, v.or(i32(Control.precision64), flags(Flag.PE)));
  const [m, packed] = lib.results(
    c,
    "mulFinite",
    ...[sign, exponent, v.shl(power, shift), factor, all],
  );
  const tiny = v.eqz(exponentOf(packed));
  c.return(m, v.or(packed, flagIf(tiny, Flag.UE)));
}

/** 1 + x, of which x is given as power, and significand in `high`: exact, or jammed. */
function onePlus(
  lib: Float80Library,
  c: Code,
  sign: Value,
  power: Local,
  high: Local,
  low: Local,
): void {
  const down = c.let(v.sub(i32(0), power));
  c.if(sign, () => {
    // In units of 2^-128.
    lib.into(c, [high, low], "shiftRightJam", high, low, v.sub(down, i32(1)));
    wideSum(c, [high, low], [i64(0), i64(0)], i64(-1));
    const count = c.local(v.I32);
    lib.into(c, [high, low, count], "normalizeWide", high, low);
    c.set(power, v.sub(i32(-1), count));
  }, () => {
    c.if(v.ltS(power, i32(0)), () => {
      lib.into(c, [high, low], "shiftRightJam", high, low, down);
      c.set(high, v.or(high, i64(INTEGER_BIT)));
      c.set(power, i32(0));
    }, () => {
      const before = c.let(high);
      const one = lib.results(c, "shiftRightJam", i64(INTEGER_BIT), i64(0), power);
      wideSum(c, [high, low], [one[0], one[1]], i64(0));
      c.if(v.ltU(high, before), () => {
        c.set(low, v.or(v.shrU(low, i64(1)), v.shl(high, i64(63))));
        c.set(high, v.or(v.shrU(high, i64(1)), i64(INTEGER_BIT)));
        c.set(power, v.add(power, i32(1)));
      });
    });
  });
}

/**
 * 2/ln 2 · artanh(z) with z = numerator / (divisor · 2^scale) as in the callers; the result is in units of
 * 2^-(125 + scale), where `scale` is brought up to date.
 */
function logarithmOf(
  lib: Float80Library,
  c: Code,
  numerator: readonly Value[],
  divisor: readonly Value[],
  scale: Local,
  result: readonly Local[],
): void {
  const dividend = shiftWide(c, [c.let(numerator[0]), numerator[1]], 1);
  const quotient = lib.results(c, "divideFraction", ...dividend, ...divisor);
  const [high, low, count] = lib.results(c, "normalizeWide", ...quotient);
  c.set(scale, v.add(scale, count));
  const sum = lib.results(c, "atanhSeries", high, low, scale);
  lib.into(c, result, "multiplyHigh", ...sum, ...wide(LOG2_E));
}
