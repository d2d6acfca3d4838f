/**
 * SSE and SSE2 moves (Intel SDM volume 2: MASKMOVDQU, MOVAPS, MOVD, MOVDQA, MOVDQU, MOVHLPS, MOVHPS,
 * MOVLHPS, MOVLPS, MOVMSKPS, MOVNTDQ, MOVQ, MOVSD, MOVSS, MOVUPS, PMOVMSKB), and the single lanes of
 * SSE4.1 (EXTRACTPS, PEXTRB, PINSRB...).
 */

import type { Handler, Size } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import * as s from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { serviceCall } from "../service_names.ts";
import { LOAD, sse } from "./definition.ts";

const BOTH = ["rr", "rm", "mr"];

const immediateByte = (h: Handler): Value => h.opField(I32, 8, OP.immediate);

const wholeMove = (name: string, aligned: boolean): Definition =>
  sse(name, BOTH, (h) => h.writeVector(0, h.readVector(1, aligned), aligned));

/** MOVSS and MOVSD: from memory the rest becomes 0, between registers it stays. */
const scalarMove = (name: string, size: 32 | 64): Definition =>
  sse(name, BOTH, (h) => {
    const value = h.read(1, size);
    if (h.form === "rm") {
      h.write(0, size === 32 ? v.extendU(value) : value, 64);
      h.writeUpper(0, v.i64(0));
    } else if (h.form === "mr") h.write(0, value, size);
    else h.writeLane(0, value, size);
  });

/** Byte of a vector at which the lane begins that the immediate names. */
function lanePlace(h: Handler, size: Size): Value {
  const bytes = size >> 3;
  return h.let(v.shl(v.and(immediateByte(h), v.i32(16 / bytes - 1)), v.i32(Math.log2(bytes))));
}

/** A lane to memory, or zero-extended to a register. */
const extraction = (name: string, size: Size): Definition =>
  sse(name, ["rri", "mri"], (h) => {
    const value = h.readPart(1, lanePlace(h, size), size);
    h.write(0, value, h.inMemory(0) ? size : size === 64 ? 64 : 32);
  });

const insertion = (name: string, size: Size): Definition =>
  sse(name, ["rri", "rmi"], (h) => {
    const value = h.read(1, h.inMemory(1) || size === 64 ? size : 32);
    h.writePart(0, lanePlace(h, size), value, size);
  });

const movemask = (name: string, mask: (a: Value) => Value): Definition =>
  sse(name, ["rr"], (h) => h.write(0, h.let(mask(h.readVector(1, false))), 32));

/** See above. */
export const SSE_MOVES: readonly Definition[] = [
  wholeMove("movaps", true),
  wholeMove("movups", false),
  scalarMove("movss", 32),
  scalarMove("movsd_x", 64),
  // The second operand's low half; the upper becomes 0.
  sse("movq_x", ["rr", "rm"], (h) => {
    h.write(0, h.read(1, 64), 64);
    h.writeUpper(0, v.i64(0));
  }),
  sse("movq_store", ["rr", "mr"], (h) => {
    const value = h.read(1, 64);
    h.write(0, value, 64);
    if (!h.inMemory(0)) h.writeUpper(0, v.i64(0));
  }),
  sse("movd_from32", LOAD, (h) => {
    h.write(0, v.extendU(h.read(1, 32)), 64);
    h.writeUpper(0, v.i64(0));
  }),
  sse("movd_from64", LOAD, (h) => {
    h.write(0, h.read(1, 64), 64);
    h.writeUpper(0, v.i64(0));
  }),
  sse("movd_to32", ["rr", "mr"], (h) => h.write(0, h.read(1, 32), 32)),
  sse("movd_to64", ["rr", "mr"], (h) => h.write(0, h.read(1, 64), 64)),
  // The low half of the destination; MOVHLPS takes the source's upper half.
  sse("movlps", ["rm", "mr"], (h) => h.write(0, h.read(1, 64), 64)),
  sse("movhlps", ["rr"], (h) => h.write(0, h.readUpper(1), 64)),
  sse("movhps", ["rm"], (h) => h.writeUpper(0, h.read(1, 64))),
  sse("movhps_store", ["mr"], (h) => h.write(0, h.readUpper(1), 64)),
  sse("movlhps", ["rr"], (h) => h.writeUpper(0, h.read(1, 64))),
  sse("maskmovdqu", ["rr"], (h) => h.service(serviceCall("maskmovdqu", 64, false))),
  movemask("movmskps", s.simd.bitmask32),
  movemask("movmskpd", s.simd.bitmask64),
  movemask("pmovmskb", s.simd.bitmask8),
  ...([["pextrb", 8], ["pextrw", 16], ["pextrd32", 32], ["extractps", 32], [
    "pextrd64",
    64,
  ]] as const)
    .map(([name, size]) => extraction(name, size)),
  ...([["pinsrb", 8], ["pinsrw", 16], ["pinsrd32", 32], ["pinsrd64", 64]] as const)
    .map(([name, size]) => insertion(name, size)),
];
