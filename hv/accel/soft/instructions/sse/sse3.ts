/** SSE3 (Intel SDM volume 2: ADDSUBPD, ADDSUBPS, HADDPD, HADDPS, HSUBPD, HSUBPS, MOVDDUP, MOVSHDUP, MOVSLDUP). */

import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import type { Definition } from "../definition.ts";
import { packedArithmetic } from "./arithmetic.ts";
import { LOAD, packed, sse } from "./definition.ts";
import { lanesOf } from "./lanes.ts";

/** Sum or difference of neighbours: those of the destination, then those of the source. */
const horizontal = (name: string, operation: "add" | "sub", width: 32 | 64): Definition =>
  packed(name, (a, b, h) => {
    const bytes = width >> 3;
    const even = h.let(s.shuffle(a, b, lanesOf(bytes, (i) => i * 2)));
    const odd = h.let(s.shuffle(a, b, lanesOf(bytes, (i) => i * 2 + 1)));
    return packedArithmetic(h, operation, width, even, odd);
  });

/** Differences in the even lanes, sums in the odd ones. */
const alternating = (name: string, width: 32 | 64): Definition =>
  packed(name, (a, b, h) => packedArithmetic(h, "addsub", width, a, b));

const repeated = (name: string, first: 0 | 1): Definition =>
  packed(name, (_, b) => s.shuffle(b, b, lanesOf(4, (i) => (i & ~1) + first)));

/** See above. */
export const SSE3: readonly Definition[] = [
  horizontal("haddps", "add", 32),
  horizontal("haddpd", "add", 64),
  horizontal("hsubps", "sub", 32),
  horizontal("hsubpd", "sub", 64),
  alternating("addsubps", 32),
  alternating("addsubpd", 64),
  repeated("movsldup", 0),
  repeated("movshdup", 1),
  sse("movddup", LOAD, (h) => h.writeVector(0, simd.splat64(h.read(1, 64)), true)),
];
