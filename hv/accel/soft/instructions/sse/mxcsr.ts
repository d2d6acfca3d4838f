/**
 * MXCSR as arithmetic sees it (Intel SDM volume 1, 10.2.3 and 11.5). WebAssembly's own operations are
 * taken where they give the processor's result and set no flag that is not set already; the
 * conditions are here. Elsewhere the functions of float_sse do the work, and say which flags come.
 */

import type { Handler } from "../../codegen/handler.ts";
import { Vector } from "../../events/faults.ts";
import type { SseImport } from "../../float/module.ts";
import { Mxcsr } from "../../float/float_sse/format.ts";
import { Flag } from "../../float/float80/format.ts";
import { AT, MXCSR_AT } from "../../state/state.ts";
import type { Local } from "../../wasm/code.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";

/** Bits of a lane. */
export type Width = 32 | 64;

const CR4_OSXMMEXCPT = 1 << 10;
/** Rounding to nearest, everything masked, PE set: the bits that say so, and how. */
const USUAL_BITS = 0x7f80 | Flag.PE;
const USUAL = 0x1f80 | Flag.PE;

export const mxcsr = (h: Handler): Value => h.let(h.field(I32, 32, MXCSR_AT));

/**
 * Is MXCSR as it is after a program's first inexact result? Then rounding to nearest is right, and
 * inexactness need not be known. (FZ and DAZ do not matter to operands and results that are normal.)
 */
export const isUsual = (control: Value): Value =>
  v.eq(v.and(control, v.i32(USUAL_BITS)), v.i32(USUAL));

/** Sets flags; one that is not masked ends the instruction with #XM, or #UD if CR4 says so. */
export function report(h: Handler, control: Value, flags: Value): void {
  h.code.if(flags, () => {
    h.setField(32, MXCSR_AT, v.or(control, flags));
    const masks = v.shrU(control, v.i32(Mxcsr.masks));
    h.code.if(v.and(flags, v.xor(masks, v.i32(-1))), () => {
      const enabled = v.and(h.field(I32, 32, AT.cr4), v.i32(CR4_OSXMMEXCPT));
      h.raise(v.select(enabled, v.i32(Vector.simd), v.i32(Vector.undefinedOpcode)));
    });
  });
}

/** Puts a function's result into `result` and reports its flags. */
export function compute(
  h: Handler,
  result: Local,
  name: SseImport,
  control: Value,
  ...args: Value[]
): void {
  const flags = h.code.local(I32);
  h.callFloat(name, [result, flags], ...args, control);
  report(h, control, v.and(flags, v.i32(Mxcsr.flags)));
}

/** The upper half of doubles, the whole of floats, in every lane. */
const everywhere = (w: Width, upper32: number, upper64: number): Value =>
  w === 32 ? simd.splat32(v.i32(upper32)) : simd.splat64(v.i64(BigInt(upper64) << 32n));

const absolute = (w: Width, a: Value): Value => w === 32 ? simd.absF32(a) : simd.absF64(a);
const equal = (w: Width, a: Value, b: Value): Value =>
  w === 32 ? simd.eqF32(a, b) : simd.eqF64(a, b);
/** Lanes that are 0, of either sign. */
export const isZero = (w: Width, a: Value): Value => equal(w, a, s.ZERO);

/** Lanes that are neither denormal nor NaNs. */
export function isPlain(w: Width, a: Value): Value {
  const least = everywhere(w, 0x0080_0000, 0x0010_0000);
  const normal = w === 32 ? simd.geF32(absolute(w, a), least) : simd.geF64(absolute(w, a), least);
  return simd.or(normal, isZero(w, a));
}

/** Lanes that are finite and further from the denormals than rounding goes. */
export function isFull(w: Width, a: Value): Value {
  const least = everywhere(w, 0x0100_0000, 0x0020_0000);
  const infinity = everywhere(w, 0x7f80_0000, 0x7ff0_0000);
  const magnitude = absolute(w, a);
  return w === 32
    ? simd.and(simd.geF32(magnitude, least), simd.ltF32(magnitude, infinity))
    : simd.and(simd.geF64(magnitude, least), simd.ltF64(magnitude, infinity));
}

/** Is a comparison's result true in every lane? */
export const everyLane = (lanes: Value): Value => simd.allTrue32(lanes);
