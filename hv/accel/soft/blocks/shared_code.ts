/**
 * Decoded code and several processors: each has its own blocks (blocks.ts), and all may write what the
 * blocks of others were made of.
 *
 * A page of which anybody has blocks is in no write table of anybody's soft TLB, so that every write to
 * it comes by in physical_bytes.ts, and its writer tells the owners before it goes on. They drop their blocks
 * at their next branch: before that, code that was changed by another processor may not be executed
 * without a serialising instruction (SDM volume 3, 8.1.3), and those end a block. When a page gets its
 * first block, the others' write tables are looked through, and only where one has the page do the
 * processors stand while it is taken out.
 */

import { Lock } from "../../../core/state/lock.ts";
import type { PhysicalMap } from "../memory/physical_map.ts";
import {
  AT,
  CODE_WRITES,
  Pending,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_SET_BYTES,
  TLB_TABLE_BYTES,
} from "../state/state.ts";
import type { World } from "../world.ts";

const PAGE = 4096;
const FOUR_GIB = 0x1_0000_0000;
const TLB_SETS = 3;
const ENTRY_WORDS = 4;
const LENGTH_SHIFT = 12;

/** Writes to code that a processor has yet to hear of, in its memory 0; any thread may post. */
export class CodeWrites {
  readonly #words: Int32Array;
  readonly #lock: Lock;

  /** @param words Memory 0 of the processor that is told. */
  constructor(words: Int32Array) {
    this.#words = words;
    this.#lock = new Lock(words.subarray(AT.codeLock >> 2, (AT.codeLock >> 2) + 1));
  }

  /** `bytes` (at most a page) at `offset` of the machine's memory, within a page, were written. */
  post(offset: number, bytes: number): void {
    const words = this.#words;
    this.#lock.with(() => {
      const count = words[AT.codeCount >> 2];
      const page = Math.floor(offset / PAGE);
      const where = offset % PAGE | bytes << LENGTH_SHIFT;
      const last = (AT.codeWrites >> 2) + (Math.min(count, CODE_WRITES) - 1) * 2;
      const isKnown = count > 0 && words[last] === page && words[last + 1] === where;
      if (isKnown || count > CODE_WRITES) return;
      words[AT.codeCount >> 2] = count + 1;
      if (count === CODE_WRITES) return;
      words[last + 2] = page;
      words[last + 3] = where;
    });
    Atomics.or(words, AT.pending >> 2, Pending.code);
    Atomics.notify(words, AT.pending >> 2);
  }

  /** Calls `each` with what has been posted; false: with nothing, as it was more than was kept. */
  take(each: (offset: number, bytes: number) => void): boolean {
    const words = this.#words;
    return this.#lock.with(() => {
      const count = words[AT.codeCount >> 2];
      words[AT.codeCount >> 2] = 0;
      if (count > CODE_WRITES) return false;
      for (let i = 0; i < count; i++) {
        const at = (AT.codeWrites >> 2) + i * 2;
        const where = words[at + 1];
        each(words[at] * PAGE + (where & (PAGE - 1)), where >>> LENGTH_SHIFT);
      }
      return true;
    });
  }
}

/** See above; one processor's part. */
export class SharedCode {
  readonly #index: number;
  readonly #peers: readonly Int32Array[];
  readonly #writes: readonly CodeWrites[];
  readonly #map: PhysicalMap;
  readonly #world: World;

  /** @param peers Memory 0 of every processor. */
  constructor(index: number, peers: readonly Int32Array[], map: PhysicalMap, world: World) {
    this.#index = index;
    this.#peers = peers;
    this.#writes = peers.map((words) => new CodeWrites(words));
    this.#map = map;
    this.#world = world;
  }

  /** Before the first block is made of `page`: nobody may write to it unseen any more. */
  claim(page: number): void {
    const others = this.#peers.filter((_, index) => index !== this.#index);
    if (!others.some((words) => forEachWriter(words, page, () => {}))) return;
    this.#world.stop(() => {
      for (const words of others) {
        forEachWriter(words, page, (entry) => {
          words[entry] = words[entry + 1] = -1;
        });
      }
    });
  }

  /** This processor has written `bytes` at `offset` of the machine's memory, within a page. */
  tell(offset: number, bytes: number): void {
    const page = Math.floor(offset / PAGE);
    for (let other = 0; other < this.#peers.length; other++) {
      if (other !== this.#index && this.#map.ownsCode(page, other)) {
        this.#writes[other].post(offset, bytes);
      }
    }
  }

  /** What others have written to code of this processor; see `CodeWrites.take`. */
  take(each: (offset: number, bytes: number) => void): boolean {
    return this.#writes[this.#index].take(each);
  }
}

/** Calls `each` for the entries of the write tables in `words` that lead to `page`; is there one? */
function forEachWriter(words: Int32Array, page: number, each: (entry: number) => void): boolean {
  let found = false;
  for (let set = 0; set < TLB_SETS; set++) {
    const first = TLB_BASE + set * TLB_SET_BYTES + TLB_TABLE_BYTES >> 2;
    for (let entry = first; entry < first + TLB_ENTRIES * ENTRY_WORDS; entry += ENTRY_WORDS) {
      const low = words[entry];
      const high = words[entry + 1];
      if (low === -1 && high === -1) continue;
      const place = (low >>> 0) + (words[entry + 2] >>> 0);
      const upper = high + words[entry + 3] + (place >= FOUR_GIB ? 1 : 0) | 0;
      if (upper * (FOUR_GIB / PAGE) + Math.floor(place % FOUR_GIB / PAGE) !== page) continue;
      found = true;
      each(entry);
    }
  }
  return found;
}
