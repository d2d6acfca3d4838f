/**
 * Whole vectors, lane by lane, through the scalar functions: what packed instructions call where
 * WebAssembly's own operations do not do (Intel SDM volume 1, 11.5).
 */

import { Flag } from "../float80/format.ts";
import { FunctionLibrary } from "../float80/library.ts";
import type { Code, Local } from "../../wasm/code.ts";
import type { ModuleBuilder } from "../../wasm/module_builder.ts";
import * as s from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Type, V128, type Value } from "../../wasm/value.ts";
import { Mxcsr } from "./format.ts";
import type { SseFunctionName, SseLibrary } from "./signatures.ts";

type Signature = readonly [parameters: readonly Type[], results: readonly Type[]];
const UNARY: Signature = [[V128, I32], [V128, I32]];
const BINARY: Signature = [[V128, V128, I32], [V128, I32]];
const PREDICATE: Signature = [[V128, V128, I32, I32], [V128, I32]];

/** Exceptions that are found before anything is computed. */
const BEFORE = Flag.IE | Flag.DE | Flag.ZE;

const BINARIES = ["add", "sub", "mul", "div", "min", "max"] as const;

/** By name; the vectors come first, MXCSR last; the flags of all lanes are the second result. */
export const PACKED_SIGNATURES = {
  packedAdd32: BINARY,
  packedAdd64: BINARY,
  packedSub32: BINARY,
  packedSub64: BINARY,
  packedMul32: BINARY,
  packedMul64: BINARY,
  packedDiv32: BINARY,
  packedDiv64: BINARY,
  packedMin32: BINARY,
  packedMin64: BINARY,
  packedMax32: BINARY,
  packedMax64: BINARY,
  /** Differences in the even lanes, sums in the odd ones. */
  packedAddsub32: BINARY,
  packedAddsub64: BINARY,
  packedSqrt32: UNARY,
  packedSqrt64: UNARY,
  packedRound32: UNARY,
  packedRound64: UNARY,
  /** To integers of 32 bits; two lanes go to the lower half, and the upper becomes 0. */
  packedToInt32: UNARY,
  packedToInt64: UNARY,
  packedFromInteger32: UNARY,
  /** From the lower half of floats to doubles, and the reverse. */
  packedConvert32: UNARY,
  packedConvert64: UNARY,
  /** (a, b, predicate, MXCSR): all ones in each lane where the predicate holds. */
  packedCompare32: PREDICATE,
  packedCompare64: PREDICATE,
  /** (a, b, predicate, MXCSR) of the lowest lanes alone. */
  scalarCompare32: PREDICATE,
  scalarCompare64: PREDICATE,
} satisfies Record<string, Signature>;

/** One of the above. */
export type PackedFunctionName = keyof typeof PACKED_SIGNATURES;
/** The functions in a module. */
export type PackedLibrary = FunctionLibrary<PackedFunctionName>;

const lane = (a: Value, width: 32 | 64, n: number): Value =>
  width === 32 ? v.extendU(s.extract32(a, n)) : s.extract64(a, n);
const withLane = (a: Value, width: 32 | 64, n: number, bits: Value): Value =>
  width === 32 ? s.replace32(a, n, v.wrap(bits)) : s.replace64(a, n, bits);

/** Leaves with the lanes and all their flags. */
class Lanes {
  readonly #code: Code;
  readonly #result: Local;
  readonly #flags: Local;

  constructor(code: Code) {
    this.#code = code;
    this.#result = code.local(V128);
    this.#flags = code.local(I32);
  }

  set(width: 32 | 64, n: number, bits: Value, flags: Value): void {
    const code = this.#code;
    code.set(this.#result, withLane(this.#result, width, n, bits));
    code.set(this.#flags, v.or(this.#flags, flags));
  }

  /** Where one lane stops before it is computed, no other reports what comes of computing. */
  finish(mxcsr: Value): void {
    const unmasked = v.and(
      v.and(this.#flags, v.xor(v.shrU(mxcsr, v.i32(Mxcsr.masks)), v.i32(-1))),
      v.i32(BEFORE),
    );
    const kept = v.select(unmasked, v.i32(BEFORE), v.i32(Mxcsr.flags));
    this.#code.return(this.#result, v.and(this.#flags, kept));
  }
}

/** Adds the functions to a module that has those of `scalar`. */
export function defineFloatPacked(module: ModuleBuilder, scalar: SseLibrary): PackedLibrary {
  const lib: PackedLibrary = new FunctionLibrary(module, PACKED_SIGNATURES);
  const count = (width: 32 | 64) => 128 / width;

  const binary = (
    name: PackedFunctionName,
    width: 32 | 64,
    operation: (lane: number) => SseFunctionName,
  ) =>
    lib.define(name, (c, a, b, mxcsr) => {
      const lanes = new Lanes(c);
      for (let n = 0; n < count(width); n++) {
        const [bits, flags] = scalar.results(
          c,
          operation(n),
          lane(a, width, n),
          lane(b, width, n),
          mxcsr,
        );
        lanes.set(width, n, bits, flags);
      }
      lanes.finish(mxcsr);
    });

  /** `count` lanes of a width become lanes of another. */
  const unary = (
    name: PackedFunctionName,
    [from, to]: readonly [from: 32 | 64, to: 32 | 64],
    operation: SseFunctionName,
    signed = false,
  ) =>
    lib.define(name, (c, a, mxcsr) => {
      const lanes = new Lanes(c);
      for (let n = 0; n < Math.min(count(from), count(to)); n++) {
        const operand = signed ? v.extendS(s.extract32(a, n)) : lane(a, from, n);
        const [bits, flags] = scalar.results(c, operation, operand, mxcsr);
        lanes.set(to, n, bits, flags);
      }
      lanes.finish(mxcsr);
    });

  for (const width of [32, 64] as const) {
    for (const operation of BINARIES) {
      const name = operation[0].toUpperCase() + operation.slice(1) as Capitalize<typeof operation>;
      binary(`packed${name}${width}`, width, () => `${operation}${width}`);
    }
    binary(`packedAddsub${width}`, width, (n) => n % 2 === 0 ? `sub${width}` : `add${width}`);
    unary(`packedSqrt${width}`, [width, width], `sqrt${width}`);
    unary(`packedRound${width}`, [width, width], `round${width}`);
    unary(`packedToInt${width}`, [width, 32], `toInt32${width}`);
    unary(`packedConvert${width}`, [width, width === 32 ? 64 : 32], `convert${width}`);
    defineComparison(lib, scalar, `packedCompare${width}`, width, count(width));
    defineComparison(lib, scalar, `scalarCompare${width}`, width, 1);
  }
  unary("packedFromInteger32", [32, 32], "fromInteger32", true);
  return lib;
}

/** CMPPS and its kin: EQ, LT, LE, UNORD, and with bit 2 of the predicate their opposites. */
function defineComparison(
  lib: PackedLibrary,
  scalar: SseLibrary,
  name: PackedFunctionName,
  width: 32 | 64,
  count: number,
): void {
  lib.define(name, (c, a, b, predicate, mxcsr) => {
    const lanes = new Lanes(c);
    const kind = c.let(v.and(predicate, v.i32(3)));
    const inverted = c.let(v.and(v.shrU(predicate, v.i32(2)), v.i32(1)));
    // Only the comparisons by order, LT and LE, take a quiet NaN as invalid.
    const isLoud = c.let(v.ltU(v.sub(kind, v.i32(1)), v.i32(2)));
    const report = c.local(I32);
    for (let n = 0; n < count; n++) {
      const operands = [lane(a, width, n), lane(b, width, n), mxcsr];
      c.if(
        isLoud,
        () => c.set(report, scalar.call(`compare${width}`, ...operands)),
        () => c.set(report, scalar.call(`compareQuiet${width}`, ...operands)),
      );
      const bit = (flag: number) => v.ne(v.and(report, v.i32(flag)), v.i32(0));
      const ordered = v.eqz(v.and(report, v.i32(Flag.C2)));
      const less = v.and(v.ne(kind, v.i32(0)), bit(Flag.C0));
      const equal = v.and(v.ne(kind, v.i32(1)), bit(Flag.C3));
      const holds = v.select(
        v.eq(kind, v.i32(3)),
        v.xor(ordered, v.i32(1)),
        v.and(v.or(less, equal), ordered),
      );
      const ones = v.sub(v.i64(0), v.extendU(v.xor(holds, inverted)));
      lanes.set(width, n, ones, v.and(report, v.i32(Mxcsr.flags)));
    }
    lanes.finish(mxcsr);
  });
}
