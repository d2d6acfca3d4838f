/**
 * SSE arithmetic with everything that WebAssembly's own does not have: rounding modes, exception flags,
 * DAZ and FTZ (Intel SDM volume 1, 11.5). Where WebAssembly's own operations give the same they are
 * taken (fast.ts); elsewhere numbers go through 80-bit values (float80/), rounded once to the format.
 *
 * An unmasked exception is the caller's affair: flags are what MXCSR gets before #XM; the result then
 * means nothing.
 */

import { Control } from "../float80/format.ts";
import { type Float80Library, FunctionLibrary } from "../float80/library.ts";
import type { ModuleBuilder } from "../../wasm/module_builder.ts";
import * as v from "../../wasm/value.ts";
import { defineArithmetic } from "./arithmetic.ts";
import { defineConversions } from "./conversions.ts";
import { FORMATS, Mxcsr } from "./format.ts";
import { defineFormats } from "./pack.ts";
import { SSE_SIGNATURES, type SseLibrary } from "./signatures.ts";

const i32 = v.i32;

/** Adds the functions to a module that has those of float80. */
export function defineFloatSse(module: ModuleBuilder, float80: Float80Library): SseLibrary {
  const lib: SseLibrary = new FunctionLibrary(module, SSE_SIGNATURES);
  lib.define("control", (c, mxcsr) => {
    const masks = v.and(v.shrU(mxcsr, i32(Mxcsr.masks)), i32(Mxcsr.flags));
    const rounding = v.and(v.shrU(mxcsr, i32(Mxcsr.rounding - 10)), i32(Control.rounding));
    const flush = v.and(mxcsr, i32(Control.flushToZero));
    c.return(v.or(v.or(masks, rounding), flush));
  });
  for (const format of FORMATS) {
    defineFormats(lib, format);
    defineArithmetic(lib, float80, format);
    defineConversions(lib, float80, format);
  }
  return lib;
}
