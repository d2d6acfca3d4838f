/** A byte FIFO that lies in a record, so that it is shared and saved with it. */
export class ByteRing {
  readonly #cursors: Uint16Array;
  readonly #bytes: Uint8Array;

  /** Bytes that a ring of `capacity` bytes occupies: two 16-bit cursors and the bytes, even. */
  static byteLength(capacity: number): number {
    return 4 + capacity + (capacity & 1);
  }

  /** A view of the ring at `byteOffset` of `buffer`; `capacity` is at most 65535. */
  constructor(buffer: ArrayBufferLike, byteOffset: number, capacity: number) {
    if (capacity < 1 || capacity > 0xffff) {
      throw new RangeError(`Cannot make a byte ring of ${capacity} bytes: 1 to 65535 is possible`);
    }
    this.#cursors = new Uint16Array(buffer, byteOffset, 2);
    this.#bytes = new Uint8Array(buffer, byteOffset + 4, capacity);
  }

  /** Bytes that fit. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** Bytes waiting. */
  get length(): number {
    return this.#cursors[1];
  }

  /** Appends a byte; false, and nothing is done, when the ring is full. */
  push(byte: number): boolean {
    const head = this.#cursors[0];
    const length = this.#cursors[1];
    if (length >= this.capacity) return false;
    this.#bytes[(head + length) % this.capacity] = byte;
    this.#cursors[1] = length + 1;
    return true;
  }

  /** Removes and returns the oldest byte, or -1 when there is none. */
  shift(): number {
    const head = this.#cursors[0];
    const length = this.#cursors[1];
    if (length === 0) return -1;
    this.#cursors[0] = (head + 1) % this.capacity;
    this.#cursors[1] = length - 1;
    return this.#bytes[head % this.capacity];
  }

  /** The byte `index` places behind the oldest, or -1 when there is none. */
  peek(index = 0): number {
    const head = this.#cursors[0];
    const length = this.#cursors[1];
    return index < length ? this.#bytes[(head + index) % this.capacity] : -1;
  }

  /** Forgets every byte. */
  clear(): void {
    this.#cursors.fill(0);
  }
}
