/**
 * Bytes between a character device and its host end on another thread: a ring with one producer and
 * one consumer. The producer of guest output holds the device's lock, so there is one at a time.
 */

import { bytes, record, words } from "./record.ts";

/** Where a character device sends its bytes. */
export interface ByteSink {
  /** Takes a byte; false when there is no room: the device keeps it and is told when there is. */
  write(byte: number): boolean;
}

const CAPACITY = 65536;
/** Index of each word of `StreamState.cursors`. */
const WRITTEN = 0;
const READ = 1;
const STALLED = 2;

/** Shared by both ends. */
export const StreamState = record("stream", 1, {
  /** Bytes written and read since the start (mod 2^32), and whether the producer found it full. */
  cursors: words(3),
  data: bytes(CAPACITY),
});
/** A view of `StreamState`. */
export type StreamState = InstanceType<typeof StreamState>;

/** See above. */
export class ByteStream implements ByteSink {
  readonly #cursors: Int32Array;
  readonly #data: Uint8Array;
  readonly #ring: () => void;

  /** @param ring Called after a byte was written to an empty stream: wakes the consumer. */
  constructor(state: StreamState, ring: () => void) {
    this.#cursors = state.cursors;
    this.#data = state.data;
    this.#ring = ring;
  }

  write(byte: number): boolean {
    const written = Atomics.load(this.#cursors, WRITTEN);
    const waiting = (written - Atomics.load(this.#cursors, READ)) | 0;
    if (waiting >= CAPACITY) {
      Atomics.store(this.#cursors, STALLED, 1);
      // The consumer may have emptied it before it could see the mark.
      if (((written - Atomics.load(this.#cursors, READ)) | 0) >= CAPACITY) return false;
      Atomics.store(this.#cursors, STALLED, 0);
    }
    this.#data[written & (CAPACITY - 1)] = byte;
    Atomics.store(this.#cursors, WRITTEN, (written + 1) | 0);
    this.#ring();
    return true;
  }

  /** Everything that waits, removed; for the consumer. */
  take(): Uint8Array {
    const read = Atomics.load(this.#cursors, READ);
    const length = (Atomics.load(this.#cursors, WRITTEN) - read) | 0;
    const out = new Uint8Array(length);
    const start = read & (CAPACITY - 1);
    const first = this.#data.subarray(start, start + length);
    out.set(first);
    out.set(this.#data.subarray(0, length - first.length), first.length);
    Atomics.store(this.#cursors, READ, (read + length) | 0);
    return out;
  }

  /** Did the producer find it full since this was last asked? Then tell it that there is room. */
  takeStalled(): boolean {
    return Atomics.exchange(this.#cursors, STALLED, 0) !== 0;
  }
}
