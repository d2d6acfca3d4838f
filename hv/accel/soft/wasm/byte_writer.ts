/**
 * Bytes of a module, written one after the other into a buffer that doubles when it is full.
 *
 * Numbers are in LEB128 (WebAssembly core specification, 5.2.2). Values of 64 bits that fit into 32
 * take a path without bigint: that is nearly all of them.
 */

const FIRST_BYTES = 1024;
/** Longest LEB128 of a 64-bit value. */
const MAX_LEB = 10;

/** See above. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = FIRST_BYTES) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** What was written; valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length) as Uint8Array<ArrayBuffer>;
  }

  /** Forgets everything; the buffer stays. */
  clear(): void {
    this.#length = 0;
  }

  /** One byte. */
  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** Several bytes. */
  append(bytes: ArrayLike<number>): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** An unsigned number of at most 32 bits. */
  unsigned(value: number): void {
    if (this.#length + MAX_LEB > this.#bytes.length) this.#grow(MAX_LEB);
    while (value > 0x7f) {
      this.#bytes[this.#length++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    this.#bytes[this.#length++] = value;
  }

  /** A signed number of 32 bits. */
  signed(value: number): void {
    if (this.#length + MAX_LEB > this.#bytes.length) this.#grow(MAX_LEB);
    value |= 0;
    while (value < -64 || value > 63) {
      this.#bytes[this.#length++] = (value & 0x7f) | 0x80;
      value >>= 7;
    }
    this.#bytes[this.#length++] = value & 0x7f;
  }

  /** A signed number of 64 bits; a `number` must be a safe integer. */
  signed64(value: number | bigint): void {
    if (typeof value === "number" && (value | 0) === value) return this.signed(value);
    if (this.#length + MAX_LEB > this.#bytes.length) this.#grow(MAX_LEB);
    let rest = BigInt.asIntN(64, BigInt(value));
    while (rest < -64n || rest > 63n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest & 0x7fn);
  }

  /** A name: its length and its UTF-8 bytes. */
  name(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.unsigned(bytes.length);
    this.append(bytes);
  }

  #grow(atLeast: number): void {
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + atLeast));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
