/**
 * The machine's shared state: one SharedArrayBuffer in which records lie one after the other.
 *
 * Every thread builds the same board over the same buffer, so every thread asks for the same records
 * in the same order and finds them at the same place. Building only attaches; `reset()` of the
 * devices, called once by main, is what writes.
 */

import { alignUp } from "../align.ts";
import { type Fields, record, type RecordType, type RecordView, words } from "./record.ts";
import { Lock } from "./lock.ts";

/** Where a record lies. */
export interface ArenaSection {
  /** The instance, e.g. `"com1"`. */
  readonly name: string;
  /** The record's name and version, e.g. `"uart16550"`, 1. */
  readonly type: string;
  readonly version: number;
  /** Offset and length in bytes. */
  readonly offset: number;
  readonly length: number;
}

const LockWord = record("lock", 1, { word: words(1) });
const CACHE_LINE = 64;

/** See above. */
export class Arena {
  readonly buffer: SharedArrayBuffer;
  readonly #sections: ArenaSection[] = [];
  readonly #limit: number;
  #end: number;

  /**
   * @param buffer Zero-filled when the machine is new.
   * @param start Offset at which the records begin, a multiple of 64.
   * @param limit Offset at which they must have ended; default: the buffer's length.
   */
  constructor(buffer: SharedArrayBuffer, start = 0, limit: number = buffer.byteLength) {
    this.buffer = buffer;
    this.#end = start;
    this.#limit = limit;
  }

  /**
   * The next record, at the next cache line (so that threads on different devices do not share one).
   *
   * @throws {Error} When the name is taken or the buffer is full: mistakes of the board.
   */
  allocate<F extends Fields>(type: RecordType<F>, name: string): RecordView<F> {
    if (this.#sections.some((section) => section.name === name)) {
      throw new Error(`Cannot allocate state "${name}": the name is taken`);
    }
    const offset = this.#end;
    const end = offset + alignUp(type.byteLength, CACHE_LINE);
    if (end > this.#limit) {
      throw new Error(
        `Cannot allocate ${type.byteLength} bytes for state "${name}": ` +
          `${this.#limit - offset} of ${this.#limit} are left`,
      );
    }
    this.#end = end;
    this.#sections.push({
      name,
      type: type.recordName,
      version: type.version,
      offset,
      length: type.byteLength,
    });
    return new type(this.buffer, offset);
  }

  /** A lock of its own, named for the device it guards. */
  lock(name: string): Lock {
    return new Lock(this.allocate(LockWord, `${name}.lock`).word);
  }

  /** Every record so far, in order: the table of a snapshot. */
  get sections(): readonly ArenaSection[] {
    return this.#sections;
  }

  /** Where the last record ends. */
  get usedBytes(): number {
    return this.#end;
  }
}
