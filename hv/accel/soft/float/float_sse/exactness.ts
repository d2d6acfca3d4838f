/**
 * Is a result exact? For programs that never had an inexact one: PE is clear, and must stay so. The
 * conditions are sufficient, not necessary; operands and result are finite and not denormal.
 */

import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import type { Format } from "./format.ts";
import { exponentBits, fractionBits } from "./pack.ts";

/** WebAssembly's own operations on bits in an i64; the results are variables or conditions. */
export interface PlainOperations {
  readonly add: (a: Value, b: Value) => Value;
  readonly sub: (a: Value, b: Value) => Value;
  readonly mul: (a: Value, b: Value) => Value;
  /** To the nearest integer. */
  readonly nearest: (a: Value) => Value;
  readonly equal: (a: Value, b: Value) => Value;
}

/** Bits of the number below which every integer is a float: 2^24 or 2^53. */
const smallLimit = ({ fraction, exponent }: Format): bigint =>
  BigInt((1 << exponent - 1) - 1 + fraction + 1) << BigInt(fraction);

/** A condition: `result` is that of `operation` without rounding. */
export function isExact(
  operation: "add" | "sub" | "mul" | "div",
  [a, b, result]: readonly [Value, Value, Value],
  operations: PlainOperations,
  format: Format,
): Value {
  const { add, sub, mul, nearest, equal } = operations;
  const isInteger = (x: Value) => equal(nearest(x), x);
  const isSmall = (x: Value) =>
    v.ltU(
      v.and(x, v.i64(exponentBits(format) | fractionBits(format))),
      v.i64(smallLimit(format)),
    );
  switch (operation) {
    // The error of a sum is a float, and known (Knuth, The Art of Computer Programming 2, 4.2.2).
    case "add": {
      const part = sub(result, a);
      return equal(add(sub(a, sub(result, part)), sub(b, part)), v.i64(0));
    }
    case "sub": {
      const part = sub(result, a);
      return equal(sub(a, sub(result, part)), add(b, part));
    }
    // Integers with a small product.
    case "mul":
      return v.and(v.and(isInteger(a), isInteger(b)), isSmall(result));
    // Integers of which the quotient times the divisor is the dividend.
    case "div":
      return v.and(
        v.and(isInteger(result), isInteger(b)),
        v.and(isSmall(a), equal(mul(result, b), a)),
      );
  }
}
