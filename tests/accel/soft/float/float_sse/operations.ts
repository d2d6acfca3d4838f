/** The SSE instructions that are compared with the processor, numbered as in oracle.c. */

import type { SseFunctionName } from "../../../../../hv/accel/soft/float/float_sse/signatures.ts";

/** See above. */
export interface Operation {
  readonly number: number;
  readonly name: string;
  readonly function: SseFunctionName;
  /** Width of the operands: 32 or 64. */
  readonly width: 32 | 64;
  readonly kind: "binary" | "unary" | "compare" | "truncate" | "fromInteger32" | "fromInteger64";
  /** Bits of the result that count. */
  readonly resultBits: 32 | 64;
}

type Base = [
  name: string,
  base: string,
  kind: Operation["kind"],
  resultBits?: 32 | 64,
];

const BASES: readonly Base[] = [
  ["ADD", "add", "binary"],
  ["SUB", "sub", "binary"],
  ["MUL", "mul", "binary"],
  ["DIV", "div", "binary"],
  ["SQRT", "sqrt", "unary"],
  ["MIN", "min", "binary"],
  ["MAX", "max", "binary"],
  ["COMI", "compare", "compare", 32],
  ["UCOMI", "compareQuiet", "compare", 32],
  ["CVT", "convert", "unary"],
  ["CVT2SI32", "toInt32", "unary", 32],
  ["CVT2SI64", "toInt64", "unary", 64],
  ["ROUND", "round", "unary"],
  ["CVTSI32", "fromInteger", "fromInteger32"],
  ["CVTSI64", "fromInteger", "fromInteger64"],
  ["CVTT2SI64", "toInt64", "truncate", 64],
];

/** See above. */
export const OPERATIONS: readonly Operation[] = ([32, 64] as const).flatMap((width) =>
  BASES.map(([name, base, kind, resultBits], i) => ({
    number: i + (width === 64 ? 32 : 0),
    name: `${name} ${width === 32 ? "SS" : "SD"}`,
    function: `${base}${width}` as SseFunctionName,
    width,
    kind,
    resultBits: base === "convert" ? (width === 32 ? 64 : 32) : resultBits ?? width,
  }))
);
