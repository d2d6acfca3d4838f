/**
 * The functions of float80/ and float_sse/ as a module of their own: the former are called by the
 * x87's services, the latter are imported by generated code.
 */

import { defineFloat80 } from "./float80/define.ts";
import type { FunctionName } from "./float80/signatures.ts";
import { defineFloatSse } from "./float_sse/define.ts";
import {
  defineFloatPacked,
  PACKED_SIGNATURES,
  type PackedFunctionName,
} from "./float_sse/packed.ts";
import { SSE_SIGNATURES, type SseFunctionName } from "./float_sse/signatures.ts";
import { ModuleBuilder } from "../wasm/module_builder.ts";

/** What instructions call (float80/README.md). */
const EXPORTED = [
  "add",
  "sub",
  "mul",
  "div",
  "sqrt",
  "compare",
  "compareQuiet",
  "examine",
  "prem",
  "prem1",
  "roundToInteger",
  "scale",
  "extract",
  "toInt16",
  "toInt32",
  "toInt64",
  "fromInteger",
  "toFloat32",
  "toFloat64",
  "fromFloat32",
  "fromFloat64",
  "toBcd",
  "fromBcd",
  "constant",
  "exp2m1",
  "yLog2x",
  "yLog2xPlus1",
  "sin",
  "cos",
  "sincos",
  "tan",
  "atan",
] as const satisfies readonly FunctionName[];

const SCALARS = [
  ...["add", "sub", "mul", "div", "min", "max", "sqrt", "round", "convert", "fromInteger"],
  ...["toInt32", "toInt64", "compare", "compareQuiet"],
].flatMap((name) => [`${name}32`, `${name}64`]) as readonly SseFunctionName[];

/** One of the functions that generated code imports. */
export type SseImport = SseFunctionName | PackedFunctionName;

/** What generated code imports: names with the types of their parameters and results. */
export const SSE_IMPORTS:
  readonly (readonly [SseImport, (typeof SSE_SIGNATURES)[SseFunctionName]])[] = [
    ...SCALARS.map((name) => [name, SSE_SIGNATURES[name]] as const),
    ...(Object.keys(PACKED_SIGNATURES) as PackedFunctionName[])
      .map((name) => [name, PACKED_SIGNATURES[name]] as const),
  ];

/** A value: significand (signed 64 bits), then sign and exponent, with flags from bit 16 in results. */
export type Real = [significand: bigint, rest: number];
type Two = [bigint, number, bigint, number];
type Unary = (a: bigint, ae: number, control: number) => Real;
type Binary = (a: bigint, ae: number, b: bigint, be: number, control: number) => Real;
type Pair = (a: bigint, ae: number, control: number) => Two;

/** The functions as JavaScript sees them. */
export interface Float80 {
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly div: Binary;
  readonly sqrt: Unary;
  readonly compare: (...args: Parameters<Binary>) => number;
  readonly compareQuiet: (...args: Parameters<Binary>) => number;
  readonly examine: (a: bigint, ae: number) => number;
  readonly prem: Binary;
  readonly prem1: Binary;
  readonly roundToInteger: Unary;
  readonly scale: Binary;
  readonly extract: Pair;
  readonly toInt16: Unary;
  readonly toInt32: Unary;
  readonly toInt64: Unary;
  readonly fromInteger: (value: bigint) => Real;
  readonly toFloat32: Unary;
  readonly toFloat64: Unary;
  readonly fromFloat32: (bits: number, control: number) => Real;
  readonly fromFloat64: (bits: bigint, control: number) => Real;
  readonly toBcd: Unary;
  readonly fromBcd: (low: bigint, high: number) => Real;
  readonly constant: (which: number, control: number) => Real;
  readonly exp2m1: Unary;
  readonly yLog2x: Binary;
  readonly yLog2xPlus1: Binary;
  readonly sin: Unary;
  readonly cos: Unary;
  readonly sincos: Pair;
  readonly tan: Pair;
  readonly atan: Binary;
}

/** The module's bytes. */
export function buildFloat80(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const library = defineFloat80(module);
  for (const name of EXPORTED) module.export(name, library.at(name));
  const scalar = defineFloatSse(module, library);
  const packed = defineFloatPacked(module, scalar);
  for (const name of SCALARS) module.export(name, scalar.at(name));
  for (const name of Object.keys(PACKED_SIGNATURES) as PackedFunctionName[]) {
    module.export(name, packed.at(name));
  }
  return module.build();
}

/** The functions of a compiled module. */
export function openFloat80(module: WebAssembly.Module): Float80 {
  return new WebAssembly.Instance(module).exports as unknown as Float80;
}
