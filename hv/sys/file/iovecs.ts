/** A table of `struct iovec`s: pieces of memory by host address and length, as readv(2) takes them. */

import { addressOf } from "../address.ts";

/** Bytes of a `struct iovec`: a 64-bit address and a 64-bit length. */
export const IOVEC_BYTES = 16;
const WORDS = IOVEC_BYTES / 4;
const HIGH = 2 ** 32;

/** A piece of memory at a host address, in bytes. */
export interface MemoryRange {
  readonly address: number;
  readonly length: number;
}

/** See above. */
export class Iovecs {
  readonly #words: Uint32Array;
  readonly #address: number;

  /** The table in `words`, which never move: more than 64 bytes (`addressOf`). */
  constructor(words: Uint32Array) {
    this.#words = words;
    this.#address = addressOf(words);
  }

  /** Room for `count`, at least 5. */
  static ofLength(count: number): Iovecs {
    return new Iovecs(new Uint32Array(count * WORDS));
  }

  /** Notes `memory` down from entry `first` on; the host address of that entry. */
  put(first: number, memory: readonly MemoryRange[]): number {
    const words = this.#words;
    let at = first * WORDS;
    for (const { address, length } of memory) {
      // Storing takes a number modulo 2^32.
      words[at] = address;
      words[at + 1] = address / HIGH;
      words[at + 2] = length;
      words[at + 3] = 0;
      at += WORDS;
    }
    return this.addressAt(first);
  }

  /** Host address of entry `index`. */
  addressAt(index: number): number {
    return this.#address + index * IOVEC_BYTES;
  }
}
