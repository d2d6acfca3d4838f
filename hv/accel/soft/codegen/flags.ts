/**
 * The arithmetic flags, lazily: two 64-bit words from which each flag is one or two operations away,
 * whatever instruction left them.
 *
 * `lazyResult` is the result, sign-extended to 64 bits. `lazyAux` has
 *
 * - bit 63: carry; bit 62: the carry into the sign bit, so that OF is 63 XOR 62;
 * - bit 0: AF;
 * - bits 8 to 15: XORed with the result's low byte before its parity is taken;
 * - bit 16: XORed with the result's sign.
 *
 * The last two are 0 but after instructions that set flags one by one (POPF, SAHF, shifts by CL).
 * For an addition all of it comes from the vector of carries, (a AND b) OR ((a OR b) AND NOT r).
 */

import { AT } from "../state/state.ts";
import * as v from "../wasm/value.ts";
import { I64, type Value } from "../wasm/value.ts";
import type { Handler, Size } from "./handler.ts";

/** Bits of EFLAGS. */
export const CF = 1 << 0;
export const PF = 1 << 2;
export const AF = 1 << 4;
export const ZF = 1 << 6;
export const SF = 1 << 7;
export const DF = 1 << 10;
export const OF = 1 << 11;
export const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

const SIGN_DELTA = 47;

const result = (h: Handler): Value => h.field(I64, 64, AT.lazyResult);
const aux = (h: Handler): Value => h.field(I64, 64, AT.lazyAux);

function setLazy(h: Handler, resultValue: Value, auxValue: Value): void {
  h.setField(64, AT.lazyResult, resultValue);
  h.setField(64, AT.lazyAux, auxValue);
}

/** From a vector of carries of `size` bits to `lazyAux`. */
function auxOfCarries(carries: Value, size: Size): Value {
  if (size === 64) {
    const high = v.and(carries, v.i64(-(1n << 62n)));
    return v.or(high, v.and(v.shrU(carries, v.i64(3)), v.i64(1)));
  }
  const high = v.shl(v.extendU(carries), v.i64(64 - size));
  return v.or(high, v.extendU(v.and(v.shrU(carries, v.i32(3)), v.i32(1))));
}

const not = (a: Value): Value => v.xor(a, v.integer(a.type, -1));

function sumAux(h: Handler, a: Value, b: Value, r: Value): Value {
  const carries = v.or(v.and(a, b), v.and(v.or(a, b), not(r)));
  return auxOfCarries(h.let(carries), h.size);
}

function differenceAux(h: Handler, a: Value, b: Value, r: Value): Value {
  const borrows = v.or(v.and(not(a), b), v.and(not(v.xor(a, b)), r));
  return auxOfCarries(h.let(borrows), h.size);
}

/** Flags of r = a + b (+ carry). */
export function setAddFlags(h: Handler, a: Value, b: Value, r: Value): void {
  setLazy(h, h.signed(r), sumAux(h, a, b, r));
}

/** Flags of r = a - b (- borrow). */
export function setSubFlags(h: Handler, a: Value, b: Value, r: Value): void {
  setLazy(h, h.signed(r), differenceAux(h, a, b, r));
}

/** As the two above, with CF as it was (INC and DEC). */
export function setFlagsKeepingCarry(
  h: Handler,
  kind: "add" | "sub",
  a: Value,
  b: Value,
  r: Value,
): void {
  const fresh = h.let((kind === "add" ? sumAux : differenceAux)(h, a, b, r));
  // Both upper bits change together, so that their difference, OF, stays.
  const change = h.let(v.and(v.xor(fresh, aux(h)), v.i64(-(1n << 63n))));
  setLazy(h, h.signed(r), v.xor(fresh, v.or(change, v.shrU(change, v.i64(1)))));
}

/** Flags of a logical result: CF, OF and AF 0. */
export function setLogicFlags(h: Handler, r: Value): void {
  setLazy(h, h.signed(r), v.i64(0));
}

/** Flags by result, with CF and OF given (i64, 0 or 1) and AF 0. */
export function setResultFlags(h: Handler, r: Value, carry: Value, overflow: Value): void {
  setLazy(h, h.signed(r), carryBits(h, carry, overflow));
}

function carryBits(h: Handler, carry: Value, overflow: Value): Value {
  const c = h.let(carry);
  return v.or(
    v.shl(c, v.i64(63)),
    v.shl(v.xor(c, overflow), v.i64(62)),
  );
}

/** Replaces CF and OF (i64, 0 or 1), the others stay. */
export function setCarryAndOverflow(h: Handler, carry: Value, overflow: Value): void {
  const kept = v.and(aux(h), v.i64((1n << 62n) - 1n));
  h.setField(64, AT.lazyAux, v.or(kept, carryBits(h, carry, overflow)));
}

/** Replaces CF (i64, 0 or 1), the others stay. */
export function setCarry(h: Handler, value: Value): void {
  setCarryAndOverflow(h, h.let(value), h.let(overflow(h)));
}

/** Replaces ZF (i32, not 0: set) while the others stay; the result must have flags by now. */
export function setZero(h: Handler, isZero: Value): void {
  const flags = h.let(arithmeticFlags(h));
  const others = v.and(flags, v.i32(~ZF));
  setArithmeticFlags(h, v.or(others, v.select(isZero, v.i32(ZF), v.i32(0))));
}

/** ZF by `shown` (i64: 0, or a positive number whose low byte is not odd), PF too is 0; the rest 0. */
export function setOnlyZero(h: Handler, shown: Value): void {
  // One bit in the parity byte: PF is 0 with either.
  setLazy(h, shown, v.i64(1 << 8));
}

/** Sets all six flags from the bits of EFLAGS in an i32. */
export function setArithmeticFlags(h: Handler, flags: Value): void {
  const f = h.let(v.extendU(flags));
  const bit = (n: number) => v.and(v.shrU(f, v.i64(n)), v.i64(1));
  // A result of 0 or 1, the rest by the two differences; bit 2 of the parity byte sets PF to 0.
  const nonzero = h.let(v.xor(bit(6), v.i64(1)));
  const parity = v.xor(v.xor(bit(2), v.i64(1)), nonzero);
  const rest = v.or(v.or(bit(4), v.shl(parity, v.i64(8))), v.shl(bit(7), v.i64(16)));
  setLazy(h, nonzero, v.or(rest, carryBits(h, bit(0), bit(11))));
}

/** CF as an i64, 0 or 1. */
export const carry = (h: Handler): Value => v.shrU(aux(h), v.i64(63));
/** OF as an i64, 0 or 1. */
export const overflow = (h: Handler): Value => {
  const a = h.let(aux(h));
  return v.shrU(v.xor(a, v.shl(a, v.i64(1))), v.i64(63));
};
const signWord = (h: Handler, a: Value): Value => v.xor(result(h), v.shl(a, v.i64(SIGN_DELTA)));
const isNegative = (value: Value): Value => v.ltS(value, v.i64(0));
const parity = (h: Handler, a: Value): Value => {
  const low = v.wrap(v.xor(result(h), v.shrU(a, v.i64(8))));
  return v.xor(v.and(v.popcnt(v.and(low, v.i32(0xff))), v.i32(1)), v.i32(1));
};

/** The six flags as bits of EFLAGS, an i32. */
export function arithmeticFlags(h: Handler): Value {
  const a = h.let(aux(h));
  const place = (bit: Value, n: number) => v.shl(bit, v.i32(n));
  const signBit = v.wrap(v.shrU(signWord(h, a), v.i64(63)));
  const overflowBit = v.wrap(v.shrU(v.xor(a, v.shl(a, v.i64(1))), v.i64(63)));
  return [
    place(parity(h, a), 2),
    place(v.and(v.wrap(a), v.i32(1)), 4),
    place(v.eqz(result(h)), 6),
    place(signBit, 7),
    place(overflowBit, 11),
  ].reduce((sum, one) => v.or(sum, one), v.wrap(v.shrU(a, v.i64(63))));
}

/** Condition `code` (0 to 15, as instructions encode it): an i32, 0 or 1. */
export function condition(h: Handler, code: number): Value {
  const a = h.let(aux(h));
  const overflowWord = () => v.xor(a, v.shl(a, v.i64(1)));
  const isZero = () => v.eqz(result(h));
  const less = () => isNegative(v.xor(signWord(h, a), overflowWord()));
  const positive = [
    () => isNegative(overflowWord()), // o
    () => isNegative(a), // b
    isZero, // z
    () => v.or(isNegative(a), isZero()), // be
    () => isNegative(signWord(h, a)), // s
    () => parity(h, a), // p
    less, // l
    () => v.or(less(), isZero()), // le
  ][code >> 1]();
  return (code & 1) === 0 ? positive : v.eqz(positive);
}

/** Names of the conditions by their code. */
export const CONDITIONS = [
  "o",
  "no",
  "b",
  "nb",
  "z",
  "nz",
  "be",
  "nbe",
  "s",
  "ns",
  "p",
  "np",
  "l",
  "nl",
  "le",
  "nle",
] as const;
