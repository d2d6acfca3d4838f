/**
 * Overlay: an image that may be written although its base stays as it is. What is written goes to a
 * scratch file, at the same offsets, in clusters; what has never been written is read from the base.
 * It lasts as long as the machine, so flushing has nothing to make durable.
 */

import type { DiskImage, HostRange } from "../disk_image.ts";
import { PagedBits } from "../paged_bits.ts";
import { type ImageFile, readPadded } from "../image_file.ts";

/** What is copied at once when a part of it is written: a file system's usual extent. */
export const CLUSTER_BYTES = 65536;

/** See above. */
export class OverlayImage implements DiskImage {
  readonly sizeBytes: number;
  readonly readOnly = false;
  readonly #base: DiskImage;
  readonly #scratch: ImageFile;
  /** Which clusters are in the scratch file. */
  readonly #own = new PagedBits();
  readonly #cluster = new Uint8Array(CLUSTER_BYTES);

  /** Takes both over. @param scratch An empty file. */
  constructor(base: DiskImage, scratch: ImageFile) {
    this.#base = base;
    this.#scratch = scratch;
    this.sizeBytes = base.sizeBytes;
  }

  /** Clusters in the scratch file. */
  get allocatedClusters(): number {
    return this.#own.count;
  }

  read(offset: number, into: Uint8Array): void {
    const end = offset + into.length;
    for (let at = offset; at < end;) {
      const allocated = this.#own.has(Math.floor(at / CLUSTER_BYTES));
      let next = at;
      // As many clusters at once as come from the same file.
      do {
        next = Math.min(end, (Math.floor(next / CLUSTER_BYTES) + 1) * CLUSTER_BYTES);
      } while (next < end && this.#own.has(next / CLUSTER_BYTES) === allocated);
      const part = into.subarray(at - offset, next - offset);
      if (allocated) readPadded(this.#scratch, part, at);
      else this.#base.read(at, part);
      at = next;
    }
  }

  write(offset: number, from: Uint8Array): void {
    const end = offset + from.length;
    for (let at = offset; at < end;) {
      const cluster = Math.floor(at / CLUSTER_BYTES);
      const start = cluster * CLUSTER_BYTES;
      const length = Math.min(CLUSTER_BYTES, this.sizeBytes - start);
      const next = Math.min(end, start + length);
      const part = from.subarray(at - offset, next - offset);
      if (this.#own.has(cluster) || part.length === length) {
        this.#scratch.write(part, at);
      } else {
        const whole = this.#cluster.subarray(0, length);
        this.#base.read(start, whole);
        whole.set(part, at - start);
        this.#scratch.write(whole, start);
      }
      // Only now: had the scratch file no room, the base would still be what is read.
      this.#own.set(cluster);
      at = next;
    }
  }

  flush(): void {}

  /** Whole clusters are zeros from then on, whatever the base has, and take no room. */
  discard(offset: number, length: number): void {
    const first = Math.ceil(offset / CLUSTER_BYTES);
    const end = offset + length;
    const last = end === this.sizeBytes
      ? Math.ceil(end / CLUSTER_BYTES)
      : Math.floor(end / CLUSTER_BYTES);
    if (first >= last) return;
    if (!this.#scratch.punchHole(first * CLUSTER_BYTES, (last - first) * CLUSTER_BYTES)) return;
    for (let cluster = first; cluster < last; cluster++) this.#own.set(cluster);
  }

  writeZeroes(offset: number, length: number): void {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const next = Math.min(end, (Math.floor(at / CLUSTER_BYTES) + 1) * CLUSTER_BYTES);
      const whole = at % CLUSTER_BYTES === 0 &&
        (next % CLUSTER_BYTES === 0 || next === this.sizeBytes);
      if (whole && this.#scratch.punchHole(at, next - at)) this.#own.set(at / CLUSTER_BYTES);
      else this.write(at, new Uint8Array(next - at));
      at = next;
    }
  }

  zerosAt(offset: number, length: number): number {
    const inCluster = CLUSTER_BYTES - offset % CLUSTER_BYTES;
    const allocated = this.#own.has(Math.floor(offset / CLUSTER_BYTES));
    const part = Math.min(length, inCluster);
    return allocated ? this.#scratch.holeAt(offset, part) : this.#base.zerosAt(offset, part);
  }

  extent(offset: number, length: number, write: boolean): HostRange | undefined {
    const part = Math.min(length, CLUSTER_BYTES - offset % CLUSTER_BYTES);
    if (this.#own.has(Math.floor(offset / CLUSTER_BYTES))) {
      return { fd: this.#scratch.fd, position: offset, length: part };
    }
    return write ? undefined : this.#base.extent?.(offset, part, false);
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
    this.#base[Symbol.dispose]();
  }
}
