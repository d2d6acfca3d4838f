/** Arithmetic and comparison (Intel SDM volume 2: ADDSD, SUBSD, MULSD, DIVSD, SQRTSD, MINSD, COMISD...). */

import { Control, Flag } from "../float80/format.ts";
import type { Float80Library } from "../float80/library.ts";
import type { Code, Local } from "../../wasm/code.ts";
import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { fastBinary, fastCompare, fastSquareRoot } from "./fast.ts";
import { type Format, Mxcsr } from "./format.ts";
import { isNan } from "./pack.ts";
import type { SseLibrary } from "./signatures.ts";

const i32 = v.i32;
/** Flags that an operation sets before it computes anything. */
const BEFORE = Flag.IE | Flag.ZE;

/** The control word of float80 that rounds to a format. */
export function controlFor(lib: SseLibrary, c: Code, mxcsr: Value, format: Format): Value {
  const target = format.name === "32" ? Control.toSingle : Control.toDouble;
  return c.let(v.or(lib.call("control", mxcsr), i32(target)));
}

/** Flags of a packed result of float80. */
export const flagsOf = (packed: Value): Value => v.and(v.shrU(packed, i32(16)), i32(Mxcsr.flags));

/** With DE: not if the operation is invalid or a division by zero; alone, if DE is unmasked. */
export function withDenormal(c: Code, flags: Value, denormal: Value, mxcsr: Value): Value {
  const report = c.local(v.I32);
  c.set(report, flags);
  c.if(v.and(v.ne(denormal, i32(0)), v.eqz(v.and(report, i32(BEFORE)))), () => {
    const unmasked = v.eqz(v.and(mxcsr, i32(Flag.DE << Mxcsr.masks)));
    c.set(report, v.or(v.select(unmasked, i32(0), report), denormal));
  });
  return report;
}

/** Adds the functions of a format. */
export function defineArithmetic(lib: SseLibrary, float80: Float80Library, format: Format): void {
  const { name } = format;
  const operands = (c: Code, a: Local, b: Local, mxcsr: Local) => {
    c.if(v.or(isNan(a, format), isNan(b, format)), () => {
      lib.tail(c, `nan${name}`, a, b, mxcsr);
    });
    return cut(lib, c, [a, b], mxcsr, format);
  };

  for (const operation of ["add", "sub", "mul", "div"] as const) {
    lib.define(`${operation}${name}`, (c, a, b, mxcsr) => {
      fastBinary(c, operation, [a, b, mxcsr], format);
      const denormal = operands(c, a, b, mxcsr);
      const first = lib.results(c, `unpack${name}`, a);
      const second = lib.results(c, `unpack${name}`, b);
      const control = controlFor(lib, c, mxcsr, format);
      const result = float80.results(c, operation, ...first, ...second, control);
      const flags = withDenormal(c, flagsOf(result[1]), denormal, mxcsr);
      c.return(lib.call(`pack${name}`, ...result), flags);
    });
  }

  lib.define(`sqrt${name}`, (c, a, mxcsr) => {
    fastSquareRoot(c, [a, mxcsr], format);
    const denormal = operands(c, a, a, mxcsr);
    const value = lib.results(c, `unpack${name}`, a);
    const control = controlFor(lib, c, mxcsr, format);
    const result = float80.results(c, "sqrt", ...value, control);
    const flags = withDenormal(c, flagsOf(result[1]), denormal, mxcsr);
    c.return(lib.call(`pack${name}`, ...result), flags);
  });

  // The second operand where they are equal, as zeros are, or one is a NaN.
  for (const [operation, bit] of [["min", Flag.C0], ["max", 0]] as const) {
    lib.define(`${operation}${name}`, (c, a, b, mxcsr) => {
      const report = c.let(lib.call(`compare${name}`, a, b, mxcsr));
      cut(lib, c, [a, b], mxcsr, format);
      const codes = v.and(report, i32(Flag.C0 | Flag.C2 | Flag.C3));
      const first = v.eq(codes, i32(bit));
      c.return(v.select(first, a, b), v.and(report, i32(Mxcsr.flags)));
    });
  }

  for (const operation of ["compare", "compareQuiet"] as const) {
    lib.define(`${operation}${name}`, (c, a, b, mxcsr) => {
      fastCompare(c, [a, b], format);
      const denormal = cut(lib, c, [a, b], mxcsr, format);
      const first = lib.results(c, `unpack${name}`, a);
      const second = lib.results(c, `unpack${name}`, b);
      const all = i32(Control.precision64 | Mxcsr.flags);
      const report = c.let(float80.call(operation, ...first, ...second, all));
      // A NaN comes before a denormal.
      const ordered = v.eqz(v.and(report, i32(Flag.C2)));
      c.return(v.or(report, v.select(ordered, denormal, i32(0))));
    });
  }
}

/** Applies DAZ to the operands; DE or 0. */
function cut(
  lib: SseLibrary,
  c: Code,
  operands: readonly Local[],
  mxcsr: Value,
  { name }: Format,
): Value {
  const denormal = c.local(v.I32);
  const flag = c.local(v.I32);
  for (const operand of operands) {
    lib.into(c, [operand, flag], `denormal${name}`, operand, mxcsr);
    c.set(denormal, v.or(denormal, flag));
  }
  return denormal;
}
