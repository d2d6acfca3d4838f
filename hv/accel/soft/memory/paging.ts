/**
 * Linear to guest-physical addresses (Intel SDM volume 3, chapter 4): 32-bit, PAE and 4-level paging,
 * with accessed and dirty bits, write protection, NX, SMEP and SMAP.
 *
 * Linear addresses are pairs of 32-bit halves, physical ones are numbers: nothing here makes a bigint.
 */

import {
  CR0_PG,
  CR0_WP,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
} from "../state/control_bits.ts";
import { fault, Vector } from "../events/faults.ts";
import type { PhysicalMap } from "./physical_map.ts";
import { AT, type SoftState } from "../state/state.ts";

export const EFER_LMA = 1 << 10;
export const EFER_NXE = 1 << 11;
export const EFLAGS_AC = 1 << 18;

/** What an access does. */
export const AccessKind = { read: 0, write: 1, execute: 2 } as const;
/** One of `AccessKind`. */
export type AccessKind = typeof AccessKind[keyof typeof AccessKind];

/** Width of physical addresses, as CPUID says. */
export const PHYSICAL_BITS = 40;

const PRESENT = 1 << 0;
const WRITABLE = 1 << 1;
const USER = 1 << 2;
const ACCESSED = 1 << 5;
const DIRTY = 1 << 6;
const LARGE = 1 << 7;
const GLOBAL = 1 << 8;
/** In the high half: address bits above `PHYSICAL_BITS`, and NX. */
const HIGH_RESERVED = 0x000f_ffff & ~((1 << (PHYSICAL_BITS - 32)) - 1);
const NX = 0x8000_0000 | 0;
/** Low half of a page-directory pointer of PAE paging. */
const POINTER_RESERVED = 0x1e6;
const PHYSICAL_HIGH = PHYSICAL_BITS - 32;
/** What a walk gives when it must begin again. */
const AGAIN = -1;
/** A processor that keeps changing entries must not keep another from ever getting on. */
const MAX_WALKS = 100;

const ERROR_PRESENT = 1 << 0;
const ERROR_WRITE = 1 << 1;
const ERROR_USER = 1 << 2;
const ERROR_RESERVED = 1 << 3;
const ERROR_FETCH = 1 << 4;

/** Who makes an access. */
export const Privilege = {
  user: 0,
  /** Code of privilege 0 to 2; SMAP asks for EFLAGS.AC. */
  supervisor: 1,
  /** The processor itself, for its tables: SMAP always holds. */
  implicit: 2,
} as const;
/** One of `Privilege`. */
export type Privilege = typeof Privilege[keyof typeof Privilege];

/** See above. */
export class Paging {
  readonly #state: SoftState;
  readonly #words: Int32Array;
  readonly #map: PhysicalMap;
  readonly #guest: Int32Array;
  /** Of the last translation: bits of a linear address that lie within its page. */
  pageBits = 12;
  /** Of the last translation: loading CR3 leaves the page in place (CR4.PGE; 4.10.2.4). */
  isGlobal = false;
  /** Rights gathered on the way down. */
  #rights = 0;
  #noExecute = false;
  #patience = 0;

  /** @param words Memory 0. @param guest The machine's memory. */
  constructor(state: SoftState, words: Int32Array, map: PhysicalMap, guest: Int32Array) {
    this.#state = state;
    this.#words = words;
    this.#map = map;
    this.#guest = guest;
  }

  /**
   * The physical address of the byte at a linear address. Throws `GuestFault` for #PF, with CR2, and
   * for an address that is not canonical (#GP, or #SS if `stack`).
   */
  translate(
    high: number,
    low: number,
    access: AccessKind,
    privilege: Privilege,
    stack = false,
  ): number {
    this.pageBits = 12;
    this.isGlobal = false;
    const cr0 = this.#words[AT.cr0 >> 2];
    if ((cr0 & CR0_PG) === 0) return low >>> 0;
    const efer = this.#words[AT.efer >> 2];
    if ((efer & EFER_LMA) !== 0) this.#checkCanonical(high, stack);
    const cr4 = this.#words[AT.cr4 >> 2];
    // A walk begins again when another processor has changed an entry that was to be marked.
    for (this.#patience = MAX_WALKS;; this.#patience--) {
      this.#rights = WRITABLE | USER;
      this.#noExecute = false;
      const physical = (cr4 & CR4_PAE) !== 0
        ? this.#walkWide(high, low, access, privilege, (efer & EFER_LMA) !== 0)
        : this.#walk32(high, low, access, privilege);
      if (physical >= 0) return physical;
    }
  }

  #checkCanonical(high: number, stack: boolean): void {
    const top = high >> 15;
    if (top === 0 || top === -1) return;
    fault(this.#state, stack ? Vector.stackFault : Vector.generalProtection, 0);
  }

  /**
   * #AC(0) unless `bytes`, a power of two, are aligned: for accesses of level 3 while CR0.AM and
   * EFLAGS.AC are set. It comes before anything that the page could have against the access.
   */
  checkAlignment(high: number, low: number, bytes: number, stack: boolean): void {
    if ((low & (bytes - 1)) === 0) return;
    if ((this.#words[AT.efer >> 2] & EFER_LMA) !== 0) this.#checkCanonical(high, stack);
    fault(this.#state, Vector.alignmentCheck, 0);
  }

  /** May PAE paging use the page-directory pointer at `physical`? (SDM volume 3, 4.4.1) */
  isPaePointerValid(physical: number): boolean {
    const low = this.#entry(physical);
    const high = this.#entry(physical + 4);
    return (low & PRESENT) === 0 || (low & POINTER_RESERVED) === 0 && high >>> PHYSICAL_HIGH === 0;
  }

  #walk32(high: number, low: number, access: AccessKind, privilege: Privilege): number {
    const cr4 = this.#words[AT.cr4 >> 2];
    const cr3 = this.#words[AT.cr3 >> 2];
    const directoryAt = ((cr3 & ~0xfff) >>> 0) + (low >>> 22) * 4;
    const directory = this.#entry(directoryAt);
    if ((directory & PRESENT) === 0) this.#pageFault(high, low, access, privilege, 0);
    this.#rights &= directory;
    if ((directory & LARGE) !== 0 && (cr4 & CR4_PSE) !== 0) {
      // PSE-36: bits 13 to 20 are address bits 32 to 39.
      if ((directory & (1 << 21)) !== 0) {
        this.#pageFault(high, low, access, privilege, ERROR_PRESENT | ERROR_RESERVED);
      }
      this.#check(high, low, access, privilege);
      if (!this.#mark(directoryAt, directory, access === AccessKind.write ? DIRTY : 0)) {
        return AGAIN;
      }
      this.pageBits = 22;
      this.isGlobal = this.#isGlobal(directory);
      const upper = directory >>> 13 & 0xff;
      return upper * 0x1_0000_0000 + ((directory & 0xffc0_0000) >>> 0) + (low & 0x3f_ffff);
    }
    const tableAt = ((directory & ~0xfff) >>> 0) + (low >>> 12 & 0x3ff) * 4;
    const entry = this.#entry(tableAt);
    if (!this.#mark(directoryAt, directory, 0)) return AGAIN;
    if ((entry & PRESENT) === 0) this.#pageFault(high, low, access, privilege, 0);
    this.#rights &= entry;
    this.#check(high, low, access, privilege);
    if (!this.#mark(tableAt, entry, access === AccessKind.write ? DIRTY : 0)) return AGAIN;
    this.isGlobal = this.#isGlobal(entry);
    return ((entry & ~0xfff) >>> 0) + (low & 0xfff);
  }

  /** PAE and 4-level paging: entries of 64 bits. */
  #walkWide(
    high: number,
    low: number,
    access: AccessKind,
    privilege: Privilege,
    long: boolean,
  ): number {
    const state = this.#words;
    const nxReserved = (state[AT.efer >> 2] & EFER_NXE) === 0 ? NX : 0;
    const cr3Low = state[AT.cr3 >> 2];
    const cr3High = state[(AT.cr3 >> 2) + 1] & 0xf_ffff;
    let table = long ? cr3High * 0x1_0000_0000 + ((cr3Low & ~0xfff) >>> 0) : (cr3Low & ~0x1f) >>> 0;
    let level = long ? 4 : 3;
    for (;;) {
      const at = table + this.#index(high, low, level) * 8;
      const entryLow = this.#entry(at);
      const entryHigh = this.#entry(at + 4);
      if ((entryLow & PRESENT) === 0) this.#pageFault(high, low, access, privilege, 0);
      const isPointer = level === 3 && !long;
      let reserved = entryHigh & (HIGH_RESERVED | nxReserved);
      if (!long) reserved |= entryHigh & 0x7ff0_0000;
      if (isPointer) reserved |= entryLow & POINTER_RESERVED | entryHigh & NX;
      const large = level > 1 && (entryLow & LARGE) !== 0 && !isPointer;
      if (large && level === 4) reserved = 1;
      const pageMask = level === 3 ? 0x3fff_ffff : 0x1f_ffff;
      if (large) reserved |= entryLow & pageMask & ~0x1fff;
      if (reserved !== 0) {
        this.#pageFault(high, low, access, privilege, ERROR_PRESENT | ERROR_RESERVED);
      }
      if (!isPointer) {
        this.#rights &= entryLow;
        if ((entryHigh & NX) !== 0) this.#noExecute = true;
      }
      const base = (entryHigh & 0xf_ffff) * 0x1_0000_0000 + ((entryLow & ~0xfff) >>> 0);
      if (large || level === 1) {
        this.#check(high, low, access, privilege);
        if (!this.#mark(at, entryLow, access === AccessKind.write ? DIRTY : 0)) return AGAIN;
        this.pageBits = 3 + 9 * level;
        this.isGlobal = this.#isGlobal(entryLow);
        if (level === 1) return base + (low & 0xfff);
        return base - (entryLow & pageMask & ~0xfff) + (low & pageMask);
      }
      if (!isPointer && !this.#mark(at, entryLow, 0)) return AGAIN;
      table = base;
      level--;
    }
  }

  #isGlobal(entry: number): boolean {
    return (entry & GLOBAL) !== 0 && (this.#words[AT.cr4 >> 2] & CR4_PGE) !== 0;
  }

  #index(high: number, low: number, level: number): number {
    switch (level) {
      case 4:
        return high >>> 7 & 0x1ff;
      case 3:
        return (high << 2 | low >>> 30) & 0x1ff;
      case 2:
        return low >>> 21 & 0x1ff;
      default:
        return low >>> 12 & 0x1ff;
    }
  }

  #check(high: number, low: number, access: AccessKind, privilege: Privilege): void {
    const words = this.#words;
    const userPage = (this.#rights & USER) !== 0;
    let allowed: boolean;
    if (privilege === Privilege.user) {
      allowed = userPage && (access !== AccessKind.write || (this.#rights & WRITABLE) !== 0);
    } else {
      const cr4 = words[AT.cr4 >> 2];
      allowed = access !== AccessKind.write || (this.#rights & WRITABLE) !== 0 ||
        (words[AT.cr0 >> 2] & CR0_WP) === 0;
      if (userPage) {
        if (access === AccessKind.execute) allowed = (cr4 & CR4_SMEP) === 0;
        else if ((cr4 & CR4_SMAP) !== 0) {
          const lifted = privilege === Privilege.supervisor &&
            (words[AT.eflags >> 2] & EFLAGS_AC) !== 0;
          allowed &&= lifted;
        }
      }
    }
    if (access === AccessKind.execute && this.#noExecute) allowed = false;
    if (!allowed) this.#pageFault(high, low, access, privilege, ERROR_PRESENT);
  }

  #pageFault(
    high: number,
    low: number,
    access: AccessKind,
    privilege: Privilege,
    code: number,
  ): never {
    const words = this.#words;
    words[AT.cr2 >> 2] = low;
    words[(AT.cr2 >> 2) + 1] = high;
    if (access === AccessKind.write) code |= ERROR_WRITE;
    if (privilege === Privilege.user) code |= ERROR_USER;
    if (access === AccessKind.execute) {
      const efer = words[AT.efer >> 2];
      const cr4 = words[AT.cr4 >> 2];
      const nx = (efer & EFER_NXE) !== 0 && (cr4 & CR4_PAE) !== 0;
      if (nx || (cr4 & CR4_SMEP) !== 0) code |= ERROR_FETCH;
    }
    fault(this.#state, Vector.pageFault, code);
  }

  /**
   * A 32-bit word of a table; all ones, which is reserved or not RAM either, where there is none. A
   * plain load, which V8 makes in place where it calls a function for one of `Atomics`: it is as whole,
   * and what it is ordered with is `#mark`.
   */
  #entry(physical: number): number {
    const offset = this.#map.offsetOf(physical);
    return offset < 0 ? -1 : this.#guest[offset / 4];
  }

  /**
   * Sets accessed and dirty bits in one atomic step, as other processors and their guests' code may
   * change the entry meanwhile (SDM volume 3, 8.1.2.1): false if it is no longer what was read, and
   * there has not been enough of that.
   */
  #mark(physical: number, entry: number, dirty: number): boolean {
    const bits = ACCESSED | dirty;
    if ((entry & bits) === bits) return true;
    const offset = this.#map.offsetOf(physical);
    if (offset < 0 || !this.#map.lastWritable) return true;
    const before = Atomics.compareExchange(this.#guest, offset / 4, entry, entry | bits);
    if (before !== entry) {
      if (this.#patience > 0) return false;
      Atomics.or(this.#guest, offset / 4, bits);
    }
    this.#map.wrote(Math.floor(offset / 4096));
    return true;
  }
}
