/** A disk image in memory, for tests. */

import assert from "node:assert/strict";
import type { DiskImage } from "../../devices/disk/disk_image.ts";

/** A medium in memory. */
export class MemoryImage implements DiskImage {
  readonly #bytes: Uint8Array;
  readonly readOnly: boolean;
  /** Transfers so far. */
  reads = 0;
  writes = 0;
  constructor(sizeBytes: number, readOnly: boolean, bytes: Uint8Array = new Uint8Array(sizeBytes)) {
    this.#bytes = bytes;
    this.readOnly = readOnly;
  }
  get sizeBytes(): number {
    return this.#bytes.length;
  }
  read(offset: number, into: Uint8Array): void {
    assert.ok(offset >= 0 && offset + into.length <= this.sizeBytes, "read beyond the medium");
    this.reads++;
    into.set(this.#bytes.subarray(offset, offset + into.length));
  }
  write(offset: number, from: Uint8Array): void {
    assert.ok(!this.readOnly && offset >= 0 && offset + from.length <= this.sizeBytes);
    this.writes++;
    this.#bytes.set(from, offset);
  }
  flush(): void {}
  discard(_offset: number, _length: number): void {}
  writeZeroes(offset: number, length: number): void {
    const zeros = new Uint8Array(length);
    this.write(offset, zeros);
  }
  zerosAt(): number {
    return 0;
  }
  [Symbol.dispose](): void {}
}
