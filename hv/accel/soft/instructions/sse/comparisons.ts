/** SSE and SSE2 comparisons of floats (Intel SDM volume 2: CMPPD to CMPSS, COMISD to UCOMISS). */

import * as flags from "../../codegen/flags.ts";
import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import { Mxcsr } from "../../float/float_sse/format.ts";
import type { Local } from "../../wasm/code.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, V128, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { spread, storeScalar } from "./arithmetic.ts";
import { LOAD, sse } from "./definition.ts";
import { compute, everyLane, isPlain, mxcsr, report, type Width } from "./mxcsr.ts";

/** From where float_sse puts CF, PF and ZF to their places in EFLAGS. */
const CODES_SHIFT = 8;

const equal = (w: Width, a: Value, b: Value): Value =>
  w === 32 ? simd.eqF32(a, b) : simd.eqF64(a, b);
const less = (w: Width, a: Value, b: Value): Value =>
  w === 32 ? simd.ltF32(a, b) : simd.ltF64(a, b);

const bothPlain = (w: Width, a: Value, b: Value): Value =>
  everyLane(simd.and(isPlain(w, a), isPlain(w, b)));

/** The predicate of the immediate: EQ, LT, LE, UNORD, and these negated; nothing is unordered here. */
function plainComparison(h: Handler, w: Width, imm: Value, a: Value, b: Value): Value {
  const all = (bit: Value) => simd.splat32(v.sub(v.i32(0), bit));
  const kind = h.let(v.and(imm, v.i32(3)));
  const takesEqual = v.eqz(v.and(kind, v.i32(1)));
  const takesLess = v.ltU(v.sub(kind, v.i32(1)), v.i32(2));
  const holds = simd.or(
    simd.and(equal(w, a, b), all(takesEqual)),
    simd.and(less(w, a, b), all(takesLess)),
  );
  return simd.xor(holds, all(v.and(v.shrU(imm, v.i32(2)), v.i32(1))));
}

function compared(
  h: Handler,
  w: Width,
  [a, b]: readonly [Value, Value],
  name: `packedCompare${Width}` | `scalarCompare${Width}`,
): Value {
  const imm = h.let(h.opField(I32, 8, OP.immediate));
  const result: Local = h.code.local(V128);
  h.code.if(
    bothPlain(w, a, b),
    () => h.code.set(result, plainComparison(h, w, imm, a, b)),
    () => compute(h, result, name, mxcsr(h), a, b, imm),
  );
  return result;
}

/** COMISS and its kin: CF less, ZF equal, all three with PF unordered; OF, SF, AF 0. */
const flagComparison = (name: string, w: Width, isQuiet: boolean): Definition =>
  sse(name, LOAD, (h) => {
    const b = h.read(1, w);
    const a = h.read(0, w);
    const [x, y] = [spread(h, w, a), spread(h, w, b)];
    const word = h.code.local(I32);
    h.code.if(bothPlain(w, x, y), () => {
      const bit = (lanes: Value) => v.and(simd.bitmask32(lanes), v.i32(1));
      h.code.set(
        word,
        v.or(bit(less(w, x, y)), v.shl(bit(equal(w, x, y)), v.i32(6))),
      );
    }, () => {
      const control = mxcsr(h);
      const index = h.env.floats.get(isQuiet ? `compareQuiet${w}` : `compare${w}`)!;
      const result = h.let(v.call(index, I32, v.extendU(a), v.extendU(b), control));
      report(h, control, h.let(v.and(result, v.i32(Mxcsr.flags))));
      h.code.set(word, v.and(v.shrU(result, v.i32(CODES_SHIFT)), v.i32(0x45)));
    });
    flags.setArithmeticFlags(h, word);
  });

/** See above. */
export const SSE_COMPARISONS: readonly Definition[] = ([32, 64] as const).flatMap((w) => {
  const letter = w === 32 ? "s" : "d";
  return [
    sse(`cmpp${letter}`, ["rri", "rmi"], (h) => {
      const b = h.readVector(1, true);
      const a = h.readVector(0, true);
      h.writeVector(0, compared(h, w, [a, b], `packedCompare${w}`), true);
    }),
    sse(`cmps${letter}_x`, ["rri", "rmi"], (h) => {
      const b = spread(h, w, h.read(1, w));
      const a = spread(h, w, h.read(0, w));
      storeScalar(h, w, compared(h, w, [a, b], `scalarCompare${w}`));
    }),
    flagComparison(`comis${letter}`, w, false),
    flagComparison(`ucomis${letter}`, w, true),
  ];
});
