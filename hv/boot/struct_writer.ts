/** Builds little-endian structures for the guest; offsets are the specification's. */
export class StructWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** A structure of `length` zero bytes. */
  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(offset: number, value: number): this {
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, true);
    return this;
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  /** A 64-bit field from a number up to 2^53. */
  u64(offset: number, value: number): this {
    this.#view.setUint32(offset, value % 2 ** 32, true);
    this.#view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
    return this;
  }

  set(offset: number, bytes: Uint8Array): this {
    this.bytes.set(bytes, offset);
    return this;
  }
}

/** UTF-8 with a terminating zero. */
export function cString(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const bytes = new Uint8Array(encoded.length + 1);
  bytes.set(encoded);
  return bytes;
}
