/**
 * The jump cache: from linear addresses to blocks of decoded code, where generated code looks first
 * (interpreter.ts). An entry holds for one code size and privilege, and as long as the translation by
 * which it was found.
 */

import { HEADER, NO_PAGE } from "./header.ts";
import { LocalEntries } from "../memory/local_entries.ts";
import {
  JUMP_CACHE_BASE,
  JUMP_CACHE_BYTES,
  JUMP_CACHE_ENTRIES,
  JUMP_GLOBALS,
} from "../state/state.ts";

const ENTRY_WORDS = 4;
const PAGE_MASK = ~0xfff;
const PAGE_BYTES = 4096n;
const FIRST = JUMP_CACHE_BASE >> 2;
/** Places in an entry. */
const LOW = 0;
const HIGH = 1;
const MODE = 2;
const BLOCK = 3;

/** See above. */
export class JumpCache {
  readonly #words: Int32Array;
  /** A byte for each entry: was it found by a global page? */
  readonly #globals: Uint8Array;
  readonly #local = new LocalEntries();

  /** @param words Memory 0. */
  constructor(words: Int32Array) {
    this.#words = words;
    this.#globals = new Uint8Array(words.buffer, JUMP_GLOBALS, JUMP_CACHE_ENTRIES);
  }

  /** `block` is the code at a linear address for `modeKey`. */
  remember(high: number, low: number, modeKey: number, block: number, isGlobal: boolean): void {
    const words = this.#words;
    const index = (low ^ (low >>> 11 | high << 21)) & (JUMP_CACHE_ENTRIES - 1);
    const at = FIRST + index * ENTRY_WORDS;
    words[at + LOW] = low;
    words[at + HIGH] = high;
    words[at + MODE] = modeKey;
    words[at + BLOCK] = block;
    this.#globals[index] = isGlobal ? 1 : 0;
    if (!isGlobal) this.#local.add(index);
  }

  /** Forgets all. */
  flush(): void {
    // No mode key is -1: zeros would be what leads from address 0 in 16-bit code.
    this.#local.clear();
    this.#words.fill(-1, FIRST, FIRST + (JUMP_CACHE_BYTES >> 2));
  }

  /** Forgets what was not found by a global page. */
  flushContext(): void {
    const [words, globals] = [this.#words, this.#globals];
    this.#local.take(JUMP_CACHE_ENTRIES, (i) => {
      if (globals[i] === 0) words[FIRST + i * ENTRY_WORDS + MODE] = -1;
    });
  }

  /** Forgets what lies in the page of a linear address, and what leads there from the one before. */
  forgetPage(linear: bigint): void {
    const words = this.#words;
    const before = linear - PAGE_BYTES;
    const low = Number(linear & 0xffff_f000n) | 0;
    const lowBefore = Number(before & 0xffff_f000n) | 0;
    const high = Number(linear >> 32n & 0xffff_ffffn) | 0;
    const highBefore = Number(before >> 32n & 0xffff_ffffn) | 0;
    const end = FIRST + (JUMP_CACHE_BYTES >> 2);
    for (let at = FIRST; at < end; at += ENTRY_WORDS) {
      const page = words[at + LOW] & PAGE_MASK;
      if (page === low && words[at + HIGH] === high) words[at + MODE] = -1;
      else if (page === lowBefore && words[at + HIGH] === highBefore) {
        // Only what lies in two pages depends on this one, too.
        if (words[words[at + BLOCK] + HEADER.linkPage >> 2] === NO_PAGE) words[at + MODE] = -1;
      }
    }
  }
}
