/** The functions of float80/ as a module of their own, called by the x87's services. */

import { defineFloat80 } from "./float80/define.ts";
import type { FunctionName } from "./float80/signatures.ts";
import { ModuleBuilder } from "./wasm/module_builder.ts";

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
  return module.build();
}

/** The functions of a compiled module. */
export function openFloat80(module: WebAssembly.Module): Float80 {
  return new WebAssembly.Instance(module).exports as unknown as Float80;
}
