/** Parameters and results of the functions of 80-bit arithmetic. */

import { I32, I64, type Type } from "../../wasm/value.ts";

type Signature = readonly [parameters: readonly Type[], results: readonly Type[]];

/** A value, or a result: significand, then sign and exponent (and flags). */
const REAL = [I64, I32] as const;
const UNARY: Signature = [[...REAL, I32], REAL];
const BINARY: Signature = [[...REAL, ...REAL, I32], REAL];
const WIDE = [I64, I64] as const;

const TABLE = {
  // --- what instructions call: see README.md ---
  add: BINARY,
  sub: BINARY,
  mul: BINARY,
  div: BINARY,
  sqrt: UNARY,
  compare: [[...REAL, ...REAL, I32], [I32]],
  compareQuiet: [[...REAL, ...REAL, I32], [I32]],
  examine: [REAL, [I32]],
  prem: BINARY,
  prem1: BINARY,
  roundToInteger: UNARY,
  scale: BINARY,
  extract: [[...REAL, I32], [...REAL, ...REAL]],
  toInt16: UNARY,
  toInt32: UNARY,
  toInt64: UNARY,
  fromInteger: [[I64], REAL],
  toFloat32: UNARY,
  toFloat64: UNARY,
  fromFloat32: [[I32], REAL],
  fromFloat64: [[I64], REAL],
  widenFloat32: [[I32], REAL],
  widenFloat64: [[I64], REAL],
  toBcd: UNARY,
  fromBcd: [REAL, REAL],
  constant: [[I32, I32], REAL],
  exp2m1: UNARY,
  yLog2x: BINARY,
  yLog2xPlus1: BINARY,
  sin: UNARY,
  cos: UNARY,
  sincos: [[...REAL, I32], [...REAL, ...REAL]],
  tan: [[...REAL, I32], [...REAL, ...REAL]],
  atan: BINARY,

  // --- what they are made of ---
  /** (sign, exponent, high, low, control): rounds, with the integer bit in `high` set. */
  round: [[I32, I32, I64, I64, I32], REAL],
  roundSpecial: [[I32, I32, I64, I64, I32], REAL],
  /** The same to a narrow format of SSE, which the control word names. */
  roundNarrow: [[I32, I32, I64, I64, I32], REAL],
  /** (high, low, count): shifts right, and ORs what falls out into the last bit. */
  shiftRightJam: [[...WIDE, I32], WIDE],
  /** Result of an operation of which one operand is a NaN or unsupported. */
  nan: BINARY,
  /** The same for one operand. */
  nanOf: UNARY,
  /** (sign, exponent, significand) twice, control. */
  addFinite: [[I32, I32, I64, I32, I32, I64, I32], REAL],
  addSpecial: BINARY,
  /** (sign, exponent, significand, significand, control). */
  mulFinite: [[I32, I32, I64, I64, I32], REAL],
  mulSpecial: BINARY,
  divFinite: [[I32, I32, I64, I64, I32], REAL],
  divSpecial: BINARY,
  /** (high, low, divisor with bit 63 set, above high): quotient, remainder. */
  divideWide: [[I64, I64, I64], WIDE],
  /** (exponent, significand, control). */
  sqrtFinite: [[I32, I64, I32], REAL],
  sqrtSpecial: UNARY,
  /** (significand, se, significand, se, control, is FPREM1). */
  remainder: [[...REAL, ...REAL, I32, I32], REAL],
  /** Magnitude rounded to an integer, if below 2^64: it, and PE and C1. */
  integerOf: [[...REAL, I32], REAL],

  // --- transcendental functions: fractions of 128 bits, see transcendental/wide.ts ---
  /** (high, low) twice: upper half of the product. */
  multiplyHigh: [[...WIDE, ...WIDE], WIDE],
  /** Upper half of the product of 64 bits. */
  multiplyHigh64: [[I64, I64], [I64]],
  /** (dividend, divisor with bit 127 set, above the dividend): quotient digit, remainder. */
  divideDigit: [[...WIDE, ...WIDE], [I64, I64, I64]],
  /** (dividend, divisor, likewise): fraction. */
  divideFraction: [[...WIDE, ...WIDE], WIDE],
  /** (high, low): shifted up to bit 127, the count. */
  normalizeWide: [WIDE, [I64, I64, I32]],
  /** (sign, exponent of bit 127, high, low, control): normalizes and rounds, always inexact. */
  roundWide: [[I32, I32, I64, I64, I32], REAL],
  /** (mantissa, scale): logarithm's, arc tangent's, sine's and cosine's series. */
  atanhSeries: [[I64, I64, I32], WIDE],
  atanSeries: [[I64, I64, I32], WIDE],
  sinSeries: [[I64, I64, I32], WIDE],
  cosSeries: [[I64, I64, I32], WIDE],
  /** (is negative, argument): (2^(x/4) - 1) / x' */
  expm1Series: [[I32, I64, I64, I64, I64], WIDE],
  /** (sign of y, exponent of y, significand of y, power, high, low of the other factor, control). */
  timesLogOf: [[I32, I32, I64, I32, I64, I64, I32], REAL],
  /** (sign of y, exponent of y, significand of y, sign, exponent, high, low of log2, control). */
  timesLog: [[I32, I32, I64, I32, I32, I64, I64, I32], REAL],
  /** (significand, se): mantissa, scale, quadrant (bit 31: the remainder is negative). */
  reduceAngle: [REAL, [I64, I64, I32, I32]],
  /** What all of FSIN, FCOS, FSINCOS and FPTAN do first: 0, or 1 and an answer. */
  angleSpecial: [[...REAL, I32], [I32, I64, I32]],
  /** (mantissa, scale, quadrant, sign, control). */
  sinOf: [[I64, I64, I32, I32, I32, I32], REAL],
  tanOf: [[I64, I64, I32, I32, I32, I32], REAL],
} satisfies Record<string, Signature>;

/** A function's name. */
export type FunctionName = keyof typeof TABLE;

/** See above. */
export const SIGNATURES: Readonly<Record<FunctionName, Signature>> = TABLE;
