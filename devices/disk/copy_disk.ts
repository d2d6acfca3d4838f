/** Copying what is on a disk, and only that: zeros stay holes. */

import type { DiskImage } from "./disk_image.ts";

/** What is read at once. */
const PART_BYTES = 1 << 20;
/** Zeros are left out in blocks of this size: a file system's. */
const BLOCK_BYTES = 4096;

/**
 * Copies `from` to `to`, which is at least as large and reads as zeros; yields how many bytes of the
 * disk are done, so that whoever runs it may show it, or stop.
 */
export function* copyDisk(from: DiskImage, to: DiskImage): Generator<number> {
  const part = new Uint8Array(PART_BYTES);
  for (let at = 0; at < from.sizeBytes;) {
    const zeros = from.zerosAt(at, from.sizeBytes - at);
    if (zeros === 0) {
      const data = part.subarray(0, Math.min(PART_BYTES, from.sizeBytes - at));
      from.read(at, data);
      for (const [start, end] of runs(data)) to.write(at + start, data.subarray(start, end));
      at += data.length;
    } else {
      at += zeros;
    }
    yield at;
  }
}

/** The ranges of `data` that are not zeros, in whole blocks. */
function* runs(data: Uint8Array): Generator<readonly [start: number, end: number]> {
  const words = new Uint32Array(data.buffer, data.byteOffset, Math.floor(data.length / 4));
  let start = -1;
  for (let at = 0; at < data.length; at += BLOCK_BYTES) {
    const end = Math.min(data.length, at + BLOCK_BYTES) / 4;
    let word = at / 4;
    while (word < end && words[word] === 0) word++;
    if (word < end) {
      if (start < 0) start = at;
    } else if (start >= 0) {
      yield [start, at];
      start = -1;
    }
  }
  if (start >= 0) yield [start, data.length];
}
