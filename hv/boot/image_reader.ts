/**
 * Little-endian reads from a kernel's file, each checked: what lies outside of the file is a
 * `BootError` that says the file is cut off. Kernels are hostile; nothing else reads their bytes.
 */

import { BootError } from "./boot_error.ts";

/** See above. */
export class ImageReader {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;

  /** @param name What error messages call the file. */
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** The error to throw for this file. */
  error(reason: string, cause?: unknown): BootError {
    return new BootError(this.name, reason, cause === undefined ? undefined : { cause });
  }

  /** Whether `length` bytes at `offset` lie in the file. */
  has(offset: number, length: number): boolean {
    return offset >= 0 && length >= 0 && offset + length <= this.bytes.length;
  }

  u8(offset: number): number {
    this.#check(offset, 1);
    return this.bytes[offset];
  }

  u16(offset: number): number {
    this.#check(offset, 2);
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    this.#check(offset, 4);
    return this.#view.getUint32(offset, true);
  }

  /** A 64-bit value as a number: above 2^53 inexact, which no valid file offset or address is. */
  u64(offset: number): number {
    this.#check(offset, 8);
    return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * 2 ** 32;
  }

  /** A 64-bit value whose low bits matter, such as a virtual address. */
  u64Exact(offset: number): bigint {
    this.#check(offset, 8);
    return this.#view.getBigUint64(offset, true);
  }

  /** A view of `length` bytes; `what` names them in the error. */
  slice(offset: number, length: number, what: string): Uint8Array {
    this.#check(offset, length, what);
    return this.bytes.subarray(offset, offset + length);
  }

  /** Printable ASCII from `offset` up to a NUL, another byte, or `limit` characters. */
  text(offset: number, limit: number): string {
    let text = "";
    for (let i = offset; i < offset + limit && i < this.bytes.length; i++) {
      const byte = this.bytes[i];
      if (byte < 0x20 || byte > 0x7e) break;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #check(offset: number, length: number, what = "a header field"): void {
    if (this.has(offset, length)) return;
    throw this.error(
      `the file is cut off or damaged: ${what} should end at byte ${offset + length}, ` +
        `but the file has ${this.bytes.length}`,
    );
  }
}
