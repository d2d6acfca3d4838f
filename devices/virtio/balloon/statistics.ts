/**
 * The guest's statistics as a balloon's driver gives them: pairs of a tag (2 bytes) and a value (8).
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.5.6.3 "Memory Statistics", 5.5.6.4 (tags).
 */

/** What a guest's driver says of its memory, by its own counting; what it does not say is not there. */
export interface BalloonStatistics {
  /** Memory that has been swapped in. */
  readonly swapInBytes?: number;
  /** Memory that has been swapped out. */
  readonly swapOutBytes?: number;
  /** Page faults that took a read from a disk. */
  readonly majorFaults?: number;
  /** Page faults that did not. */
  readonly minorFaults?: number;
  /** Memory that is used for nothing. */
  readonly freeBytes?: number;
  /** All memory that there is. */
  readonly totalBytes?: number;
  /** What programs could have without swapping. */
  readonly availableBytes?: number;
  /** Memory that could be taken back quickly, such as that of files. */
  readonly cachesBytes?: number;
  /** Huge pages that have been allocated. */
  readonly hugePageAllocations?: number;
  /** Huge pages that could not be. */
  readonly hugePageFailures?: number;
}

/** Tags, in their order from 0 on: what each of them counts. */
export const BALLOON_STATISTICS: readonly (keyof BalloonStatistics)[] = [
  "swapInBytes",
  "swapOutBytes",
  "majorFaults",
  "minorFaults",
  "freeBytes",
  "totalBytes",
  "availableBytes",
  "cachesBytes",
  "hugePageAllocations",
  "hugePageFailures",
];

const ENTRY_BYTES = 10;
/** What a driver may send at a time: more tags than any has. */
export const STATISTICS_BYTES = 64 * ENTRY_BYTES;

/** Puts a buffer's values where they belong; which tags those were, as bits. Others are left out. */
export function readStatistics(buffer: Uint8Array, values: BigUint64Array): number {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  let present = 0;
  for (let at = 0; at + ENTRY_BYTES <= buffer.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    if (tag >= values.length) continue;
    values[tag] = view.getBigUint64(at + 2, true);
    present |= 1 << tag;
  }
  return present;
}

/** The values whose tags are among the bits `present`. */
export function namedStatistics(values: BigUint64Array, present: number): BalloonStatistics {
  const found: { -readonly [Name in keyof BalloonStatistics]: number } = {};
  for (const [tag, name] of BALLOON_STATISTICS.entries()) {
    if ((present & (1 << tag)) !== 0) found[name] = Number(values[tag]);
  }
  return found;
}
