/**
 * What a format keeps in memory until the guest flushes is written without that after a few seconds, as
 * a drive does with its cache: systems that never flush (DOS) would else lose everything since the
 * start when hv is killed.
 */

import type { DiskImage } from "../../devices/disk/disk_image.ts";
import type { IoService } from "./io_service.ts";

/** What is unwritten for longer is written, ms. */
const PERIOD_MS = 5000;
const NS_PER_MS = 1e6;

/** An image that is taken care of. */
interface Watched {
  readonly path: string;
  readonly begin: (() => void) | undefined;
  /** When it was first found to have something unwritten. */
  sinceMs: number | undefined;
}

/** See above. */
export class DiskWriteback implements IoService {
  readonly #flush: (image: DiskImage, path: string) => void;
  readonly #nowMs: () => number;
  readonly #images = new Map<DiskImage, Watched>();

  /** @param flush Brings an image onto the medium, and tells who has to know when it cannot. */
  constructor(flush: (image: DiskImage, path: string) => void, nowMs: () => number) {
    this.#flush = flush;
    this.#nowMs = nowMs;
  }

  /**
   * Takes care of an image from now on.
   *
   * @param begin Begins to flush it, which takes its time; default: it is flushed at once.
   */
  add(image: DiskImage, path: string, begin?: () => void): void {
    this.#images.set(image, { path, begin, sinceMs: undefined });
  }

  /** No more; it is written a last time. */
  remove(image: DiskImage): void {
    const disk = this.#images.get(image);
    if (disk === undefined) return;
    this.#images.delete(image);
    this.#flush(image, disk.path);
  }

  /** Is an image taken care of? */
  has(image: DiskImage): boolean {
    return this.#images.has(image);
  }

  /** Writes what is due. */
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
        if (disk.begin === undefined) this.#flush(image, disk.path);
        else disk.begin();
        // Also when it failed: not again at once.
        disk.sinceMs = undefined;
        nextMs = Math.min(nextMs, PERIOD_MS);
      } else {
        nextMs = Math.min(nextMs, disk.sinceMs + PERIOD_MS - now);
      }
    }
    return nextMs * NS_PER_MS;
  }

  /** Writes everything now: the machine's images should be good to look at. */
  rest(): void {
    for (const [image, { path }] of this.#images) {
      if (image.hasUnwritten === true) this.#flush(image, path);
    }
  }

  /** The end of all. */
  close(): void {
    for (const image of [...this.#images.keys()]) this.remove(image);
  }
}
