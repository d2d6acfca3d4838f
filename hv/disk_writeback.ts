/**
 * What a format keeps in memory until the guest flushes is written without that after a few seconds, as
 * a drive does with its cache: systems that never flush (DOS) would else lose everything since the
 * start when hv is killed.
 */

import type { DiskImage } from "../devices/disk/disk_image.ts";

/** What is unwritten for longer is written, ms. */
const PERIOD_MS = 5000;

/** See above. */
export class DiskWriteback {
  readonly #flush: (image: DiskImage, path: string) => void;
  readonly #nowMs: () => number;
  readonly #images = new Map<DiskImage, { readonly path: string; sinceMs: number | undefined }>();

  /** @param flush Brings an image onto the medium, and tells who has to know when it cannot. */
  constructor(flush: (image: DiskImage, path: string) => void, nowMs: () => number) {
    this.#flush = flush;
    this.#nowMs = nowMs;
  }

  /** Takes care of an image from now on. */
  add(image: DiskImage, path: string): void {
    this.#images.set(image, { path, sinceMs: undefined });
  }

  /** No more; it is written a last time. */
  remove(image: DiskImage): void {
    const disk = this.#images.get(image);
    if (disk === undefined) return;
    this.#images.delete(image);
    this.#flush(image, disk.path);
  }

  /** Writes what is due; when that is to be done again at the latest, in ms from now. */
  serve(): number {
    let nextMs = Infinity;
    for (const [image, disk] of this.#images) {
      if (image.hasUnwritten !== true) {
        disk.sinceMs = undefined;
        continue;
      }
      const now = this.#nowMs();
      disk.sinceMs ??= now;
      if (now - disk.sinceMs >= PERIOD_MS) {
        this.#flush(image, disk.path);
        // Also when it failed: not again at once.
        disk.sinceMs = undefined;
        nextMs = Math.min(nextMs, PERIOD_MS);
      } else {
        nextMs = Math.min(nextMs, disk.sinceMs + PERIOD_MS - now);
      }
    }
    return nextMs;
  }

  /** Writes everything now: the machine rests, and its images should be good to look at. */
  writeAll(): void {
    for (const [image, { path }] of this.#images) {
      if (image.hasUnwritten === true) this.#flush(image, path);
    }
  }

  /** The end of all. */
  close(): void {
    for (const image of [...this.#images.keys()]) this.remove(image);
  }
}
