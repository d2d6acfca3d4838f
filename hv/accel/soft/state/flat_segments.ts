/** Flat segments: what nearly every 32-bit system runs with, and what code is decoded for then. */

import { ACCESS_DB } from "../../cpu_state.ts";
import { Seg, SEGMENT, segmentAt } from "./state.ts";
import type { SegmentCache } from "./state.ts";

/** Bounds of a segment that is all of 4 GiB, as 32-bit words from `readLow` on. */
const UNBOUNDED = [0, 0, -1, 0, 0, 0, -1, 0] as const;

/**
 * Does 32-bit code have flat segments, as that of nearly every system: CS, DS, ES and SS begin at 0 and
 * have no bounds, and all of ESP is used? Code is decoded for that, and asks no segment then.
 *
 * @param words Memory 0.
 */
export function isFlat(words: Int32Array, segments: readonly SegmentCache[]): boolean {
  const cs = segments[Seg.cs];
  if (cs.limit !== 0xffff_ffff || (segments[Seg.ss].access & ACCESS_DB) === 0) return false;
  const base = (n: number) => segmentAt(n) + SEGMENT.base >> 2;
  if (words[base(Seg.cs)] !== 0 || words[base(Seg.cs) + 1] !== 0) return false;
  return [Seg.ds, Seg.ss, Seg.es].every((n) => {
    const bounds = segmentAt(n) + SEGMENT.readLow >> 2;
    return words[base(n)] === 0 && words[base(n) + 1] === 0 &&
      UNBOUNDED.every((word, i) => words[bounds + i] === word);
  });
}
