/** Flat segments: what nearly every 32-bit system runs with, and what code is decoded for then. */

import { ACCESS_DB } from "../../cpu_state.ts";
import { Seg, SEGMENT, segmentAt } from "./state.ts";
import type { SegmentCache } from "./state.ts";

/** Bounds of a segment that is all of 4 GiB, as 32-bit words from `readLow` on. */
const UNBOUNDED = [0, 0, -1, 0, 0, 0, -1, 0];

/** What words of memory 0 are then: the base of CS, base and bounds of the others. */
const FLAT_WORDS: readonly (readonly [index: number, word: number])[] = [
  ...[Seg.cs, Seg.ds, Seg.ss, Seg.es].flatMap((n) => wordsAt(segmentAt(n) + SEGMENT.base, [0, 0])),
  ...[Seg.ds, Seg.ss, Seg.es].flatMap((n) => wordsAt(segmentAt(n) + SEGMENT.readLow, UNBOUNDED)),
];

function wordsAt(offset: number, words: number[]): [index: number, word: number][] {
  return words.map((word, i) => [(offset >> 2) + i, word]);
}

/**
 * Does 32-bit code have flat segments: CS, DS, ES and SS begin at 0 and have no bounds, and all of ESP is
 * used? Code is decoded for that, and asks no segment then.
 *
 * @param words Memory 0.
 */
export function isFlat(words: Int32Array, segments: readonly SegmentCache[]): boolean {
  return segments[Seg.cs].limit === 0xffff_ffff &&
    (segments[Seg.ss].access & ACCESS_DB) !== 0 &&
    FLAT_WORDS.every(([index, word]) => words[index] === word);
}
