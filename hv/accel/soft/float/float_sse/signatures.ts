/**
 * Functions of float_sse. A number is its bits in an i64 (the low half for single precision); the
 * last parameter is MXCSR; the second result holds the flags IE to PE in bits 0 to 5.
 */

import type { FunctionLibrary } from "../float80/library.ts";
import { I32, I64, type Type } from "../../wasm/value.ts";

type Signature = readonly [parameters: readonly Type[], results: readonly Type[]];
const UNARY: Signature = [[I64, I32], [I64, I32]];
const BINARY: Signature = [[I64, I64, I32], [I64, I32]];

const BOTH = {
  add: BINARY,
  sub: BINARY,
  mul: BINARY,
  div: BINARY,
  min: BINARY,
  max: BINARY,
  sqrt: UNARY,
  /** Rounds to an integral value: MXCSR's rounding field; the caller drops PE where it is to. */
  round: UNARY,
  /** To integers of 32 and 64 bits; for truncation the caller sets the rounding field to 11b. */
  toInt32: UNARY,
  toInt64: UNARY,
  /** From an integer, in 64 bits. */
  fromInteger: UNARY,
  /** To the other precision. */
  convert: UNARY,
  /** CF, PF, ZF in bits 8, 10, 14, flags in bits 0 to 5. */
  compare: [[I64, I64, I32], [I32]],
  compareQuiet: [[I64, I64, I32], [I32]],
  /** (bits): as an 80-bit value; a signalling NaN stays one. */
  unpack: [[I64], [I64, I32]],
  /** The reverse, of a value that fits. */
  pack: [[I64, I32], [I64]],
  /** (a, b, MXCSR): result where one operand is a NaN. */
  nan: BINARY,
  /** (bits, MXCSR): 0 for a denormal under DAZ, and DE or 0. */
  denormal: [[I64, I32], [I64, I32]],
} satisfies Record<string, Signature>;

type Base = keyof typeof BOTH;
/** A function's name: what it does and the width of its first operand (`fromInteger`: its result). */
export type SseFunctionName = `${Base}${"32" | "64"}` | "control";

const forWidth = <Width extends "32" | "64">(width: Width) =>
  Object.fromEntries(
    Object.entries(BOTH).map(([name, signature]) => [name + width, signature]),
  ) as Record<`${Base}${Width}`, Signature>;

/** See above. */
export const SSE_SIGNATURES: Readonly<Record<SseFunctionName, Signature>> = {
  ...forWidth("32"),
  ...forWidth("64"),
  /** MXCSR as a control word of float80, without a format. */
  control: [[I32], [I32]],
};

/** The functions in a module. */
export type SseLibrary = FunctionLibrary<SseFunctionName>;
