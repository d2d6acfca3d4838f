/**
 * The guest-physical address space: which parts of it are memory, where that lies in the machine's
 * memory, whether it may be written. The table is shared by all threads of the machine.
 *
 * A mapping is changed between two even values of `sequence`; readers come again until they have
 * seen one and the same even value before and after.
 */

import { f64, flag, list, record, words } from "../../../core/state/record.ts";
import type { MemorySlot } from "../../accelerator.ts";

export const PAGE_BYTES = 4096;
/** Slots that a machine may use. */
export const MAX_SLOTS = 64;

const SlotEntry = record("soft.slot", 1, {
  guestAddress: f64,
  length: f64,
  memoryOffset: f64,
  readOnly: flag,
  logDirty: flag,
});
const Table = record("soft.slots", 1, {
  sequence: words(1),
  entries: list(SlotEntry, MAX_SLOTS),
});
type Entry = InstanceType<typeof SlotEntry>;

/** What several threads share: the slots, and a byte a page of the machine's memory. */
export interface PhysicalMapBuffers {
  readonly slots: SharedArrayBuffer;
  /** For each page: bit 0 it has decoded code; bit 1 it was written since the log was taken. */
  readonly pages: SharedArrayBuffer;
  /** For each page: a bit for each processor (its number modulo 32) that has decoded code of it. */
  readonly owners: SharedArrayBuffer;
}

/** A mapped slot, as it was when the table was read last. */
interface Range {
  readonly start: number;
  readonly end: number;
  /** What to add to an address for its place in the machine's memory. */
  readonly shift: number;
  readonly writable: boolean;
}
/** Where there is no memory. */
const NOWHERE: Range = { start: 0, end: 0, shift: 0, writable: false };

/** Bits of `PhysicalMap.pages`. */
export const PAGE_HAS_CODE = 1;
export const PAGE_WRITTEN = 2;

/** See above. */
export class PhysicalMap {
  /** The flags of every page of the machine's memory, by its offset / 4096. */
  readonly pages: Uint8Array;
  readonly #owners: Int32Array;
  readonly #table: InstanceType<typeof Table>;
  readonly #memoryBytes: number;
  readonly #sequence: Int32Array;
  /** `sequence` when the ranges were read. */
  #readAt = -1;
  #ranges: readonly Range[] = [];
  /** The range found last: most accesses go to the same few. */
  #last: Range = NOWHERE;
  #lastWritable = false;

  static buffers(memoryBytes: number): PhysicalMapBuffers {
    return {
      slots: new SharedArrayBuffer(Table.byteLength),
      pages: new SharedArrayBuffer(memoryBytes / PAGE_BYTES),
      owners: new SharedArrayBuffer(memoryBytes / PAGE_BYTES * 4),
    };
  }

  constructor(buffers: PhysicalMapBuffers, memoryBytes: number) {
    this.#table = new Table(buffers.slots);
    this.#memoryBytes = memoryBytes;
    this.#sequence = this.#table.sequence;
    this.pages = new Uint8Array(buffers.pages);
    this.#owners = new Int32Array(buffers.owners);
  }

  /**
   * Can `slot` be mapped?
   *
   * @throws RangeError when it is not whole pages within the machine's memory
   */
  check(slot: MemorySlot): void {
    const { guestAddress, length, memoryOffset } = slot;
    const fail = (why: string) => new RangeError(`Cannot map memory slot ${slot.slot}: ${why}`);
    if (this.#table.entries[slot.slot] === undefined) throw fail(`0 to ${MAX_SLOTS - 1} exist`);
    const aligned = [guestAddress, length, memoryOffset].every((n) => n % PAGE_BYTES === 0);
    if (!aligned || guestAddress < 0 || length < 0) throw fail("whole pages are required");
    if (memoryOffset < 0 || memoryOffset + length > this.#memoryBytes) {
      throw fail(
        `${length} bytes from ${memoryOffset} do not lie in the machine's memory of ` +
          `${this.#memoryBytes} bytes`,
      );
    }
  }

  /** Maps, moves or removes (length 0) a slot. @throws RangeError as `check` does */
  set(slot: MemorySlot): void {
    this.check(slot);
    const { guestAddress, length, memoryOffset } = slot;
    const entry = this.#table.entries[slot.slot];
    Atomics.add(this.#table.sequence, 0, 1);
    entry.guestAddress = guestAddress;
    entry.length = length;
    entry.memoryOffset = memoryOffset;
    entry.readOnly = slot.readOnly ?? false;
    entry.logDirty = slot.logDirty ?? false;
    Atomics.add(this.#table.sequence, 0, 1);
  }

  /** Slot `number` as it was last mapped; its length is 0 when it is not. */
  slot(number: number): Readonly<Entry> {
    return this.#table.entries[number];
  }

  /**
   * Where the byte at `address` lies in the machine's memory, or -1 where there is none;
   * `lastWritable` then says whether it may be written.
   */
  offsetOf(address: number): number {
    // Whoever changes the table asks the processors to look at it (`Pending.remap`).
    if (this.#sequence[0] !== this.#readAt) this.#readTable();
    const last = this.#last;
    if (address >= last.start && address < last.end) {
      this.#lastWritable = last.writable;
      return address + last.shift;
    }
    for (const range of this.#ranges) {
      if (address < range.start || address >= range.end) continue;
      this.#last = range;
      this.#lastWritable = range.writable;
      return address + range.shift;
    }
    this.#lastWritable = false;
    return -1;
  }

  /** Bytes from `address`, which lies in a slot, to the slot's end. */
  bytesFrom(address: number): number {
    return this.offsetOf(address) < 0 ? 0 : this.#last.end - address;
  }

  /** May the byte that `offsetOf` found last be written? */
  get lastWritable(): boolean {
    return this.#lastWritable;
  }

  /** Was decoded code made of `page`, by whichever processor? */
  hasCode(page: number): boolean {
    return (Atomics.load(this.pages, page) & PAGE_HAS_CODE) !== 0;
  }

  /** Notes a write to `page`, for the log; has it code? The data must have been written before. */
  wrote(page: number): boolean {
    return (Atomics.or(this.pages, page, PAGE_WRITTEN) & PAGE_HAS_CODE) !== 0;
  }

  /** Does processor `index` have code of `page`? Of those beyond 32, some do that have none. */
  ownsCode(page: number, index: number): boolean {
    return (Atomics.load(this.#owners, page) & 1 << (index & 31)) !== 0;
  }

  /** Processor `index` is about to decode from `page`; had nobody code of it? */
  addOwner(page: number, index: number): boolean {
    Atomics.or(this.#owners, page, 1 << (index & 31));
    return (Atomics.or(this.pages, page, PAGE_HAS_CODE) & PAGE_HAS_CODE) === 0;
  }

  /** Processor `index` has no more code of `page`; of a machine with more than 32 it stays marked. */
  removeOwner(page: number, index: number, cpus: number): void {
    if (cpus > 32) return;
    const bit = 1 << index;
    if ((Atomics.and(this.#owners, page, ~bit) & ~bit) !== 0) return;
    Atomics.and(this.pages, page, ~PAGE_HAS_CODE);
    // Another may have come between the two.
    if (Atomics.load(this.#owners, page) !== 0) Atomics.or(this.pages, page, PAGE_HAS_CODE);
  }

  /** Pages of slot `number` written since the last call, a bit a page. @throws Error without log */
  takeDirtyPages(number: number): Uint8Array {
    const entry = this.#table.entries[number];
    if (entry === undefined || entry.length === 0 || !entry.logDirty) {
      throw new Error(`Cannot read the log of memory slot ${number}: it is not mapped with a log`);
    }
    const count = entry.length / PAGE_BYTES;
    const first = entry.memoryOffset / PAGE_BYTES;
    const bitmap = new Uint8Array(Math.ceil(count / 8));
    for (let i = 0; i < count; i++) {
      if ((Atomics.and(this.pages, first + i, ~PAGE_WRITTEN) & PAGE_WRITTEN) !== 0) {
        bitmap[i >> 3] |= 1 << (i & 7);
      }
    }
    return bitmap;
  }

  /** Takes the table as it is at one time. */
  #readTable(): void {
    for (;;) {
      const before = Atomics.load(this.#sequence, 0);
      const mapped = this.#table.entries.filter(({ length }) => length > 0);
      const ranges = mapped.map(({ guestAddress, length, memoryOffset, readOnly }) => ({
        start: guestAddress,
        end: guestAddress + length,
        shift: memoryOffset - guestAddress,
        writable: !readOnly,
      }));
      if ((before & 1) !== 0 || Atomics.load(this.#sequence, 0) !== before) continue;
      this.#ranges = ranges;
      this.#last = NOWHERE;
      this.#readAt = before;
      return;
    }
  }
}
