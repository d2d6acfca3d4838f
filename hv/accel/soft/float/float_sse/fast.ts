/**
 * WebAssembly's own operations in front of the slow paths, where they give the same result and no flag
 * that is not known: each function below writes code that returns from the function it stands in when
 * it can answer, and goes on otherwise.
 *
 * Rounding to nearest with all exceptions masked and PE already set is the usual state of a program
 * that computes: then only denormals, NaNs, infinities, and results near the ends of the range are
 * left. Before PE is set, exact results are recognized where that is cheap (exactness.ts). NaNs never
 * come from here, since WebAssembly does not define their bits.
 */

import { Flag } from "../float80/format.ts";
import { variable } from "../float80/library.ts";
import type { Code, Local } from "../../wasm/code.ts";
import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { isExact } from "./exactness.ts";
import { type Format, FORMATS, Mxcsr } from "./format.ts";
import { exponentBits, fractionBits } from "./pack.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Opcodes (WebAssembly core specification, 5.4.7). */
const OPCODES = {
  "32": {
    fromBits: [0xa7, 0xbe],
    toBits: [0xbc, 0xad],
    add: 0x92,
    sub: 0x93,
    mul: 0x94,
    div: 0x95,
    sqrt: 0x91,
    eq: 0x5b,
    lt: 0x5d,
    /** In the order of the rounding field: nearest, down, up, to zero. */
    rounding: [0x90, 0x8e, 0x8d, 0x8f],
    fromInteger: 0xb4,
    toInteger: [0xfc, 0x04],
    /** To double precision. */
    convert: 0xbb,
  },
  "64": {
    fromBits: [0xbf],
    toBits: [0xbd],
    add: 0xa0,
    sub: 0xa1,
    mul: 0xa2,
    div: 0xa3,
    sqrt: 0x9f,
    eq: 0x61,
    lt: 0x63,
    rounding: [0x9e, 0x9c, 0x9b, 0x9d],
    fromInteger: 0xb9,
    toInteger: [0xfc, 0x06],
    /** To single precision. */
    convert: 0xb6,
  },
} as const;

/** Rounding to nearest, everything masked, PE set: the bits that say so, and how. */
const USUAL_BITS = 0x7f80 | Flag.PE;
const USUAL = 0x1f80 | Flag.PE;

/** Values and opcodes one after the other. */
const sequence = (type: v.Type, ...parts: (Value | readonly number[])[]): Value => ({
  type,
  emit: (out) => {
    for (const part of parts) {
      if ("emit" in part) part.emit(out);
      else out.append(part);
    }
  },
});

/** The same, but PE may be clear. */
const isCalm = (mxcsr: Value): Value =>
  v.eq(v.and(mxcsr, i32(USUAL_BITS & ~Flag.PE)), i32(USUAL & ~Flag.PE));
const isUsual = (mxcsr: Value): Value => v.eq(v.and(mxcsr, i32(USUAL_BITS)), i32(USUAL));
const magnitude = (bits: Value, format: Format): Value =>
  v.and(bits, i64(exponentBits(format) | fractionBits(format)));
const isZero = (bits: Value, format: Format): Value => v.eqz(magnitude(bits, format));
/** Not denormal. */
const isPlain = (bits: Value, format: Format): Value =>
  v.geU(v.sub(magnitude(bits, format), i64(1)), i64(fractionBits(format)));
const isOrdered = (bits: Value, format: Format): Value =>
  v.leU(magnitude(bits, format), i64(exponentBits(format)));
/** Finite and further from the denormals than rounding goes. */
const isFull = (bits: Value, format: Format): Value => {
  const least = 2n << BigInt(format.fraction);
  return v.ltU(
    v.sub(magnitude(bits, format), i64(least)),
    i64(exponentBits(format) - least),
  );
};

/** ADD, SUB, MUL, DIV. While PE is clear, the result must be exact as well. */
export function fastBinary(
  c: Code,
  operation: "add" | "sub" | "mul" | "div",
  [a, b, mxcsr]: readonly Local[],
  format: Format,
): void {
  const op = OPCODES[format.name];
  const binary = (opcode: number) => (x: Value, y: Value) =>
    c.let(sequence(v.I64, x, op.fromBits, y, op.fromBits, [opcode], op.toBits));
  c.if(isCalm(mxcsr), () => {
    const result = binary(op[operation])(a, b);
    const zeroOperand = operation === "mul"
      ? v.or(isZero(a, format), isZero(b, format))
      : operation === "div"
      ? isZero(a, format)
      : i32(1);
    const exactZero = v.and(isZero(result, format), zeroOperand);
    const plain = v.and(isPlain(a, format), isPlain(b, format));
    c.if(v.and(plain, v.or(isFull(result, format), exactZero)), () => {
      c.if(v.and(mxcsr, i32(Flag.PE)), () => c.return(result, i32(0)));
      const exact = isExact(operation, [a, b, result], {
        add: binary(op.add),
        sub: binary(op.sub),
        mul: binary(op.mul),
        nearest: (x) => c.let(sequence(v.I64, x, op.fromBits, [op.rounding[0]], op.toBits)),
        equal: (x, y) => sequence(v.I32, x, op.fromBits, y, op.fromBits, [op.eq]),
      }, format);
      c.if(exact, () => c.return(result, i32(0)));
    });
  });
}

/** SQRT. */
export function fastSquareRoot(c: Code, [a, mxcsr]: readonly Local[], format: Format): void {
  const op = OPCODES[format.name];
  c.if(v.and(isUsual(mxcsr), isPlain(a, format)), () => {
    const result = c.let(sequence(v.I64, a, op.fromBits, [op.sqrt], op.toBits));
    c.if(isFull(result, format), () => c.return(result, i32(0)));
  });
}

/** COMI, UCOMI, CMP: neither NaN nor denormal. */
export function fastCompare(c: Code, [a, b]: readonly Local[], format: Format): void {
  const op = OPCODES[format.name];
  const ordered = v.and(isOrdered(a, format), isOrdered(b, format));
  c.if(v.and(ordered, v.and(isPlain(a, format), isPlain(b, format))), () => {
    const relation = (opcode: number) => sequence(v.I32, a, op.fromBits, b, op.fromBits, [opcode]);
    c.return(v.or(v.shl(relation(op.lt), i32(8)), v.shl(relation(op.eq), i32(14))));
  });
}

/** Rounded to an integral value as MXCSR says, its bits. */
function rounded(c: Code, a: Value, mxcsr: Value, format: Format): Local {
  const op = OPCODES[format.name];
  const one = (mode: number) => sequence(v.I64, a, op.fromBits, [op.rounding[mode]], op.toBits);
  const result = variable(c, one(0));
  const mode = c.let(v.and(v.shrU(mxcsr, i32(Mxcsr.rounding)), i32(3)));
  c.if(mode, () => {
    for (const other of [1, 2, 3]) {
      c.if(v.eq(mode, i32(other)), () => c.set(result, one(other)));
    }
  });
  return result;
}

const inexactIf = (condition: Value): Value => v.shl(condition, i32(Math.log2(Flag.PE)));

/** ROUND. */
export function fastRound(c: Code, [a, mxcsr]: readonly Local[], format: Format): void {
  c.if(v.and(isOrdered(a, format), isPlain(a, format)), () => {
    const result = rounded(c, a, mxcsr, format);
    c.return(result, inexactIf(v.ne(result, a)));
  });
}

/** CVT2SI, CVTT2SI: below half of the integer's range. */
export function fastToInteger(
  c: Code,
  [a, mxcsr]: readonly Local[],
  bits: 32 | 64,
  format: Format,
): void {
  const op = OPCODES[format.name];
  const bias = (1 << (format.exponent - 1)) - 1;
  const limit = BigInt(bias + bits - 2) << BigInt(format.fraction);
  const inRange = v.ltU(magnitude(a, format), i64(limit));
  c.if(v.and(inRange, isPlain(a, format)), () => {
    const result = rounded(c, a, mxcsr, format);
    const integer = sequence(v.I64, result, op.fromBits, op.toInteger);
    c.return(integer, inexactIf(v.ne(result, a)));
  });
}

/** CVTSI2: small enough to be exact. */
export function fastFromInteger(c: Code, [integer]: readonly Local[], format: Format): void {
  const op = OPCODES[format.name];
  const limit = 1n << BigInt(format.fraction);
  c.if(v.ltU(v.add(integer, i64(limit)), i64(limit * 2n)), () => {
    c.return(sequence(v.I64, integer, [op.fromInteger], op.toBits), i32(0));
  });
}

/** CVTSS2SD, which is exact, and CVTSD2SS. */
export function fastConvert(c: Code, [a, mxcsr]: readonly Local[], format: Format): void {
  const other = FORMATS.find((one) => one !== format)!;
  const { fromBits, convert } = OPCODES[format.name];
  const value = sequence(v.I64, a, fromBits, [convert], OPCODES[other.name].toBits);
  const plain = isPlain(a, format);
  if (format.name === "32") {
    c.if(v.and(plain, isOrdered(a, format)), () => c.return(value, i32(0)));
    return;
  }
  c.if(v.and(isUsual(mxcsr), plain), () => {
    const result = c.let(value);
    const sure = v.or(isFull(result, other), isZero(a, format));
    c.if(sure, () => c.return(result, i32(0)));
  });
}
