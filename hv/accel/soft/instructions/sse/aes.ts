/**
 * AES-NI (Intel SDM volume 2: AESDEC, AESDECLAST, AESENC, AESENCLAST, AESIMC, AESKEYGENASSIST; FIPS 197).
 * Byte i of a vector is row i mod 4, column i / 4 of the state.
 */

import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, V128, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { packed, sse } from "./definition.ts";
import { range } from "./lanes.ts";

/** x⁸ + x⁴ + x³ + x + 1 without its highest term (FIPS 197, 4.2). */
const POLYNOMIAL = 0x1b;

const double = (x: number): number => (x << 1 ^ (x >> 7) * (0x100 | POLYNOMIAL)) & 0xff;

/** The S-box: inverses, then an affine map (FIPS 197, 5.1.1). */
function substitutions(): number[] {
  const box = Array<number>(256).fill(0);
  // The powers of 3 are all elements; the inverse of 3^i is 3^(255 - i).
  const powers = [1];
  for (let i = 1; i < 255; i++) powers.push(double(powers[i - 1]) ^ powers[i - 1]);
  for (let x = 0; x < 256; x++) {
    const inverse = x === 0 ? 0 : powers[(255 - powers.indexOf(x)) % 255];
    let mapped = 0x63;
    for (let i = 0; i < 5; i++) mapped ^= inverse << i | inverse >> 8 - i;
    box[x] = mapped & 0xff;
  }
  return box;
}

const BOX = substitutions();
const INVERSE_BOX = range(0, 256).map((x) => BOX.indexOf(x));

/** Every byte replaced by that of a table: sixteen pieces, of which one knows the byte. */
function substituted(h: Handler, state: Value, box: readonly number[]): Value {
  const index = h.code.local(V128);
  h.code.set(index, state);
  const result = h.code.local(V128);
  for (let from = 0; from < 256; from += 16) {
    const piece = s.vectorConstant(box.slice(from, from + 16));
    h.code.set(result, simd.or(result, simd.swizzle(piece, index)));
    h.code.set(index, simd.sub8(index, simd.splat8(v.i32(16))));
  }
  return result;
}

/** Row r rotated left (or right) by r columns. */
const shiftedRows = (state: Value, direction: 1 | -1): Value =>
  s.shuffle(
    state,
    state,
    range(0, 16).map((i) => {
      const row = i & 3;
      return row | (i + direction * row * 4) & 12;
    }),
  );

/** Every column rotated up by `by` rows. */
const rotated = (state: Value, by: number): Value =>
  s.shuffle(state, state, range(0, 16).map((i) => i & ~3 | i + by & 3));

/** Every byte times x. */
const doubled = (state: Value): Value =>
  simd.xor(
    simd.add8(state, state),
    simd.and(simd.shrS8(state, v.i32(7)), simd.splat8(v.i32(POLYNOMIAL))),
  );

/** Columns times {03}x³ + {01}x² + {01}x + {02} (FIPS 197, 5.1.3). */
function mixedColumns(h: Handler, state: Value): Value {
  const next = h.let(rotated(state, 1));
  const sum = h.let(simd.xor(state, next));
  return simd.xor(
    simd.xor(doubled(sum), next),
    simd.xor(rotated(state, 2), rotated(state, 3)),
  );
}

/** The reverse: the same after a multiplication by {04}x² + {05}. */
function unmixedColumns(h: Handler, state: Value): Value {
  const pairs = h.let(simd.xor(state, rotated(state, 2)));
  const four = h.let(doubled(h.let(doubled(pairs))));
  return mixedColumns(h, h.let(simd.xor(state, four)));
}

/** A round: the destination is the state, the source the round key. */
const round = (name: string, encrypts: boolean, mixes: boolean): Definition =>
  packed(name, (state, key, h) => {
    const rows = shiftedRows(state, encrypts ? 1 : -1);
    const bytes = substituted(h, rows, encrypts ? BOX : INVERSE_BOX);
    const mix = encrypts ? mixedColumns : unmixedColumns;
    return simd.xor(mixes ? mix(h, bytes) : bytes, key);
  });

/** Words 1 and 3 of the source, substituted; as they are, and rotated and with the round's constant. */
const keyAssistance = sse("aeskeygenassist", ["rri", "rmi"], (h) => {
  const bytes = substituted(h, h.readVector(1, true), BOX);
  const words = s.shuffle(bytes, bytes, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
  const constant = v.shl(v.extendU(h.opField(I32, 8, OP.immediate)), v.i64(32));
  h.writeVector(0, simd.xor(words, simd.splat64(constant)), true);
});

/** See above. */
export const AES: readonly Definition[] = [
  round("aesenc", true, true),
  round("aesenclast", true, false),
  round("aesdec", false, true),
  round("aesdeclast", false, false),
  packed("aesimc", (_, key, h) => unmixedColumns(h, key)),
  keyAssistance,
];
