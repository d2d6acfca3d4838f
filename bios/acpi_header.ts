/**
 * What all system description tables begin with, and a builder for their bytes.
 *
 * Reference: ACPI 6.4, 5.2.6 "System description table header".
 */

/** Bytes of the header. */
export const HEADER_BYTES = 36;
/** Offset of the header's checksum. */
export const HEADER_CHECKSUM = 9;

const OEM_ID = "HV    ";
const OEM_TABLE_ID = "HVBOARD ";
const CREATOR_ID = "HV  ";

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

/** The table `signature` with its header around `body`; the checksum is 0 yet. */
export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const header = new TableWriter().text(signature).u32(HEADER_BYTES + body.length)
    .u8(revision, 0).text(OEM_ID).text(OEM_TABLE_ID).u32(1).text(CREATOR_ID).u32(1);
  const whole = new Uint8Array(HEADER_BYTES + body.length);
  whole.set(header.bytes());
  whole.set(body, HEADER_BYTES);
  return whole;
}

/** Root pointer's OEM ID, the same as the tables'. */
export const RSDP_OEM_ID = OEM_ID;
