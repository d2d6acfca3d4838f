/**
 * SSE and SSE2 arithmetic, packed and scalar (Intel SDM volume 2: ADDPD to ADDSS, and so on for DIV,
 * MAX, MIN, MUL, SQRT, SUB).
 */

import type { Handler } from "../../codegen/handler.ts";
import type { SseImport } from "../../float/module.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { V128, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { LOAD, sse } from "./definition.ts";
import { range } from "./lanes.ts";
import {
  compute,
  everyLane,
  isFull,
  isPlain,
  isUsual,
  isZero,
  mxcsr,
  type Width,
} from "./mxcsr.ts";

type Operate = (w: Width, a: Value, b: Value) => Value;
const choose = (
  of32: (a: Value, b: Value) => Value,
  of64: (a: Value, b: Value) => Value,
): Operate =>
(w, a, b) => (w === 32 ? of32 : of64)(a, b);

const isExactZero = (w: Width, result: Value, cause: Value): Value =>
  simd.and(isZero(w, result), cause);

/** An operation: WebAssembly's, and the lanes of the result that are right without more ado. */
interface Operation {
  readonly operate: Operate;
  /** Given plain operands and a usual MXCSR; absent where plain operands are enough. */
  readonly isSure?: (w: Width, result: Value, a: Value, b: Value) => Value;
}

const sum: Operation["isSure"] = (w, r) => simd.or(isFull(w, r), isZero(w, r));

const add = choose(simd.addF32, simd.addF64);
const sub = choose(simd.subF32, simd.subF64);

const OPERATIONS = {
  // A sum that is 0 is exact.
  add: { operate: add, isSure: sum },
  sub: { operate: sub, isSure: sum },
  addsub: {
    operate: (w, a, b) => {
      const even = range(0, 16).map((at) => (at & w >> 3) === 0 ? 0xff : 0);
      return simd.select(sub(w, a, b), add(w, a, b), s.vectorConstant(even));
    },
    isSure: sum,
  },
  mul: {
    operate: choose(simd.mulF32, simd.mulF64),
    isSure: (w, r, a, b) =>
      simd.or(isFull(w, r), isExactZero(w, r, simd.or(isZero(w, a), isZero(w, b)))),
  },
  div: {
    operate: choose(simd.divF32, simd.divF64),
    isSure: (w, r, a) => simd.or(isFull(w, r), isExactZero(w, r, isZero(w, a))),
  },
  // The second operand where both are 0: exactly the pseudo-minimum of (b, a).
  min: { operate: choose((a, b) => simd.pminF32(b, a), (a, b) => simd.pminF64(b, a)) },
  max: { operate: choose((a, b) => simd.pmaxF32(b, a), (a, b) => simd.pmaxF64(b, a)) },
} satisfies Record<string, Operation>;

/** Names of the operations. */
export type ArithmeticName = keyof typeof OPERATIONS;

const nameOf = (operation: ArithmeticName, w: Width): SseImport =>
  `packed${operation[0].toUpperCase()}${operation.slice(1)}${w}` as SseImport;

/** The lanes' results; `slow` computes those that are not sure. */
function operated(
  h: Handler,
  operation: ArithmeticName,
  w: Width,
  [a, b]: readonly [Value, Value],
  slow: (result: ReturnType<Handler["code"]["local"]>, control: Value) => void,
): Value {
  const { operate, isSure }: Operation = OPERATIONS[operation];
  const result = h.code.local(V128);
  h.code.set(result, operate(w, a, b));
  const control = mxcsr(h);
  const plain = simd.and(isPlain(w, a), isPlain(w, b));
  const sure = isSure === undefined
    ? everyLane(plain)
    : v.and(isUsual(control), everyLane(simd.and(plain, isSure(w, result, a, b))));
  h.code.if(v.eqz(sure), () => slow(result, control));
  return result;
}

/** An operation on all lanes, with its exceptions; also a step of other instructions. */
export const packedArithmetic = (
  h: Handler,
  operation: ArithmeticName,
  w: Width,
  a: Value,
  b: Value,
): Value =>
  operated(h, operation, w, [a, b], (result, control) => {
    compute(h, result, nameOf(operation, w), control, a, b);
  });

/** A scalar's bits in every lane. */
export const spread = (h: Handler, w: Width, bits: Value): Value =>
  h.let(w === 32 ? simd.splat32(bits) : simd.splat64(bits));

/** Stores the lowest lane of a result; the others stay. */
export const storeScalar = (h: Handler, w: Width, result: Value): void =>
  h.writeLane(0, w === 32 ? s.extract32(result, 0) : s.extract64(result, 0), w);

/** A function of float_sse on scalars: its result in every lane. */
export function computeScalar(
  h: Handler,
  result: ReturnType<Handler["code"]["local"]>,
  [name, w]: readonly [SseImport, Width],
  control: Value,
  ...args: Value[]
): void {
  const bits = h.code.local(v.I64);
  compute(h, bits, name, control, ...args);
  h.code.set(result, w === 32 ? simd.splat32(v.wrap(bits)) : simd.splat64(bits));
}

const letterOf = (w: Width) => w === 32 ? "s" : "d";

/** The packed and scalar variants of an operation. */
const variants = (operation: "add" | "sub" | "mul" | "div" | "min" | "max"): Definition[] =>
  ([32, 64] as const).flatMap((w) => [
    sse(`${operation}p${letterOf(w)}`, LOAD, (h) => {
      const b = h.readVector(1, true);
      const a = h.readVector(0, true);
      h.writeVector(0, packedArithmetic(h, operation, w, a, b), true);
    }),
    sse(`${operation}s${letterOf(w)}`, LOAD, (h) => {
      const b = h.read(1, w);
      const a = h.read(0, w);
      const operands = [spread(h, w, a), spread(h, w, b)] as const;
      const result = operated(h, operation, w, operands, (r, control) => {
        computeScalar(h, r, [`${operation}${w}`, w], control, v.extendU(a), v.extendU(b));
      });
      storeScalar(h, w, result);
    }),
  ]);

/** Square roots, which have one operand. */
function root(h: Handler, w: Width, b: Value, slow: Parameters<typeof operated>[4]): Value {
  const result = h.code.local(V128);
  h.code.set(result, w === 32 ? simd.sqrtF32(b) : simd.sqrtF64(b));
  const control = mxcsr(h);
  const lanes = simd.and(isPlain(w, b), simd.or(isFull(w, result), isZero(w, b)));
  h.code.if(v.eqz(v.and(isUsual(control), everyLane(lanes))), () => slow(result, control));
  return result;
}

const roots = ([32, 64] as const).flatMap((w) => [
  sse(`sqrtp${letterOf(w)}`, LOAD, (h) => {
    const b = h.readVector(1, true);
    const result = root(h, w, b, (r, control) => compute(h, r, `packedSqrt${w}`, control, b));
    h.writeVector(0, result, true);
  }),
  sse(`sqrts${letterOf(w)}`, LOAD, (h) => {
    const b = h.read(1, w);
    const result = root(h, w, spread(h, w, b), (r, control) => {
      computeScalar(h, r, [`sqrt${w}`, w], control, v.extendU(b));
    });
    storeScalar(h, w, result);
  }),
]);

/** See above. */
export const SSE_ARITHMETIC: readonly Definition[] = [
  ...(["add", "sub", "mul", "div", "min", "max"] as const).flatMap(variants),
  ...roots,
];
