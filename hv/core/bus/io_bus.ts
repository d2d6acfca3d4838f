/**
 * Port and MMIO buses: from an address to the device that answers, with the widths split and the
 * device's lock held, once for all devices.
 *
 * Fixed ranges are claimed when the board is built, and overlaps throw then, naming both devices.
 * Movable ranges (PCI base addresses) are asked where they are whenever the shared generation word
 * has changed, since each thread has its own bus objects; what they overlap loses to what came first,
 * for that is the guest's doing.
 */

import { addressText } from "../hex.ts";
import type { IoHandler } from "./device.ts";
import type { Lock } from "../state/lock.ts";

/** The widths in bytes that a device takes. Wider accesses are split, narrower reads are cut out. */
export interface AccessWidths {
  /** Narrowest read that the device answers; narrower writes are dropped. Default 1. */
  readonly min?: 1 | 2 | 4;
  /** Widest access; default 1. */
  readonly max?: 1 | 2 | 4;
}

/** A range of addresses and who answers there. */
export interface Claim {
  /** The device, for errors and traces. */
  readonly name: string;
  readonly base: number;
  readonly length: number;
  readonly device: IoHandler;
  readonly widths?: AccessWidths;
  /** Held during each access. */
  readonly lock?: Lock;
}

/** A range that the guest moves: `range` tells where it is, or undefined while it is switched off. */
export interface MovableClaim extends Omit<Claim, "base" | "length"> {
  readonly range: () => { readonly base: number; readonly length: number } | undefined;
}

interface Window {
  readonly base: number;
  readonly end: number;
  readonly device: IoHandler;
  readonly min: number;
  readonly max: number;
  readonly lock: Lock | undefined;
}

const ONES = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff];

/** What the port bus and the MMIO bus have in common. */
export class IoBus {
  /** Reads and writes that no device answered. */
  unclaimed = 0;
  readonly #kind: string;
  readonly #limit: number;
  readonly #generation: Int32Array;
  readonly #fixed: Claim[] = [];
  #movable: readonly MovableClaim[] = [];
  #windows: Window[] = [];
  #seen = -1;
  #last: Window | undefined;
  /** Addresses without a device: those around the last one that was asked for in vain. */
  #gapBase = 0;
  #gapEnd = 0;

  /**
   * @param kind `"port"` or `"memory"`, for errors.
   * @param limit Addresses from 0 up to this.
   * @param generation A shared word, changed whenever a movable range has moved.
   */
  constructor(kind: string, limit: number, generation: Int32Array) {
    this.#kind = kind;
    this.#limit = limit;
    this.#generation = generation;
  }

  /**
   * Gives a fixed range to a device.
   *
   * @throws {Error} When it overlaps another or leaves the address space: a mistake of the board.
   */
  claim(claim: Claim): void {
    const { name, base, length } = claim;
    if (base < 0 || length <= 0 || base + length > this.#limit) {
      throw new Error(
        `Cannot put ${name} at ${this.#kind} ${addressText(base)}: outside of the bus`,
      );
    }
    const other = this.#fixed.find((o) => base < o.base + o.length && o.base < base + length);
    if (other !== undefined) {
      throw new Error(
        `Cannot put ${name} at ${this.#kind} ${addressText(base)}-${
          addressText(base + length - 1)
        }: ` +
          `${other.name} is at ${addressText(other.base)}-${
            addressText(other.base + other.length - 1)
          }`,
      );
    }
    this.#fixed.push(claim);
    this.#seen = -1;
  }

  /** Gives a movable range to a device; what it returns takes the range back. */
  claimMovable(claim: MovableClaim): () => void {
    this.#movable = [...this.#movable, claim];
    this.#seen = -1;
    return () => {
      this.#movable = this.#movable.filter((other) => other !== claim);
      this.#seen = -1;
    };
  }

  /** Makes every thread's bus ask the movable ranges again before its next access. */
  moved(): void {
    Atomics.add(this.#generation, 0, 1);
  }

  /** Every range in force, in order of address: for the monitor and for documents. */
  get ranges(): readonly { name: string; base: number; length: number }[] {
    const movable = this.#movable.flatMap(({ name, range }) => {
      const at = range();
      return at === undefined ? [] : [{ name, ...at }];
    });
    return [...this.#fixed, ...movable].map(({ name, base, length }) => ({ name, base, length }))
      .sort((a, b) => a.base - b.base);
  }

  /** Reads `size` (1, 2 or 4) bytes at `address`; ones where nobody answers. */
  read(address: number, size: number): number {
    const window = this.#find(address);
    if (window === undefined || address + size > window.end) {
      if (!this.#isGap(address, size)) return this.#splitRead(address, size, 1);
      this.unclaimed += size;
      return ONES[size];
    }
    if (size > window.max) return this.#splitRead(address, size, window.max);
    const { device, lock, base, min } = window;
    // Across two registers: each is read for itself.
    if (size < min && ((address - base) & (min - 1)) + size > min) {
      return this.#splitRead(address, size, 1);
    }
    lock?.acquire();
    try {
      const offset = address - base;
      if (size >= min) return device.read(offset, size);
      const aligned = offset & ~(min - 1);
      return (device.read(aligned, min) >>> ((offset - aligned) * 8)) & ONES[size];
    } finally {
      lock?.release();
    }
  }

  /** Writes `size` (1, 2 or 4) bytes at `address`; dropped where nobody answers. */
  write(address: number, size: number, value: number): void {
    const window = this.#find(address);
    if (window === undefined || address + size > window.end) {
      if (!this.#isGap(address, size)) return this.#splitWrite(address, size, value, 1);
      this.unclaimed += size;
      return;
    }
    if (size > window.max) return this.#splitWrite(address, size, value, window.max);
    const { device, lock, base, min } = window;
    if (size < min) {
      this.unclaimed++;
      return;
    }
    lock?.acquire();
    try {
      device.write(address - base, size, value);
    } finally {
      lock?.release();
    }
  }

  #splitRead(address: number, size: number, width: number): number {
    let value = 0;
    for (let i = 0; i < size; i += width) {
      value += this.read((address + i) % this.#limit, width) * 2 ** (i * 8);
    }
    return value;
  }

  #splitWrite(address: number, size: number, value: number, width: number): void {
    for (let i = 0; i < size; i += width) {
      this.write((address + i) % this.#limit, width, (value >>> (i * 8)) & ONES[width]);
    }
  }

  #find(address: number): Window | undefined {
    if (Atomics.load(this.#generation, 0) !== this.#seen) this.#rebuild();
    const last = this.#last;
    if (last !== undefined && address >= last.base && address < last.end) return last;
    if (this.#isGap(address, 1)) return undefined;
    let low = 0;
    let high = this.#windows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const window = this.#windows[middle];
      if (address < window.base) high = middle;
      else if (address >= window.end) low = middle + 1;
      else return this.#last = window;
    }
    this.#gapBase = low === 0 ? 0 : this.#windows[low - 1].end;
    this.#gapEnd = low < this.#windows.length ? this.#windows[low].base : this.#limit;
    return undefined;
  }

  #isGap(address: number, size: number): boolean {
    return address >= this.#gapBase && address + size <= this.#gapEnd;
  }

  #rebuild(): void {
    this.#seen = Atomics.load(this.#generation, 0);
    this.#last = undefined;
    this.#gapBase = this.#gapEnd = 0;
    const windows: Window[] = [];
    const add = (claim: Omit<Claim, "base" | "length">, base: number, length: number) => {
      const end = base + length;
      if (base < 0 || length <= 0 || end > this.#limit) return;
      if (windows.some((other) => base < other.end && other.base < end)) return;
      const { device, widths, lock } = claim;
      windows.push({ base, end, device, min: widths?.min ?? 1, max: widths?.max ?? 1, lock });
    };
    for (const claim of this.#fixed) add(claim, claim.base, claim.length);
    for (const claim of this.#movable) {
      const at = claim.range();
      if (at !== undefined) add(claim, at.base, at.length);
    }
    this.#windows = windows.sort((a, b) => a.base - b.base);
  }
}
