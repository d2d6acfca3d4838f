/** SSE and SSE2 conversions between floats and integers (Intel SDM volume 2: CVTDQ2PD to CVTTSS2SI). */

import type { Handler } from "../../codegen/handler.ts";
import type { SseImport } from "../../float/module.ts";
import type { Local } from "../../wasm/code.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I64, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { computeScalar, spread, storeScalar } from "./arithmetic.ts";
import { LOAD, sse } from "./definition.ts";
import {
  compute,
  everyLane,
  isPlain,
  isUsual,
  isZero,
  mxcsr,
  report,
  type Width,
} from "./mxcsr.ts";

/** The rounding field of MXCSR: towards zero. */
const TRUNCATE = 3 << 13;

/** `fast` where `isSure`, else what `slow` puts into the variable. */
function either(
  h: Handler,
  isSure: Value,
  fast: Value,
  slow: (result: Local) => void,
): Value {
  const result = h.code.local(fast.type);
  h.code.if(isSure, () => h.code.set(result, fast), () => slow(result));
  return result;
}

const letterOf = (w: Width) => w === 32 ? "s" : "d";

/** A float to a general register: an integer that does not fit gives the least one. */
const toInteger = (w: Width, size: Width, truncates: boolean): Definition =>
  sse(`cvt${truncates ? "t" : ""}s${letterOf(w)}si${size}`, LOAD, (h) => {
    const bits = v.extendU(h.read(1, w));
    const control = mxcsr(h);
    const result = h.code.local(I64);
    const used = truncates ? h.let(v.or(control, v.i32(TRUNCATE))) : control;
    computeWith(h, result, `toInt${size}${w}`, used, control, bits);
    h.write(0, size === 32 ? v.wrap(result) : result, size);
  });

/** As `compute`, with another rounding than MXCSR's. */
function computeWith(
  h: Handler,
  result: Local,
  name: SseImport,
  used: Value,
  control: Value,
  operand: Value,
): void {
  const flags = h.code.local(v.I32);
  h.callFloat(name, [result, flags], operand, used);
  report(h, control, flags);
}

/** An integer of a general register or memory. */
const fromInteger = (w: Width, size: Width): Definition =>
  sse(`cvtsi${size}s${letterOf(w)}`, LOAD, (h) => {
    const value = h.read(1, size);
    const wide = h.let(size === 32 ? v.extendS(value) : value);
    const fast = w === 64
      ? simd.splatF64(v.convertToDouble(wide))
      : simd.splatF32(v.convertToSingle(wide));
    if (w === 64 && size === 32) return storeScalar(h, w, h.let(fast));
    const control = mxcsr(h);
    const result = either(h, isUsual(control), fast, (r) => {
      computeScalar(h, r, [`fromInteger${w}`, w], control, wide);
    });
    storeScalar(h, w, result);
  });

/** Packed floats to integers of 32 bits; those of doubles in the lower half. */
export function integersOf(h: Handler, w: Width, b: Value, truncates: boolean): Value {
  const control = mxcsr(h);
  const inRange = w === 32
    ? simd.ltF32(simd.absF32(b), simd.splat32(v.i32(0x4f00_0000)))
    : simd.ltF64(simd.absF64(b), simd.splat64(v.i64(0x41df_ffffn << 32n)));
  const rounded = truncates ? b : w === 32 ? simd.nearestF32(b) : simd.nearestF64(b);
  const fast = w === 32 ? simd.truncateF32(rounded) : simd.truncateF64(rounded);
  const used = truncates ? v.or(control, v.i32(TRUNCATE)) : control;
  const sure = v.and(isUsual(control), everyLane(inRange));
  return either(h, sure, fast, (r) => {
    computeWith(h, r, `packedToInt${w}`, used, control, b);
  });
}

/** Packed integers of 32 bits to floats. */
export function floatsOf(h: Handler, b: Value): Value {
  const control = mxcsr(h);
  return either(h, isUsual(control), simd.convertS32ToF32(b), (r) => {
    compute(h, r, "packedFromInteger32", control, b);
  });
}

const toIntegers = (name: string, w: Width, truncates: boolean): Definition =>
  sse(name, LOAD, (h) => {
    h.writeVector(0, integersOf(h, w, h.readVector(1, true), truncates), true);
  });

/** Lanes of doubles that are floats' too, whatever rounding does, or 0. */
function fitsSingle(b: Value): Value {
  const least = simd.splat64(v.i64(0x3830_0000n << 32n));
  const most = simd.splat64(v.i64(0x47d0_0000n << 32n));
  const magnitude = simd.absF64(b);
  return simd.or(
    simd.and(simd.geF64(magnitude, least), simd.ltF64(magnitude, most)),
    isZero(64, b),
  );
}

/** The source's 8 bytes in both halves, for conversions that widen. */
const half = (h: Handler): Value => h.let(simd.splat64(h.read(1, 64)));

const between: readonly Definition[] = [
  sse("cvtss2sd", LOAD, (h) => {
    const bits = h.read(1, 32);
    const b = spread(h, 32, bits);
    const result = either(h, everyLane(isPlain(32, b)), simd.promote(b), (r) => {
      computeScalar(h, r, ["convert32", 64], mxcsr(h), v.extendU(bits));
    });
    storeScalar(h, 64, result);
  }),
  sse("cvtsd2ss", LOAD, (h) => {
    const bits = h.read(1, 64);
    const b = spread(h, 64, bits);
    const control = mxcsr(h);
    const sure = v.and(isUsual(control), everyLane(fitsSingle(b)));
    const result = either(h, sure, simd.demote(b), (r) => {
      computeScalar(h, r, ["convert64", 32], control, bits);
    });
    storeScalar(h, 32, result);
  }),
  sse("cvtps2pd", LOAD, (h) => {
    const b = half(h);
    const result = either(h, everyLane(isPlain(32, b)), simd.promote(b), (r) => {
      compute(h, r, "packedConvert32", mxcsr(h), b);
    });
    h.writeVector(0, result, true);
  }),
  sse("cvtpd2ps", LOAD, (h) => {
    const b = h.readVector(1, true);
    const control = mxcsr(h);
    const sure = v.and(isUsual(control), everyLane(fitsSingle(b)));
    const result = either(h, sure, simd.demote(b), (r) => {
      compute(h, r, "packedConvert64", control, b);
    });
    h.writeVector(0, result, true);
  }),
  sse("cvtdq2ps", LOAD, (h) => h.writeVector(0, floatsOf(h, h.readVector(1, true)), true)),
  // Exact.
  sse("cvtdq2pd", LOAD, (h) => h.writeVector(0, simd.convertLowS32ToF64(half(h)), true)),
];

/** See above. */
export const SSE_CONVERSIONS: readonly Definition[] = [
  ...([32, 64] as const).flatMap((w) =>
    ([32, 64] as const).flatMap((size) => [
      fromInteger(w, size),
      toInteger(w, size, false),
      toInteger(w, size, true),
    ])
  ),
  ...between,
  toIntegers("cvtps2dq", 32, false),
  toIntegers("cvttps2dq", 32, true),
  toIntegers("cvtpd2dq", 64, false),
  toIntegers("cvttpd2dq", 64, true),
];
