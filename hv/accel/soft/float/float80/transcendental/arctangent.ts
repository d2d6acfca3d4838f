/**
 * FPATAN (Intel SDM volume 2, with its table of special cases): the angle of the point (ST0, ST1), from
 * the quotient t of the smaller coordinate by the larger: atan t = atan(j/8) + atan z, where j/8 is next
 * to t and z = (t - j/8)/(1 + t·j/8).
 */

import type { Code, Local } from "../../../wasm/code.ts";
import * as v from "../../../wasm/value.ts";
import type { Value } from "../../../wasm/value.ts";
import { BIAS } from "../format.ts";
import {
  anyOf,
  carried,
  denormalOperand,
  type Float80Library,
  hasMaximalExponent,
  isDenormal,
  isNanOrUnsupported,
  isZero,
  normalized,
  signOf,
  variable,
  wideProduct,
} from "../library.ts";
import { addWide, reciprocals, series, subWide, wide, wideSum } from "./wide.ts";

const i32 = v.i32;
const i64 = v.i64;
/** atan(j/8), j from 0 to 8, in units of 2^-126. */
const BASES = [
  0x0000_0000_0000_0000_0000_0000_0000_0000n,
  0x07f5_6ea6_ab0b_db71_9644_bcc4_f9f4_4477n,
  0x0fad_bafc_9640_6eb1_56dc_79ef_5f7a_217en,
  0x16f6_1941_e4de_f08e_7154_6424_5b9f_c890n,
  0x1dac_6705_61bb_4f68_adfc_88bd_9787_51a0n,
  0x23c0_1757_bdfd_67e6_d720_d785_9971_0dd1n,
  0x292f_1f46_4d3d_c249_066a_1fca_915f_6b27n,
  0x2e01_4f8a_f08c_679c_f2cb_6954_8429_110fn,
  0x3243_f6a8_885a_308d_3131_98a2_e037_0734n,
];
/** π in the same units. */
const PI = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n;
const TERMS = 14;
/** log2 of the largest z². */
const LARGEST = -7.9;
/** From this difference of exponents on, t is below 1/16: no table. */
const SMALL = 5;
/** Bits left free above the coordinates, for factors up to 8 and a sum. */
const ROOM = 8;

/** Adds FPATAN: (ST0 = x, ST1 = y). */
export function defineArctangent(lib: Float80Library): void {
  lib.define("atan", (c, xM, xSe, yM, ySe, control) => {
    const whenNan = v.or(isNanOrUnsupported(xM, xSe), isNanOrUnsupported(yM, ySe));
    c.if(whenNan, () => lib.tail(c, "nan", xM, xSe, yM, ySe, control));
    const denormal = v.or(isDenormal(xM, xSe), isDenormal(yM, ySe));
    const carrying = denormalOperand(c, denormal, xM, xSe, control);
    const ySign = c.let(signOf(ySe));
    const xNegative = c.let(signOf(xSe));
    /** An angle in units of 2^-126. */
    const angle = (high: Value, low: Value) =>
      lib.tail(c, "roundWide", ySign, i32(BIAS + 1), high, low, carrying);
    const constant = (numerator: bigint, denominator: bigint) =>
      angle(...wide(PI * numerator / denominator));
    const xInfinite = c.let(hasMaximalExponent(xSe));
    const yInfinite = c.let(hasMaximalExponent(ySe));
    c.if(yInfinite, () => {
      c.if(v.eqz(xInfinite), () => constant(1n, 2n));
      c.if(xNegative, () => constant(3n, 4n));
      constant(1n, 4n);
    });
    c.if(v.or(xInfinite, isZero(yM, ySe)), () => {
      c.if(xNegative, () => constant(1n, 1n));
      c.return(i64(0), v.or(ySign, carried(carrying)));
    });
    c.if(isZero(xM, xSe), () => constant(1n, 2n));

    const [aM, aExponent] = normalized(c, xM, xSe).map((value) => variable(c, value));
    const [bM, bExponent] = normalized(c, yM, ySe).map((value) => variable(c, value));
    // a is the larger coordinate from here on.
    const steep = c.let(v.or(
      v.gtS(bExponent, aExponent),
      v.and(v.eq(bExponent, aExponent), v.gtU(bM, aM)),
    ));
    c.if(steep, () => {
      for (const [one, other] of [[aM, bM], [aExponent, bExponent]]) {
        const kept = variable(c, one);
        c.set(one, other);
        c.set(other, kept);
      }
    });
    const distance = c.let(v.sub(aExponent, bExponent));
    const base = [c.local(v.I64), c.local(v.I64)] as const;
    const isBelow = c.local(v.I32);
    const z = [c.local(v.I64), c.local(v.I64)] as const;
    const scale = c.local(v.I32);
    const j = c.local(v.I32);
    c.if(v.ltS(distance, i32(SMALL)), () => {
      const far = v.shrU(bM, v.extendU(v.add(distance, i32(ROOM))));
      const sixteenths = v.divU(v.shl(far, i64(4)), v.shrU(aM, i64(ROOM)));
      c.set(j, v.wrap(v.shrU(v.add(sixteenths, i64(1)), i64(1))));
    });
    c.if(j, () => {
      nearTable(lib, c, [aM, bM], distance, j, { z, scale, isBelow });
      BASES.forEach((value, i) => {
        if (i === 0) return;
        c.if(v.eq(j, i32(i)), () => {
          const [high, low] = wide(value);
          c.set(base[0], high);
          c.set(base[1], low);
        });
      });
    }, () => {
      const half = [v.shrU(bM, i64(1)), v.shl(bM, i64(63))];
      lib.into(c, z, "divideFraction", ...half, aM, i64(0));
      c.set(scale, v.sub(distance, i32(1)));
    });
    const [m, rest, count] = lib.results(c, "normalizeWide", ...z);
    c.set(scale, v.add(scale, count));
    const s = lib.results(c, "atanSeries", m, rest, scale);
    c.if(v.eqz(anyOf(j, steep, xNegative)), () => {
      const top = v.sub(i32(BIAS - 1), scale);
      lib.tail(c, "roundWide", ySign, top, s[0], s[1], carrying);
    });
    lib.into(c, s, "shiftRightJam", s[0], s[1], v.add(scale, i32(2)));
    wideSum(c, s, base, allOnes(isBelow));
    c.if(steep, () => wideSum(c, s, wide(PI / 2n), i64(-1)));
    c.if(xNegative, () => wideSum(c, s, wide(PI), i64(-1)));
    angle(s[0], s[1]);
  });

  // z(1 - z²(1/3 - z²(1/5 - ...))), a little less, so that it never looks exact.
  lib.define("atanSeries", (c, high, low, scale) => {
    const z = lib.results(c, "shiftRightJam", high, low, scale);
    const u = lib.results(c, "multiplyHigh", z[0], z[1], z[0], z[1]);
    const coefficients = reciprocals(TERMS, (k) => BigInt(2 * k + 3));
    const sum = series(lib, c, [u[0], u[1]], coefficients, true, LARGEST);
    const part = lib.results(c, "multiplyHigh", u[0], u[1], ...sum);
    const correction = lib.results(c, "multiplyHigh", high, low, part[0], part[1]);
    const more = addWide(c, [correction[0], correction[1]], [i64(0), i64(1)]);
    c.if(anyOf(v.ne(high, i64(0)), v.ne(low, i64(0))), () => {
      c.return(...subWide(c, [high, low], more));
    });
    c.return(i64(0), i64(0));
  });
}

/** -1 where a condition is 1. */
const allOnes = (condition: Value): Value => v.sub(i64(0), v.extendU(condition));

/** z = (8b - ja)/(8a + jb), of which the magnitude, with its sign aside. */
function nearTable(
  lib: Float80Library,
  c: Code,
  [aM, bM]: readonly Value[],
  distance: Value,
  j: Local,
  out: { z: readonly Local[]; scale: Local; isBelow: Local },
): void {
  const a = [c.let(v.shrU(aM, i64(ROOM))), c.let(v.shl(aM, i64(64 - ROOM)))] as const;
  const by = v.add(distance, i32(ROOM));
  const b = lib.results(c, "shiftRightJam", bM, i64(0), by);
  const times = ([high, low]: readonly Value[], factor: Value): [Value, Value] => {
    const [carry, product] = wideProduct(c, low, factor);
    return [c.let(v.add(v.mul(high, factor), carry)), product];
  };
  const wideJ = c.let(v.extendU(j));
  const eight = i64(8);
  const numerator = subWide(c, times(b, eight), times(a, wideJ));
  const divisor = addWide(c, times(a, eight), times(b, wideJ));
  c.set(out.isBelow, v.ltS(numerator[0], i64(0)));
  wideSum(c, numerator, [i64(0), i64(0)], allOnes(out.isBelow));
  const [nHigh, nLow, nCount] = lib.results(c, "normalizeWide", ...numerator);
  const [dHigh, dLow, dCount] = lib.results(c, "normalizeWide", ...divisor);
  const half = [
    v.shrU(nHigh, i64(1)),
    v.or(v.shrU(nLow, i64(1)), v.shl(nHigh, i64(63))),
  ];
  lib.into(c, out.z, "divideFraction", ...half, dHigh, dLow);
  c.set(out.scale, v.sub(v.sub(nCount, dCount), i32(1)));
}
