/**
 * Fractions of 128 bits (two i64, high and low) for the transcendental instructions. A number is a
 * mantissa m with bit 127 set and a scale k: m · 2^-128 · 2^-k. Errors are a few units of the last
 * place, 2^-128; the results of the series therefore have some 110 good bits, and what is rounded
 * from them to 64 is the correctly rounded value but for one case in 2^40 or less.
 */

import type { Code, Local } from "../../../wasm/code.ts";
import * as v from "../../../wasm/value.ts";
import type { Value } from "../../../wasm/value.ts";
import { Control } from "../format.ts";
import { type Float80Library, variable, wideProduct } from "../library.ts";

const i32 = v.i32;
const i64 = v.i64;

/** log2 of the size of terms from which on 64 bits do: errors stay below 2^-110. */
const ENOUGH = -46;

/** A 128-bit value: two variables or constants. */
export type Wide = readonly [high: Value, low: Value];

/** A constant fraction: `numerator / denominator`, below 1. */
export const fraction = (numerator: bigint, denominator: bigint): bigint =>
  (numerator << 128n) / denominator;
/** A constant of 128 bits. */
export const wide = (value: bigint): Wide => [
  i64(BigInt.asIntN(64, value >> 64n)),
  i64(BigInt.asIntN(64, value)),
];

/** Sum, in variables; a carry out is lost. */
export function addWide(c: Code, a: Wide, b: Wide): [Local, Local] {
  const addend = c.let(b[1]);
  const low = variable(c, v.add(a[1], addend));
  const high = variable(c, v.add(v.add(a[0], b[0]), v.extendU(v.ltU(low, addend))));
  return [high, low];
}

/** Difference, in variables. */
export function subWide(c: Code, a: Wide, b: Wide): [Local, Local] {
  const borrow = c.let(v.extendU(v.ltU(a[1], b[1])));
  const high = variable(c, v.sub(v.sub(a[0], b[0]), borrow));
  const low = variable(c, v.sub(a[1], b[1]));
  return [high, low];
}

/**
 * Adds `addend` to a value in variables; where `mask` is all ones instead of 0, the value is taken
 * negative.
 */
export function wideSum(c: Code, [high, low]: readonly Local[], addend: Wide, mask: Value): void {
  const negate = c.let(mask);
  const flippedLow = c.let(v.xor(low, negate));
  c.set(low, v.sub(flippedLow, negate));
  const carry = v.extendU(v.ltU(low, v.sub(i64(0), negate)));
  c.set(high, v.add(v.xor(high, negate), carry));
  const second = c.let(addend[1]);
  c.set(low, v.add(low, second));
  c.set(high, v.add(v.add(high, addend[0]), v.extendU(v.ltU(low, second))));
}

/** Shift right by a constant from 1 to 63. */
export const shiftWide = (c: Code, [high, low]: Wide, n: number): [Value, Value] => [
  c.let(v.shrU(high, i64(n))),
  c.let(v.or(v.shrU(low, i64(n)), v.shl(high, i64(64 - n)))),
];

/**
 * c0 ± u(c1 ± u(c2 ± ...)) with all signs + or all -, by Horner's rule. The tail, where the power of u
 * (`uMaximum`: log2 of the largest u) and the coefficients are small, is computed in 64 bits, shifted
 * up by the zeros that its coefficients have in front.
 */
export function series(
  lib: Float80Library,
  c: Code,
  u: Wide,
  coefficients: readonly bigint[],
  isAlternating: boolean,
  uMaximum: number,
): [Local, Local] {
  const zeros = (k: number) => 128 - coefficients[k].toString(2).length;
  const found = coefficients.findIndex((_, k) => uMaximum * k - zeros(k) < ENOUGH);
  const tail = found < 0 ? coefficients.length - 1 : found;
  const scale = zeros(tail);
  const high = c.local(v.I64);
  const low = c.local(v.I64);
  for (let k = coefficients.length - 1; k >= tail; k--) {
    const [top] = wide(coefficients[k] << BigInt(scale));
    const rest = lib.call("multiplyHigh64", u[0], high);
    const isLast = k === coefficients.length - 1;
    c.set(high, isLast ? top : (isAlternating ? v.sub : v.add)(top, rest));
  }
  if (scale > 0) {
    c.set(low, v.shl(high, i64(64 - scale)));
    c.set(high, v.shrU(high, i64(scale)));
  }
  for (let k = tail - 1; k >= 0; k--) {
    lib.into(c, [high, low], "multiplyHigh", ...u, high, low);
    const next = (isAlternating ? subWide : addWide)(c, wide(coefficients[k]), [high, low]);
    c.set(high, next[0]);
    c.set(low, next[1]);
  }
  return [high, low];
}

/** The coefficients 1/f(0), 1/f(1)... for a series of `count` terms. */
export const reciprocals = (count: number, f: (k: number) => bigint): bigint[] =>
  Array.from({ length: count }, (_, k) => fraction(1n, f(k)));

/** Adds the functions on fractions. */
export function defineWide(lib: Float80Library): void {
  lib.define("multiplyHigh64", (c, a, b) => c.return(wideProduct(c, a, b)[0]));

  lib.define("multiplyHigh", (c, aHigh, aLow, bHigh, bLow) => {
    const [high, low] = wideProduct(c, aHigh, bHigh);
    const first = c.let(lib.call("multiplyHigh64", aHigh, bLow));
    const second = c.let(lib.call("multiplyHigh64", aLow, bHigh));
    const sum = addWide(c, [high, low], [i64(0), first]);
    c.return(...addWide(c, sum, [i64(0), second]));
  });

  // One digit of 64 bits of (dividend : 0) / divisor, as in `divideWide`.
  lib.define("divideDigit", (c, nHigh, nLow, dHigh, dLow) => {
    const digit = c.local(v.I64);
    const left = c.local(v.I64);
    const enough = c.local(v.I32);
    c.if(v.ltU(nHigh, dHigh), () => {
      lib.into(c, [digit, left], "divideWide", nHigh, nLow, dHigh);
    }, () => {
      c.set(digit, i64(-1));
      c.set(left, v.add(nLow, dHigh));
      c.set(enough, v.ltU(left, dHigh));
    });
    const [high, low] = wideProduct(c, digit, dLow).map((half) => variable(c, half));
    c.block((done) => {
      c.loop((again) => {
        c.branchIf(done, enough);
        const fits = v.or(v.ltU(high, left), v.and(v.eq(high, left), v.eqz(low)));
        c.branchIf(done, fits);
        c.set(digit, v.sub(digit, i64(1)));
        c.set(high, v.sub(high, v.extendU(v.ltU(low, dLow))));
        c.set(low, v.sub(low, dLow));
        c.set(left, v.add(left, dHigh));
        c.set(enough, v.ltU(left, dHigh));
        c.branch(again);
      });
    });
    c.return(digit, ...subWide(c, [left, i64(0)], [high, low]));
  });

  lib.define("divideFraction", (c, nHigh, nLow, dHigh, dLow) => {
    const [high, rHigh, rLow] = lib.results(c, "divideDigit", nHigh, nLow, dHigh, dLow);
    const [low] = lib.results(c, "divideDigit", rHigh, rLow, dHigh, dLow);
    c.return(high, low);
  });

  lib.define("normalizeWide", (c, high, low) => {
    const count = c.local(v.I32);
    c.if(v.eqz(high), () => {
      c.set(high, low);
      c.set(low, i64(0));
      c.set(count, i32(64));
    });
    const shift = c.let(v.clz(high));
    c.if(v.and(v.ne(shift, i64(0)), v.ne(high, i64(0))), () => {
      c.set(high, v.or(v.shl(high, shift), v.shrU(low, v.sub(i64(64), shift))));
      c.set(low, v.shl(low, shift));
      c.set(count, v.add(count, v.wrap(shift)));
    });
    c.return(high, low, count);
  });

  lib.define("roundWide", (c, sign, exponent, high, low, control) => {
    const [m, rest, count] = lib.results(c, "normalizeWide", high, low);
    const full = v.or(control, i32(Control.precision64));
    lib.tail(c, "round", sign, v.sub(exponent, count), m, v.or(rest, i64(1)), full);
  });
}
