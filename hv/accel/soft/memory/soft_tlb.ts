/**
 * The soft TLB in memory 0: which pages generated code reads and writes without asking, and what goes from
 * it when page tables, breakpoints or the privilege change. generated_access.ts fills it.
 */

import type { Breakpoints } from "../events/breakpoints.ts";
import { CR0_AM, CR4_SMAP } from "../state/control_bits.ts";
import {
  AT,
  type SoftState,
  TLB_BASE,
  TLB_BYTES,
  TLB_ENTRIES,
  TLB_GLOBALS,
  TLB_SET_BYTES,
  TLB_TABLE_BYTES,
  TlbSet,
} from "../state/state.ts";
import { wide } from "./linear_address.ts";
import { LocalEntries } from "./local_entries.ts";
import { EFLAGS_AC, type Paging, Privilege } from "./paging.ts";

const PAGE = 4096;
const FOUR_GIB = 0x1_0000_0000;
/** Address bits within the kinds of large pages. */
const LARGE_BITS = [21, 22, 30] as const;
/** Large pages that are remembered before everything is forgotten. */
const MAX_LARGE_PAGES = 4096;

const KERNEL_SET = TLB_BASE + TlbSet.kernel * TLB_SET_BYTES;
const ALIGNED_SET = TLB_BASE + TlbSet.aligned * TLB_SET_BYTES;
/** No table may be used. */
const NO_SET = 0;

/** The word at which the entry of a linear address begins in the table at `table`. */
const entryAt = (table: number, low: number): number =>
  table + ((low >>> 12) & (TLB_ENTRIES - 1)) * 16 >> 2;

/** A large page, by its number and size. */
const largeKey = (high: number, low: number, bits: number): number =>
  ((high & 0xffff) * 2 ** (32 - bits) + (low >>> bits)) * 32 + bits;

/** See above. */
export class SoftTlb {
  /** Clear where others change the page tables unseen: every access walks them then. */
  keepsTranslations = true;
  readonly #state: SoftState;
  readonly #words: Int32Array;
  readonly #paging: Paging;
  readonly #breakpoints: Breakpoints;
  /** A byte for each entry. */
  readonly #globals: Uint8Array;
  readonly #local = new LocalEntries();
  /** Large pages of which there may be translations: see `flushPage`. */
  readonly #largePages = new Set<number>();

  /** @param words Memory 0. */
  constructor(state: SoftState, words: Int32Array, paging: Paging, breakpoints: Breakpoints) {
    this.#state = state;
    this.#words = words;
    this.#paging = paging;
    this.#breakpoints = breakpoints;
    this.#globals = new Uint8Array(words.buffer, TLB_GLOBALS, TLB_BYTES / 16);
  }

  /** Forgets every translation. */
  flush(): void {
    this.#largePages.clear();
    this.#local.clear();
    const first = TLB_BASE >> 2;
    this.#words.fill(-1, first, first + (TLB_BYTES >> 2));
  }

  /** Forgets the translations that are not of global pages. */
  flushContext(): void {
    const [words, globals] = [this.#words, this.#globals];
    this.#local.take(globals.length, (i) => {
      if (globals[i] !== 0) return;
      const at = (TLB_BASE >> 2) + i * 4;
      words[at] = words[at + 1] = -1;
    });
  }

  /** Forgets the translations through which memory may be written. */
  flushWrites(): void {
    for (let set = 0; set < 3; set++) {
      const first = TLB_BASE + set * TLB_SET_BYTES + TLB_TABLE_BYTES >> 2;
      this.#words.fill(-1, first, first + (TLB_TABLE_BYTES >> 2));
    }
  }

  /**
   * Forgets the page at a linear address. Of a large page the TLB may have several 4 KiB parts, all of
   * which go (SDM volume 3, 4.10.4.1): false, and everything is forgotten.
   */
  flushPage(linear: bigint): boolean {
    if (this.#largePages.size > 0 && LARGE_BITS.some((bits) => this.#isLarge(linear, bits))) {
      this.flush();
      return false;
    }
    const entry = Number(linear >> 12n & BigInt(TLB_ENTRIES - 1)) * 16;
    for (let table = 0; table < 6; table++) {
      const at = TLB_BASE + table * TLB_TABLE_BYTES + entry >> 2;
      this.#words[at] = this.#words[at + 1] = -1;
    }
    return true;
  }

  #isLarge(linear: bigint, bits: number): boolean {
    const high = Number(linear >> 32n & 0xffff_ffffn) | 0;
    return this.#largePages.has(largeKey(high, Number(linear & 0xffff_ffffn), bits));
  }

  /** Takes the tables that go with the privilege, CR4.SMAP and EFLAGS.AC. */
  selectTables(): void {
    const words = this.#words;
    const lifted = (words[AT.cr4 >> 2] & CR4_SMAP) !== 0 &&
      (words[AT.eflags >> 2] & EFLAGS_AC) !== 0;
    const aligned = (words[AT.cr0 >> 2] & CR0_AM) !== 0 &&
      (words[AT.eflags >> 2] & EFLAGS_AC) !== 0;
    const user = aligned ? TlbSet.aligned : TlbSet.user;
    const set = this.#state.cpl === 3 ? user : lifted ? TlbSet.kernelAc : TlbSet.kernel;
    this.#state.tlb = TLB_BASE + set * TLB_SET_BYTES;
  }

  /** Must accesses of level 3 be aligned? */
  get aligns(): boolean {
    return this.#words[AT.tlb >> 2] === ALIGNED_SET;
  }

  /**
   * The tables by which services access memory: the current ones for the level that runs, and those of the
   * kernel without EFLAGS.AC, where SMAP holds, for the processor itself.
   */
  setOf(privilege: Privilege): number {
    const isUser = this.#state.cpl === 3;
    if (privilege === Privilege.user) return isUser ? this.#state.tlb : NO_SET;
    return privilege === Privilege.supervisor && !isUser ? this.#state.tlb : KERNEL_SET;
  }

  /**
   * Where the byte at a linear address lies in the machine's memory by the tables at `set`, if it and
   * `bytes` - 1 more are in one page that is known; else -1.
   */
  lookUp(high: number, low: number, bytes: number, table: number, set: number): number {
    if (set === NO_SET || (low & (PAGE - 1)) + bytes > PAGE) return -1;
    const words = this.#words;
    const at = entryAt(set + table, low);
    if (words[at] !== (low & -PAGE) || words[at + 1] !== high) return -1;
    const sum = (low >>> 0) + (words[at + 2] >>> 0);
    const carry = sum >= FOUR_GIB ? 1 : 0;
    return (high + words[at + 3] + carry >>> 0) * FOUR_GIB + (sum >>> 0);
  }

  /**
   * Takes in the page that was translated last, with the linear address of a byte of it and that byte's
   * place in the machine's memory; `table` is 0 for reading and `TLB_TABLE_BYTES` for writing, `set` whose
   * tables they are.
   */
  fill(high: number, low: number, offset: number, table: number, set = this.#state.tlb): void {
    if (!this.keepsTranslations) return;
    const words = this.#words;
    if (set === ALIGNED_SET) return;
    if (this.#breakpoints.onData && this.#breakpoints.isPageWatched(wide(high, low))) return;
    const { pageBits } = this.#paging;
    if (pageBits > 12) {
      if (this.#largePages.size >= MAX_LARGE_PAGES) this.flush();
      this.#largePages.add(largeKey(high, low, pageBits));
    }
    const at = entryAt(set + table, low);
    const page = low & -PAGE;
    const entry = at - (TLB_BASE >> 2) >> 2;
    this.#globals[entry] = this.#paging.isGlobal ? 1 : 0;
    if (!this.#paging.isGlobal) this.#local.add(entry);
    words[at] = page;
    words[at + 1] = high;
    // Place in memory = linear address + difference, in 64 bits.
    const place = offset - offset % PAGE;
    const placeLow = place % FOUR_GIB;
    const borrow = placeLow < (page >>> 0) ? 1 : 0;
    words[at + 2] = placeLow - (page >>> 0);
    words[at + 3] = Math.floor(place / FOUR_GIB) - high - borrow;
  }
}
