/**
 * Bytes on their way, of which the oldest ones can be read again until they are dropped. The room grows
 * as it is needed, out of a budget that all queues of a network share.
 */

/** Bytes that all queues together may take. */
export class BufferBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Takes bytes; false when there are not so many left. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  /** Gives bytes back. */
  give(bytes: number): void {
    this.#left += bytes;
  }

  get left(): number {
    return this.#left;
  }
}

const FIRST_BYTES = 16_384;

/** See above. */
export class ByteQueue implements Disposable {
  readonly #budget: BufferBudget;
  readonly #most: number;
  #bytes = new Uint8Array(0);
  #start = 0;
  #length = 0;

  /** @param most Bytes at most, a power of two. */
  constructor(budget: BufferBudget, most: number) {
    this.#budget = budget;
    this.#most = most;
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes that there is room for, should the budget give them. */
  get room(): number {
    return this.#most - this.#length;
  }

  /**
   * Room behind the last byte, in one piece, at least one byte unless the queue is full or the budget
   * used up. What is written there is added by `commit`.
   */
  space(): Uint8Array {
    if (this.#length === this.#bytes.length) this.#grow();
    const end = (this.#start + this.#length) % (this.#bytes.length || 1);
    const limit = end >= this.#start && this.#length < this.#bytes.length
      ? this.#bytes.length
      : this.#start;
    return this.#bytes.subarray(end, this.#length === this.#bytes.length ? end : limit);
  }

  /** Adds the first `count` bytes of `space`. */
  commit(count: number): void {
    this.#length += count;
  }

  /** Adds bytes, as far as there is room; how many. */
  push(bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length) {
      const space = this.space();
      if (space.length === 0) break;
      const part = bytes.subarray(done, done + space.length);
      space.set(part);
      this.commit(part.length);
      done += part.length;
    }
    return done;
  }

  /**
   * Copies `length` bytes from `offset` behind the oldest on, of which there must be so many, to `into`
   * from its byte `at` on.
   */
  copy(offset: number, length: number, into: Uint8Array, at: number): void {
    const bytes = this.#bytes;
    const start = (this.#start + offset) % bytes.length;
    const first = Math.min(length, bytes.length - start);
    into.set(bytes.subarray(start, start + first), at);
    if (first < length) into.set(bytes.subarray(0, length - first), at + first);
  }

  /** The oldest bytes, as many as lie in one piece. */
  front(): Uint8Array {
    const end = Math.min(this.#bytes.length, this.#start + this.#length);
    return this.#bytes.subarray(this.#start, end);
  }

  /** Forgets the oldest `count` bytes. */
  drop(count: number): void {
    this.#length -= count;
    this.#start = this.#length === 0 ? 0 : (this.#start + count) % this.#bytes.length;
  }

  [Symbol.dispose](): void {
    this.#budget.give(this.#bytes.length);
    this.#bytes = new Uint8Array(0);
    this.#start = this.#length = 0;
  }

  #grow(): void {
    const size = Math.min(this.#most, this.#bytes.length * 2 || FIRST_BYTES);
    if (size === this.#bytes.length || !this.#budget.take(size - this.#bytes.length)) return;
    const bytes = new Uint8Array(size);
    if (this.#length > 0) this.copy(0, this.#length, bytes, 0);
    this.#bytes = bytes;
    this.#start = 0;
  }
}
