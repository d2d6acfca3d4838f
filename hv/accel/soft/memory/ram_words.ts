/** Words of RAM that the processor itself reads and writes, by physical address. */

import { PAGE_BYTES, type PhysicalMap } from "./physical_map.ts";

/** See above. */
export class RamWords {
  readonly #guest: Int32Array;
  readonly #map: PhysicalMap;
  readonly #onCode: (offset: number, bytes: number) => void;

  /**
   * @param guest The machine's memory.
   * @param onCode Told of what was written where there is decoded code, by its offset in it.
   */
  constructor(
    guest: Int32Array,
    map: PhysicalMap,
    onCode: (offset: number, bytes: number) => void,
  ) {
    this.#guest = guest;
    this.#map = map;
    this.#onCode = onCode;
  }

  /** Are the `count` words of 32 bits from `physical` aligned, and RAM that may be written? */
  areRam(physical: number, count: number): boolean {
    return physical % 4 === 0 && this.#map.offsetOf(physical) >= 0 && this.#map.lastWritable &&
      this.#map.bytesFrom(physical) >= count * 4;
  }

  /** The word at `physical`, which is RAM. */
  load(physical: number): number {
    return Atomics.load(this.#guest, this.#map.offsetOf(physical) / 4);
  }

  /** Writes words one after the other from `physical`, all of which are RAM. */
  store(physical: number, words: ArrayLike<number>): void {
    const offset = this.#map.offsetOf(physical);
    for (let i = 0; i < words.length; i++) Atomics.store(this.#guest, offset / 4 + i, words[i]);
    const bytes = words.length * 4;
    for (let at = offset; at < offset + bytes;) {
      const page = Math.floor(at / PAGE_BYTES);
      const end = Math.min(offset + bytes, (page + 1) * PAGE_BYTES);
      if (this.#map.wrote(page)) this.#onCode(at, end - at);
      at = end;
    }
  }
}
