/**
 * MMX, and what SSE, SSE2 and SSSE3 do with its registers (Intel SDM volume 1, chapter 9; volume 2).
 *
 * MM0 to MM7 are the significands of the x87's registers by their physical numbers. Every instruction but
 * EMMS marks all of them as full, all make register 0 the top of the stack; one that writes a register
 * sets sign and exponent of it to ones (9.5.1).
 *
 * A register is computed with as a vector that has it in both halves; the lower half of the result counts.
 */

import type { Handler } from "../codegen/handler.ts";
import { OP } from "../codegen/operation.ts";
import { AT, STATUS87_AT, TAGS87_AT } from "../state/state.ts";
import * as s from "../wasm/simd.ts";
import { simd } from "../wasm/simd.ts";
import * as v from "../wasm/value.ts";
import { I32, type Value } from "../wasm/value.ts";
import type { Definition } from "./definition.ts";
import { serviceCall } from "./service_names.ts";
import { floatsOf, integersOf } from "./sse/conversions.ts";
import { LOAD, sse } from "./sse/definition.ts";
import {
  absoluteDifferences,
  fieldsOf,
  interleave,
  LANE_OPERATIONS,
  LANE_SHIFTS,
  shifted,
} from "./sse/integers.ts";
import { HORIZONTAL, indicesFromImmediate, joined, SSSE3_LANES } from "./sse/ssse3.ts";

const CR0_EM_TS = 1 << 2 | 1 << 3;
const SUMMARY = 1 << 7;
const TOP = 7 << 11;
/** Sign and exponent of a register that MMX has written. */
const ONES = 0xffff;

/** #UD, #NM or #MF where they are due. */
function requireAvailable(h: Handler): void {
  const unavailable = v.or(
    v.and(h.field(I32, 32, AT.cr0), v.i32(CR0_EM_TS)),
    v.and(h.field(I32, 16, STATUS87_AT), v.i32(SUMMARY)),
  );
  h.code.if(unavailable, () => h.service(serviceCall("mmxUnavailable", 64, false)));
}

/** The registers are MMX's from now on: nothing can fault any more. */
function take(h: Handler): void {
  const status = h.field(I32, 16, STATUS87_AT);
  h.setField(16, STATUS87_AT, v.and(status, v.i32(~TOP)));
  h.setField(8, TAGS87_AT, v.i32(0xff));
}

/** An instruction; its name is without the `mmx_` of the opcode tables. */
const mmx = (name: string, forms: readonly string[], body: (h: Handler) => void): Definition => ({
  name: `mmx_${name}`,
  forms,
  sizes: [32],
  body: (h) => {
    requireAvailable(h);
    body(h);
    take(h);
  },
});

/**
 * One that has an XMM register as well: `read` is done while it can fault, then the registers are MMX's
 * even if `write` gives #XM. With memory in place of an MMX register CVTPI2PD and CVTPI2PS have nothing to
 * do with the x87 (of the latter the manual does not say it; it is what an AMD Zen 4 or 5 does).
 */
const mixed = <Operand>(
  name: string,
  forms: readonly string[],
  read: (h: Handler) => Operand,
  write: (h: Handler, operand: Operand) => void,
  memory: "uses x87" | "ignores x87" = "uses x87",
): Definition =>
  sse(`mmx_${name}`, forms, (h) => {
    const usesX87 = h.form !== "rm" || memory === "uses x87";
    if (usesX87) requireAvailable(h);
    const operand = read(h);
    if (usesX87) take(h);
    write(h, operand);
  });

const both = (h: Handler, n: number): Value => h.let(simd.splat64(h.read(n, 64)));

/** Writes the lower half of a vector to operand 0. */
function writeLow(h: Handler, result: Value): void {
  writeRegister(h, s.extract64(result, 0));
}

function writeRegister(h: Handler, value: Value): void {
  h.write(0, value, 64);
  h.writeUpper(0, v.i64(ONES));
}

/** dst = operate(dst, src). */
const packed = (name: string, operate: (a: Value, b: Value, h: Handler) => Value): Definition =>
  mmx(name, LOAD, (h) => {
    const b = both(h, 1);
    writeLow(h, operate(both(h, 0), b, h));
  });

/** As `packed`, of one vector: the destination in its lower half, the source in the upper. */
const ofPair = (name: string, operate: (pair: Value) => Value): Definition =>
  mmx(name, LOAD, (h) => {
    const b = h.read(1, 64);
    const pair = h.let(s.replace64(simd.splat64(h.read(0, 64)), 1, b));
    writeLow(h, operate(pair));
  });

/** What packs two vectors packs a pair of halves, taken twice. */
const PACKING = new Set(["packsswb", "packuswb", "packssdw"]);

const laneOperations = LANE_OPERATIONS.map(([name, operate]) =>
  PACKING.has(name)
    ? ofPair(name, (pair) => operate(pair, pair))
    : packed(name, (a, b) => operate(a, b))
);

/** Lanes of both, alternating: the lower half of the result, or the upper. */
const unpack = (name: string, bytes: number, upper: boolean): Definition =>
  mmx(name, LOAD, (h) => {
    // Of the lower half of a register, no more than 32 bits of memory are read.
    const b = h.form === "rm" && !upper ? h.let(simd.splat32(h.read(1, 32))) : both(h, 1);
    const all = s.shuffle(both(h, 0), b, interleave(bytes, false));
    writeRegister(h, s.extract64(all, upper ? 1 : 0));
  });

const shifts = LANE_SHIFTS.map((shift) =>
  mmx(shift.name, ["rr", "rm", "ri"], (h) => {
    const count = h.form === "ri"
      ? h.let(v.extendU(h.opField(I32, 8, OP.immediate)))
      : h.read(1, 64);
    writeLow(h, shifted(h, shift, both(h, 0), count));
  })
);

const move = (name: string, size: 32 | 64, forms: readonly string[]): Definition =>
  mmx(name, forms, (h) => {
    const value = h.read(1, size);
    if (name.startsWith("movd_to") || h.inMemory(0)) h.write(0, value, size);
    else writeRegister(h, v.extendU(value));
  });

/** Byte at which the word begins that the immediate names. */
const wordPlace = (h: Handler): Value =>
  v.shl(v.and(h.opField(I32, 8, OP.immediate), v.i32(3)), v.i32(1));

const conversions = ([false, true] as const).flatMap((truncates) => [
  mixed(truncates ? "cvttps2pi" : "cvtps2pi", LOAD, (h) => both(h, 1), (h, b) => {
    writeLow(h, integersOf(h, 32, b, truncates));
  }),
  mixed(truncates ? "cvttpd2pi" : "cvtpd2pi", LOAD, (h) => h.readVector(1, true), (h, b) => {
    writeLow(h, integersOf(h, 64, b, truncates));
  }),
]).concat(
  mixed("cvtpi2ps", LOAD, (h) => both(h, 1), (h, b) => {
    h.writeLane(0, s.extract64(floatsOf(h, b), 0), 64);
  }, "ignores x87"),
  mixed("cvtpi2pd", LOAD, (h) => both(h, 1), (h, b) => {
    h.writeVector(0, simd.convertLowS32ToF64(b), true);
  }, "ignores x87"),
);

/** See above. */
export const MMX: readonly Definition[] = [
  ...laneOperations,
  ...shifts,
  unpack("punpcklbw", 1, false),
  unpack("punpcklwd", 2, false),
  unpack("punpckldq", 4, false),
  unpack("punpckhbw", 1, true),
  unpack("punpckhwd", 2, true),
  unpack("punpckhdq", 4, true),
  packed("psadbw", (a, b, h) => absoluteDifferences(h, a, b)),
  ...SSSE3_LANES.map(([name, operate]) => packed(name, operate)),
  ...HORIZONTAL.map(([name, bytes, join]) =>
    ofPair(name, (pair) => joined(bytes, join, pair, pair))
  ),
  packed("pshufb", (a, b) => simd.swizzle(a, simd.and(b, simd.splat8(v.i32(0x87))))),
  mmx("pshufw", ["rri", "rmi"], (h) => writeLow(h, simd.swizzle(both(h, 1), fieldsOf(h, 2)))),
  mmx("palignr", ["rri", "rmi"], (h) => {
    const low = both(h, 1);
    const pair = s.replace64(low, 1, h.read(0, 64));
    writeLow(h, simd.swizzle(pair, indicesFromImmediate(h)));
  }),
  mmx("pinsrw", ["rri", "rmi"], (h) => {
    h.writePart(0, wordPlace(h), h.read(1, h.form === "rri" ? 32 : 16), 16);
    h.writeUpper(0, v.i64(ONES));
  }),
  mmx("pextrw", ["rri"], (h) => h.write(0, h.readPart(1, wordPlace(h), 16), 32)),
  mmx("pmovmskb", ["rr"], (h) => {
    h.write(0, v.and(simd.bitmask8(both(h, 1)), v.i32(0xff)), 32);
  }),
  move("movd_from32", 32, LOAD),
  move("movd_from64", 64, LOAD),
  move("movd_to32", 32, ["rr", "mr"]),
  move("movd_to64", 64, ["rr", "mr"]),
  move("movq", 64, ["rr", "rm", "mr"]),
  mmx("maskmovq", ["rr"], (h) => h.service(serviceCall("maskmovq", 64, false))),
  mixed("movq2dq", ["rr"], (h) => h.read(1, 64), (h, b) => {
    h.write(0, b, 64);
    h.writeUpper(0, v.i64(0));
  }),
  mixed("movdq2q", ["rr"], (h) => h.read(1, 64), writeRegister),
  ...conversions,
  {
    name: "mmx_emms",
    forms: [""],
    sizes: [32],
    body: (h) => {
      requireAvailable(h);
      take(h);
      h.setField(8, TAGS87_AT, v.i32(0));
    },
  },
];
