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

  /** Takes as many of the bytes as there is room for; how many. With fewer than all, as `write`. */
  put(bytes: Uint8Array): number {
    let done = this.#put(bytes);
    if (done < bytes.length) {
      Atomics.store(this.#cursors, STALLED, 1);
      // The consumer may have emptied it before it could see the mark.
      done += this.#put(bytes.subarray(done));
      if (done === bytes.length) Atomics.store(this.#cursors, STALLED, 0);
    }
    if (done > 0) this.#ring();
    return done;
  }

  #put(bytes: Uint8Array): number {
    const written = Atomics.load(this.#cursors, WRITTEN);
    const room = CAPACITY - ((written - Atomics.load(this.#cursors, READ)) | 0);
    const taken = bytes.subarray(0, room);
    const start = written & (CAPACITY - 1);
    const first = taken.subarray(0, CAPACITY - start);
    this.#data.set(first, start);
    this.#data.set(taken.subarray(first.length), 0);
    Atomics.store(this.#cursors, WRITTEN, (written + taken.length) | 0);
    return taken.length;
  }

  /** Bytes that wait; for the consumer, as what follows. */
  get waiting(): number {
    return (Atomics.load(this.#cursors, WRITTEN) - Atomics.load(this.#cursors, READ)) | 0;
  }

  /** Removes what waits as far as `into` has room; how many bytes that were. */
  read(into: Uint8Array): number {
    const read = Atomics.load(this.#cursors, READ);
    const length = Math.min(this.waiting, into.length);
    const start = read & (CAPACITY - 1);
    const first = this.#data.subarray(start, start + length);
    into.set(first);
    into.set(this.#data.subarray(0, length - first.length), first.length);
    Atomics.store(this.#cursors, READ, (read + length) | 0);
    return length;
  }

  /** Everything that waits, removed. */
  take(): Uint8Array {
    const out = new Uint8Array(this.waiting);
    this.read(out);
    return out;
  }

  /** Did the producer find it full since this was last asked? Then tell it that there is room. */
  takeStalled(): boolean {
    return Atomics.exchange(this.#cursors, STALLED, 0) !== 0;
  }

  /** Wakes the consumer, who has left bytes here. */
  wake(): void {
    this.#ring();
  }
}
