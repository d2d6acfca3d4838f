/**
 * Multiplication and division (Intel SDM volume 2: DIV, IDIV, IMUL, MUL, MULX).
 *
 * Undefined flags: after MUL and IMUL those other than CF and OF are those of the result's low half;
 * DIV and IDIV change none.
 */

import * as flags from "../codegen/flags.ts";
import type { Handler } from "../codegen/handler.ts";
import { AT } from "../state/state.ts";
import * as v from "../wasm/value.ts";
import { I32, type Value } from "../wasm/value.ts";
import { define, type Definition, ONE_OPERAND, WORD_SIZES } from "./definition.ts";
import { serviceCall } from "./service_names.ts";

const RAX = 0;
const RDX = 2;
const DIVIDE_ERROR = 0;

/** High half of the signed product, from that of the unsigned one. */
function signedHigh(h: Handler, a: Value, b: Value): Value {
  const high = v.call(h.env.multiplyHigh, v.I64, a, b);
  const correction = v.add(
    v.and(v.shrS(a, v.i64(63)), b),
    v.and(v.shrS(b, v.i64(63)), a),
  );
  return h.let(v.sub(high, correction));
}

/** The product of two values of the operation's size: low and high half, and does it need both? */
function product(h: Handler, a: Value, b: Value, isSigned: boolean) {
  if (h.size === 64) {
    const low = h.let(v.mul(a, b));
    const high = isSigned ? signedHigh(h, a, b) : h.let(v.call(h.env.multiplyHigh, v.I64, a, b));
    const expected = isSigned ? v.shrS(low, v.i64(63)) : v.i64(0);
    return { low, high, tooLong: v.ne(high, expected) };
  }
  const widen = (x: Value) => isSigned ? v.extendS(x, h.size) : v.extendU(x);
  const whole = h.let(v.mul(widen(a), widen(b)));
  const low = h.let(h.cut(v.wrap(whole)));
  const high = h.let(h.cut(v.wrap(v.shrU(whole, v.i64(h.size)))));
  return { low, high, tooLong: v.ne(whole, widen(low)) };
}

function setFlags(h: Handler, low: Value, tooLong: Value): void {
  const bit = h.let(v.extendU(tooLong));
  flags.setResultFlags(h, low, bit, bit);
}

const multiply = (name: string, isSigned: boolean): Definition =>
  define(name, ONE_OPERAND, (h) => {
    const { low, high, tooLong } = product(h, h.read(0), h.register(RAX, h.size), isSigned);
    const flag = h.let(tooLong);
    if (h.size === 8) {
      h.setField(16, AT.general, v.or(low, v.shl(high, v.i32(8))));
    } else {
      h.setRegister(RAX, low, h.size);
      h.setRegister(RDX, high, h.size);
    }
    setFlags(h, low, flag);
  });

const imul2 = (forms: string[], first: number): Definition =>
  define(`imul${first + 2}`, forms, (h) => {
    const { low, tooLong } = product(h, h.read(first), h.read(first + 1), true);
    const flag = h.let(tooLong);
    h.write(0, low);
    setFlags(h, low, flag);
  }, WORD_SIZES);

/** 8, 16 and 32 bits: the dividend fits into 64. */
function divideNarrow(h: Handler, isSigned: boolean): void {
  const widen = (x: Value) => isSigned ? v.extendS(x, h.size) : v.extendU(x);
  const divisor = h.let(widen(h.read(0)));
  h.code.if(v.eqz(divisor), () => h.raise(DIVIDE_ERROR));
  const dividend = h.let(dividendOf(h, isSigned));
  if (isSigned && h.size === 32) {
    const least = v.eq(dividend, v.i64(-(1n << 63n)));
    h.code.if(v.and(least, v.eq(divisor, v.i64(-1))), () => h.raise(DIVIDE_ERROR));
  }
  const quotient = h.let((isSigned ? v.divS : v.divU)(dividend, divisor));
  const fits = v.eq(quotient, widen(h.cut(v.wrap(quotient))));
  h.code.if(v.eqz(fits), () => h.raise(DIVIDE_ERROR));
  const remainder = h.let((isSigned ? v.remS : v.remU)(dividend, divisor));
  if (h.size === 8) {
    const both = v.or(
      h.cut(v.wrap(quotient)),
      v.shl(h.cut(v.wrap(remainder)), v.i32(8)),
    );
    h.setField(16, AT.general, both);
    return;
  }
  h.setRegister(RAX, v.wrap(quotient), h.size);
  h.setRegister(RDX, v.wrap(remainder), h.size);
}

function dividendOf(h: Handler, isSigned: boolean): Value {
  if (h.size === 8) {
    const ax = h.field(I32, 16, AT.general);
    return isSigned ? v.extendS(ax, 16) : v.extendU(ax);
  }
  const low = v.extendU(h.register(RAX, h.size));
  const high = v.extendU(h.register(RDX, h.size));
  const joined = v.or(v.shl(high, v.i64(h.size)), low);
  return isSigned ? v.extendS(joined, h.size === 16 ? 32 : 64) : joined;
}

/** 64 bits: in generated code where RDX only extends RAX, which compilers' code always has. */
function divideWide(h: Handler, isSigned: boolean): void {
  const divisor = h.read(0);
  const low = h.let(h.register(RAX, 64));
  const high = h.let(h.register(RDX, 64));
  const short = v.eq(high, isSigned ? v.shrS(low, v.i64(63)) : v.i64(0));
  // -1 is left to the service as well: the least number divided by it does not fit.
  const divides = v.gtU(v.add(divisor, v.i64(isSigned ? 1 : 0)), v.i64(isSigned ? 1 : 0));
  h.code.if(v.and(short, divides), () => {
    h.setRegister(RAX, (isSigned ? v.divS : v.divU)(low, divisor), 64);
    h.setRegister(RDX, (isSigned ? v.remS : v.remU)(low, divisor), 64);
  }, () => {
    h.setField(64, AT.slowValue, divisor);
    h.service(serviceCall(isSigned ? "divideSigned" : "divideUnsigned", 64, false));
  });
}

const divide = (name: string, isSigned: boolean): Definition =>
  define(name, ONE_OPERAND, (h) => {
    if (h.size === 64) divideWide(h, isSigned);
    else divideNarrow(h, isSigned);
  });

/** See above. */
export const MULTIPLICATIONS: readonly Definition[] = [
  multiply("mul", false),
  multiply("imul", true),
  imul2(["rr", "rm"], 0),
  imul2(["rri", "rmi"], 1),
  divide("div", false),
  divide("idiv", true),
  define("mulx", ["rrr", "rrm"], (h) => {
    // High half to the first operand, low half to the second; the first wins if they are one.
    const { low, high } = product(h, h.read(2), h.register(RDX, h.size), false);
    h.write(1, low);
    h.write(0, high);
  }, [32, 64]),
];
