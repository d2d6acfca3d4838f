/** Builds what firmware tells systems about the machine: tables of bytes whose sum is zero. */

/** The byte that makes the sum of all `bytes` zero, in place of the one at `offset`. */
export function checksumFor(bytes: Uint8Array, offset: number): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return (bytes[offset] - sum) & 0xff;
}

/** Bytes written one after the other, little-endian. */
export class TableWriter {
  readonly #bytes: number[] = [];

  /** Bytes so far. */
  get length(): number {
    return this.#bytes.length;
  }

  u8(...values: number[]): this {
    for (const value of values) this.#bytes.push(value & 0xff);
    return this;
  }

  u16(value: number): this {
    return this.u8(value, value >>> 8);
  }

  u32(value: number): this {
    return this.u16(value).u16(value >>> 16);
  }

  /** A number below 2^53. */
  u64(value: number): this {
    return this.u32(value).u32(Math.floor(value / 2 ** 32));
  }

  /** ASCII characters, without an end. */
  text(text: string): this {
    return this.u8(...Array.from(text, (char) => char.charCodeAt(0)));
  }

  /** `count` zeros. */
  zeros(count: number): this {
    return this.u8(...new Array<number>(count).fill(0));
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
