/**
 * Requests on their way to the threads that carry them out, and their results on the way back, in
 * shared memory: one thread asks, several serve.
 */

import { IOVEC_BYTES, Iovecs, type MemoryRange } from "../../../hv/sys/file/iovecs.ts";
import type { Transfer, TransferOp } from "../../../hv/sys/file/transfer.ts";
import { MAX_PIECES } from "./transfer_engine.ts";

/** Most requests at once. */
export const QUEUE_DEPTH = 256;

/** Words at the start: counts of requests submitted, claimed and done; threads that have ended. */
const Head = { submitted: 0, claimed: 1, done: 2, ended: 3 } as const;
const SUBMITTED_SLOTS = 4;
/** Room for all requests, and for a sign to each thread that it is to end. */
const SUBMITTED = 2 * QUEUE_DEPTH;
const DONE_SLOTS = SUBMITTED_SLOTS + SUBMITTED;
const THE_END = -1;
const SLOTS = DONE_SLOTS + QUEUE_DEPTH;
/** Words of a slot. */
const Field = { op: 0, fd: 1, pieces: 2, mode: 3, token: 4, result: 5 } as const;
const SLOT_WORDS = 6;
/** 64-bit numbers of a slot, exact to 2^53. */
const NUMBERS = alignTo8((SLOTS + QUEUE_DEPTH * SLOT_WORDS) * 4);
const IOVECS = NUMBERS + QUEUE_DEPTH * 16;
const BYTES = IOVECS + QUEUE_DEPTH * MAX_PIECES * IOVEC_BYTES;

function alignTo8(n: number): number {
  return (n + 7) & ~7;
}

/** See above; every thread has its own object over the same bytes. */
export class TransferQueue {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #iovecs: Iovecs;

  /** A new queue, or one that another thread has made. */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, NUMBERS >> 2);
    this.#numbers = new Float64Array(buffer, NUMBERS, QUEUE_DEPTH * 2);
    this.#iovecs = new Iovecs(new Uint32Array(buffer, IOVECS));
  }

  // --- for the thread that asks ----------------------------------------------------------------

  /** Fills slot `slot`, which no request uses. */
  fill(
    slot: number,
    { op, fd, offset, length, mode }: Omit<Transfer, "iovecs" | "pieces">,
    memory: readonly MemoryRange[],
    token: number,
  ): void {
    const at = SLOTS + slot * SLOT_WORDS;
    this.#words[at + Field.op] = op;
    this.#words[at + Field.fd] = fd;
    this.#words[at + Field.pieces] = memory.length;
    this.#words[at + Field.mode] = mode;
    this.#words[at + Field.token] = token;
    this.#numbers[slot * 2] = offset;
    this.#numbers[slot * 2 + 1] = length;
    this.#iovecs.put(slot * MAX_PIECES, memory);
  }

  /** Hands filled slots to the serving threads. */
  submit(slots: readonly number[]): void {
    const submitted = this.#words[Head.submitted];
    for (let i = 0; i < slots.length; i++) {
      this.#words[SUBMITTED_SLOTS + (submitted + i >>> 0) % SUBMITTED] = slots[i];
    }
    Atomics.add(this.#words, Head.submitted, slots.length);
    Atomics.notify(this.#words, Head.submitted, slots.length);
  }

  /** The slot of the request that was the `n`-th to end, or -1 when there is none yet. */
  ended(n: number): number {
    const slot = Atomics.exchange(this.#words, DONE_SLOTS + (n >>> 0) % QUEUE_DEPTH, 0) - 1;
    return slot;
  }

  /** Token and result of a request that has ended. */
  token(slot: number): number {
    return this.#words[SLOTS + slot * SLOT_WORDS + Field.token] >>> 0;
  }

  /** See `TransferEngine.take`. */
  result(slot: number): number {
    return this.#words[SLOTS + slot * SLOT_WORDS + Field.result];
  }

  /** Ends the service of `threads` threads (at most `QUEUE_DEPTH`) and waits until they have ended. */
  stop(threads: number): void {
    this.submit(new Array(threads).fill(THE_END));
    for (;;) {
      const ended = Atomics.load(this.#words, Head.ended);
      if (ended >= threads) return;
      Atomics.wait(this.#words, Head.ended, ended);
    }
  }

  // --- for the threads that serve --------------------------------------------------------------

  /** Waits for a request and claims it: its slot; negative when the thread is to end. */
  claim(): number {
    const words = this.#words;
    for (;;) {
      const submitted = Atomics.load(words, Head.submitted);
      const claimed = Atomics.load(words, Head.claimed);
      if (claimed !== submitted) {
        // Read before it is claimed: afterwards, its place may be another request's.
        const slot = words[SUBMITTED_SLOTS + (claimed >>> 0) % SUBMITTED];
        const next = claimed + 1 | 0;
        if (Atomics.compareExchange(words, Head.claimed, claimed, next) === claimed) return slot;
      } else Atomics.wait(words, Head.submitted, submitted);
    }
  }

  /** A thread touches nothing more of this. */
  threadEnded(): void {
    Atomics.add(this.#words, Head.ended, 1);
    Atomics.notify(this.#words, Head.ended);
  }

  /** The request in `slot`. */
  transfer(slot: number): Transfer {
    const at = SLOTS + slot * SLOT_WORDS;
    return {
      op: this.#words[at + Field.op] as TransferOp,
      fd: this.#words[at + Field.fd],
      pieces: this.#words[at + Field.pieces],
      mode: this.#words[at + Field.mode],
      offset: this.#numbers[slot * 2],
      length: this.#numbers[slot * 2 + 1],
      iovecs: this.#iovecs.addressAt(slot * MAX_PIECES),
    };
  }

  /** The request in `slot` has ended. */
  end(slot: number, result: number): void {
    const words = this.#words;
    words[SLOTS + slot * SLOT_WORDS + Field.result] = result;
    const place = Atomics.add(words, Head.done, 1);
    Atomics.store(words, DONE_SLOTS + (place >>> 0) % QUEUE_DEPTH, slot + 1);
  }
}
