/**
 * Expressions: what an instruction's meaning is written in. A value knows its type and how to write
 * the code that leaves it on WebAssembly's stack; building one writes nothing.
 *
 * A value is written each time it is used: put one that is used twice into a local (`Code.let`).
 * Constants fold, so that the translator, where operands are known, gets short code from the same
 * text.
 */

import type { ByteWriter } from "./byte_writer.ts";

/** Value types (WebAssembly core specification, 5.3.1). */
export const I32 = 0x7f;
/** See `I32`. */
export const I64 = 0x7e;
/** See `I32`. */
export const F64 = 0x7c;
/** See `I32`. */
export const V128 = 0x7b;
/** One of the value types. */
export type Type = typeof I32 | typeof I64 | typeof F64 | typeof V128;

/** See above. */
export interface Value {
  readonly type: Type;
  /** Writes the code that computes the value. */
  readonly emit: (out: ByteWriter) => void;
  /** Of a constant: its value, sign-extended. */
  readonly constant?: bigint;
}

/** A 32-bit constant. */
export function i32(value: number): Value {
  return {
    type: I32,
    constant: BigInt(value | 0),
    emit: (out) => {
      out.byte(0x41);
      out.signed(value);
    },
  };
}

/** A 64-bit constant; a `number` must be a safe integer. */
export function i64(value: number | bigint): Value {
  return {
    type: I64,
    constant: BigInt.asIntN(64, BigInt(value)),
    emit: (out) => {
      out.byte(0x42);
      out.signed64(value);
    },
  };
}

/** A constant of either integer type. */
export const integer = (type: Type, value: number | bigint): Value =>
  type === I64 ? i64(value) : i32(Number(BigInt.asIntN(32, BigInt(value))));

/** Zero of any type but F64. */
export const zeroOf = (type: Type): Value =>
  type !== V128 ? integer(type, 0) : {
    type,
    emit: (out) => {
      out.append([0xfd, 0x0c]);
      out.append(new Uint8Array(16));
    },
  };

const sameType = (what: string, a: Value, b: Value): Type => {
  if (a.type !== b.type) {
    throw new TypeError(
      `Cannot ${what} values of types ${a.type.toString(16)} and ` +
        `${b.type.toString(16)}: they must be equal`,
    );
  }
  return a.type;
};

type Fold = (a: bigint, b: bigint, bits: bigint) => bigint;

function folded(type: Type, a: Value, b: Value, fold?: Fold): Value | undefined {
  if (fold === undefined || a.constant === undefined || b.constant === undefined) return undefined;
  const bits = type === I64 ? 64 : 32;
  return integer(type, BigInt.asIntN(bits, fold(a.constant, b.constant, BigInt(bits))));
}

/** With this constant on the right (`any`: on either side) the result is the other operand. */
interface Neutral {
  readonly value: bigint;
  readonly any?: boolean;
  /** With this constant on either side the result is the constant. */
  readonly absorbs?: bigint;
}

function neutralResult(a: Value, b: Value, neutral: Neutral | undefined): Value | undefined {
  if (neutral === undefined) return undefined;
  if (b.constant === neutral.value) return a;
  if (neutral.any && a.constant === neutral.value) return b;
  if (neutral.absorbs === undefined) return undefined;
  return [a, b].find(({ constant }) => constant === neutral.absorbs);
}

/** An operator on two integers of one type; opcodes for i32 and i64. */
const binary = (
  name: string,
  op32: number,
  op64: number,
  fold?: Fold,
  neutral?: Neutral,
) =>
(a: Value, b: Value) => {
  const type = sameType(name, a, b);
  const opcode = type === I64 ? op64 : op32;
  return folded(type, a, b, fold) ?? neutralResult(a, b, neutral) ?? {
    type,
    emit: (out: ByteWriter) => {
      a.emit(out);
      b.emit(out);
      out.byte(opcode);
    },
  } as Value;
};

type Compare = (a: bigint, b: bigint) => boolean;

/** A comparison of two integers: the result is an i32, 0 or 1. */
const compare = (name: string, op32: number, op64: number, fold: Compare, isUnsigned = false) =>
(
  a: Value,
  b: Value,
): Value => {
  const opcode = sameType(name, a, b) === I64 ? op64 : op32;
  if (a.constant !== undefined && b.constant !== undefined) {
    const seen = (n: bigint) => isUnsigned ? BigInt.asUintN(64, n) : n;
    return i32(fold(seen(a.constant), seen(b.constant)) ? 1 : 0);
  }
  return {
    type: I32,
    emit: (out) => {
      a.emit(out);
      b.emit(out);
      out.byte(opcode);
    },
  };
};

const unary = (type: Type, a: Value, ...opcode: number[]): Value => ({
  type,
  emit: (out) => {
    a.emit(out);
    for (const byte of opcode) out.byte(byte);
  },
});

const ZERO: Neutral = { value: 0n, any: true };
const ZERO_RIGHT: Neutral = { value: 0n };
const ALL_ONES: Neutral = { value: -1n, any: true, absorbs: 0n };

export const add = binary("add", 0x6a, 0x7c, (a, b) => a + b, ZERO);
export const sub = binary("sub", 0x6b, 0x7d, (a, b) => a - b, ZERO_RIGHT);
export const mul = binary("mul", 0x6c, 0x7e, (a, b) => a * b);
export const divS = binary("divS", 0x6d, 0x7f);
export const divU = binary("divU", 0x6e, 0x80);
export const remS = binary("remS", 0x6f, 0x81);
export const remU = binary("remU", 0x70, 0x82);
export const and = binary("and", 0x71, 0x83, (a, b) => a & b, ALL_ONES);
export const or = binary("or", 0x72, 0x84, (a, b) => a | b, ZERO);
export const xor = binary("xor", 0x73, 0x85, (a, b) => a ^ b, ZERO);
/** Shift left; the count is taken modulo the width. */
export const shl = binary(
  "shl",
  0x74,
  0x86,
  (a, b, bits) => a << (b & (bits - 1n)),
  ZERO_RIGHT,
);
/** Arithmetic shift right. */
export const shrS = binary("shrS", 0x75, 0x87);
/** Logical shift right. */
export const shrU = binary("shrU", 0x76, 0x88);
export const rotl = binary("rotl", 0x77, 0x89);
export const rotr = binary("rotr", 0x78, 0x8a);

export const eq = compare("eq", 0x46, 0x51, (a, b) => a === b);
export const ne = compare("ne", 0x47, 0x52, (a, b) => a !== b);
export const ltS = compare("ltS", 0x48, 0x53, (a, b) => a < b);
export const ltU = compare("ltU", 0x49, 0x54, (a, b) => a < b, true);
export const gtS = compare("gtS", 0x4a, 0x55, (a, b) => a > b);
export const gtU = compare("gtU", 0x4b, 0x56, (a, b) => a > b, true);
export const leS = compare("leS", 0x4c, 0x57, (a, b) => a <= b);
export const leU = compare("leU", 0x4d, 0x58, (a, b) => a <= b, true);
export const geS = compare("geS", 0x4e, 0x59, (a, b) => a >= b);
export const geU = compare("geU", 0x4f, 0x5a, (a, b) => a >= b, true);

/** Is it zero? An i32. */
export const eqz = (a: Value): Value =>
  a.constant !== undefined
    ? i32(a.constant === 0n ? 1 : 0)
    : unary(I32, a, a.type === I64 ? 0x50 : 0x45);
export const clz = (a: Value): Value => unary(a.type, a, a.type === I64 ? 0x79 : 0x67);
export const ctz = (a: Value): Value => unary(a.type, a, a.type === I64 ? 0x7a : 0x68);
export const popcnt = (a: Value): Value => unary(a.type, a, a.type === I64 ? 0x7b : 0x69);
/** The low 32 bits. */
export const wrap = (a: Value): Value =>
  a.constant !== undefined
    ? i32(Number(BigInt.asIntN(32, a.constant)))
    : a.type === I32
    ? a
    : unary(I32, a, 0xa7);
/** To 64 bits, signed; of the low `bits` when these are given. */
export const extendS = (a: Value, bits = 32): Value => {
  if (a.constant !== undefined) return i64(BigInt.asIntN(bits, a.constant));
  const wide = a.type === I64 ? a : unary(I64, a, 0xac);
  if (bits === 8) return unary(I64, wide, 0xc2);
  if (bits === 16) return unary(I64, wide, 0xc3);
  return bits === 32 && a.type === I64 ? unary(I64, wide, 0xc4) : wide;
};
/** To 64 bits, unsigned. */
export const extendU = (a: Value): Value =>
  a.type === I64
    ? a
    : a.constant !== undefined
    ? i64(BigInt.asUintN(32, a.constant))
    : unary(I64, a, 0xad);
/** An i32's low 8 or 16 bits, sign-extended to 32; 32 changes nothing. */
export const signed32 = (a: Value, bits: number): Value =>
  bits === 8 ? unary(I32, a, 0xc0) : bits === 16 ? unary(I32, a, 0xc1) : a;

/** A signed i64 as a double. */
export const convertToDouble = (a: Value): Value => unary(F64, a, 0xb9);
/** A signed i64 as a float of 32 bits: only for what takes such a value at once. */
export const convertToSingle = (a: Value): Value => unary(F64, a, 0xb4);

/** `whenTrue` where `condition` (i32) is not 0, else `whenFalse`; both are computed unless it is known. */
export const select = (condition: Value, whenTrue: Value, whenFalse: Value): Value => {
  const type = sameType("select", whenTrue, whenFalse);
  if (condition.constant !== undefined) return condition.constant !== 0n ? whenTrue : whenFalse;
  return {
    type,
    emit: (out) => {
      whenTrue.emit(out);
      whenFalse.emit(out);
      condition.emit(out);
      out.byte(0x1b);
    },
  };
};

/** A call of function `index` that leaves one result. */
export const call = (index: number, type: Type, ...args: Value[]): Value => ({
  type,
  emit: (out) => {
    for (const arg of args) arg.emit(out);
    out.byte(0x10);
    out.unsigned(index);
  },
});
