/**
 * Between a disk device that has many requests under way at a time and whoever carries them out on the
 * I/O worker: straight between the medium and guest memory, in any order, now or later.
 */

import type { BlockResult } from "./block.ts";

/** Guest RAM that has been checked. */
export interface GuestRange {
  /** Guest-physical. */
  readonly address: number;
  /** Bytes, all of them RAM. */
  readonly length: number;
}

/** What is asked of the medium. */
export type BlockRequest =
  | {
    readonly op: "read" | "write";
    /** Byte offset on the medium; what is out of range ends with that result. */
    readonly offset: number;
    /** Where the data go or come from, one range after the other. */
    readonly ranges: readonly GuestRange[];
    /** Bytes of all ranges. */
    readonly length: number;
  }
  | {
    /** Whoever has the medium may forget what is there, or makes it zeros. */
    readonly op: "discard" | "writeZeroes";
    readonly offset: number;
    /** Bytes. */
    readonly length: number;
    /** Zeros: the host may take back the room that they had. */
    readonly unmap: boolean;
  }
  | { readonly op: "flush" };

/** See above; for the I/O worker's thread. */
export interface BlockEngine {
  /**
   * Begins a request and calls `done` when it has ended: perhaps before `start` returns, else from the
   * I/O worker's loop. Never throws.
   */
  start(request: BlockRequest, done: (result: BlockResult) => void): void;
}

/** The `length` bytes from `offset` of what `ranges` hold, or as many as there are. */
export function slices(
  ranges: readonly GuestRange[],
  offset: number,
  length: number,
): GuestRange[] {
  const found: GuestRange[] = [];
  let skip = offset;
  let left = length;
  for (const range of ranges) {
    if (left <= 0) break;
    if (skip >= range.length) {
      skip -= range.length;
      continue;
    }
    const taken = Math.min(range.length - skip, left);
    const isWhole = taken === range.length;
    found.push(isWhole ? range : { address: range.address + skip, length: taken });
    left -= taken;
    skip = 0;
  }
  return found;
}
