/**
 * The functions of 80-bit arithmetic within a module that is being built: their indices and types,
 * and short forms for what their bodies write often.
 */

import { Code, type Local } from "../../wasm/code.ts";
import type { ModuleBuilder } from "../../wasm/module_builder.ts";
import * as v from "../../wasm/value.ts";
import type { Type, Value } from "../../wasm/value.ts";
import { EXPONENT_MASK, Flag } from "./format.ts";
import type { FunctionName } from "./signatures.ts";

/** Types of functions, by name. */
export type Signatures<Name extends string> = Readonly<
  Record<Name, readonly [parameters: readonly Type[], results: readonly Type[]]>
>;

/** See above. */
export class FunctionLibrary<Name extends string> {
  readonly #module: ModuleBuilder;
  readonly #signatures: Signatures<Name>;
  readonly #index = new Map<Name, number>();

  /** Declares every function; the module's imports are complete. */
  constructor(module: ModuleBuilder, signatures: Signatures<Name>) {
    this.#module = module;
    this.#signatures = signatures;
    for (const name of Object.keys(signatures) as Name[]) {
      this.#index.set(name, module.declare(signatures[name][0], signatures[name][1]));
    }
  }

  /** Index of a function in the module. */
  at(name: Name): number {
    return this.#index.get(name)!;
  }

  /** Writes a function; every path of `body` must leave it. */
  define(name: Name, body: (code: Code, ...parameters: Local[]) => void): void {
    const [types] = this.#signatures[name];
    const code = new Code(types);
    body(code, ...types.map((_, i) => code.parameter(i)));
    code.unreachable();
    this.#module.define(this.at(name), code);
  }

  /** A call that leaves one result. */
  call(name: Name, ...args: Value[]): Value {
    return v.call(this.at(name), this.#signatures[name][1][0], ...args);
  }

  /** Calls, and puts each result into a variable. */
  results(code: Code, name: Name, ...args: Value[]): Local[] {
    const locals = this.#signatures[name][1].map((type) => code.local(type));
    this.into(code, locals, name, ...args);
    return locals;
  }

  /** Calls, and puts the results into existing variables. */
  into(code: Code, locals: readonly Local[], name: Name, ...args: Value[]): void {
    code.callInto(this.at(name), locals, ...args);
  }

  /** Leaves by calling another function in its place. */
  tail(code: Code, name: Name, ...args: Value[]): void {
    code.tailCall(this.at(name), ...args);
  }
}

/** The functions of signatures.ts. */
export type Float80Library = FunctionLibrary<FunctionName>;

/** A variable that can be set again. */
export function variable(code: Code, value: Value): Local {
  const local = code.local(value.type);
  code.set(local, value);
  return local;
}

/** `a` and then the others, ORed. */
export const anyOf = (first: Value, ...rest: Value[]): Value => rest.reduce(v.or, first);
/** Conditions (0 or 1) ANDed. */
export const allOf = (first: Value, ...rest: Value[]): Value => rest.reduce(v.and, first);
/** Is any of these bits set? 0 or 1. */
export const has = (word: Value, bits: number): Value => v.ne(v.and(word, v.i32(bits)), v.i32(0));
/** A condition (0 or 1) as a bit of the status word, where a packed result holds it. */
export const flagIf = (condition: Value, flag: number): Value =>
  v.shl(condition, v.i32(Math.log2(flag) + 16));
/** A constant set of flags, where a packed result holds it. */
export const flags = (...set: number[]): Value => v.i32(set.reduce((a, b) => a | b, 0) << 16);
/** The flags in the high half of a control word that carries some. */
export const carried = (control: Value): Value => v.and(control, v.i32(-65536));

/** Exponent field. */
export const exponentOf = (se: Value): Value => v.and(se, v.i32(EXPONENT_MASK));
/** The sign bit, in place. */
export const signOf = (se: Value): Value => v.and(se, v.i32(0x8000));
/** Finite, not zero, not denormal, integer bit set: what arithmetic can start on at once. */
export const isNormal = (significand: Value, se: Value): Value =>
  v.and(
    v.ltU(v.sub(exponentOf(se), v.i32(1)), v.i32(0x7ffe)),
    v.ltS(significand, v.i64(0)),
  );
/** Exponent 0 and a significand that is not: denormal or pseudo-denormal. */
export const isDenormal = (significand: Value, se: Value): Value =>
  v.and(v.eqz(exponentOf(se)), v.ne(significand, v.i64(0)));
export const isZero = (significand: Value, se: Value): Value =>
  v.and(v.eqz(exponentOf(se)), v.eqz(significand));
/** Infinity, if it is known not to be a NaN or an unsupported format. */
export const hasMaximalExponent = (se: Value): Value => v.eq(exponentOf(se), v.i32(EXPONENT_MASK));
/** Unsupported format: integer bit clear, exponent not 0 (SDM volume 1, table 8-3). */
export const isUnsupported = (significand: Value, se: Value): Value =>
  v.and(v.ne(exponentOf(se), v.i32(0)), v.geS(significand, v.i64(0)));
/** NaN, signalling or quiet, or unsupported. */
export const isNanOrUnsupported = (significand: Value, se: Value): Value =>
  v.or(
    isUnsupported(significand, se),
    v.and(hasMaximalExponent(se), v.ne(v.shl(significand, v.i64(1)), v.i64(0))),
  );

/** Is an exception unmasked? */
export const isUnmasked = (control: Value, flag: number): Value =>
  v.eqz(v.and(control, v.i32(flag)));

/** Leaves with DE alone when `isDenormal` and DE is unmasked; else DE in place, to be carried. */
export function denormalOperand(
  code: Code,
  condition: Value,
  significand: Value,
  se: Value,
  control: Value,
): Value {
  const denormal = code.let(condition);
  code.if(v.and(denormal, isUnmasked(control, Flag.DE)), () => {
    code.return(significand, v.or(v.and(se, v.i32(0xffff)), flags(Flag.DE)));
  });
  return code.let(v.or(control, flagIf(denormal, Flag.DE)));
}

/** Exponent as a number (1 for denormals), and the significand shifted up to its integer bit. */
export function normalized(code: Code, significand: Value, se: Value): [Value, Value] {
  const shift = code.let(v.clz(significand));
  const exponent = exponentOf(se);
  const real = v.add(exponent, v.eqz(exponent));
  return [
    code.let(v.shl(significand, shift)),
    code.let(v.sub(real, v.wrap(shift))),
  ];
}

/** The unsigned product of two values, written out: its high and its low half. */
export function wideProduct(code: Code, a: Value, b: Value): [high: Value, low: Value] {
  const mask = v.i64(0xffff_ffff);
  const half = v.i64(32);
  const a0 = code.let(v.and(a, mask));
  const a1 = code.let(v.shrU(a, half));
  const b0 = code.let(v.and(b, mask));
  const b1 = code.let(v.shrU(b, half));
  const low = code.let(v.mul(a0, b0));
  const middle = code.let(v.add(v.mul(a1, b0), v.shrU(low, half)));
  const cross = code.let(v.add(v.mul(a0, b1), v.and(middle, mask)));
  const high = v.add(v.add(v.mul(a1, b1), v.shrU(middle, half)), v.shrU(cross, half));
  return [
    code.let(high),
    code.let(v.or(v.shl(cross, half), v.and(low, mask))),
  ];
}
