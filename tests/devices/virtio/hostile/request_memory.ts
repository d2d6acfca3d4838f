/** Room in guest memory for the buffers of requests: apart from the rings, used again and again. */

import type { Buffer } from "../queue/split_driver.ts";

/** Where the buffers lie, and where the rings. */
export const BUFFERS = 0x8000;
export const BUFFERS_END = 0x1_0000;

/** See above. */
export class RequestMemory {
  readonly ram: DataView;
  readonly #base: number;
  readonly #end: number;
  #next: number;

  /** @param base Where it begins: as much as on the bench. */
  constructor(ram: DataView, base = BUFFERS) {
    this.ram = ram;
    this.#base = this.#next = base;
    this.#end = base + BUFFERS_END - BUFFERS;
  }

  /** A buffer of so many bytes. */
  take(length: number, write = false): Buffer {
    if (this.#next + length > this.#end) this.#next = this.#base;
    const address = this.#next;
    this.#next = (address + length + 15) & ~15;
    return { address, length: Math.min(length, this.#end - address), write };
  }

  /** A buffer with these contents, which the device reads. */
  put(contents: Uint8Array): Buffer {
    const buffer = this.take(contents.length);
    this.bytes(buffer).set(contents.subarray(0, buffer.length));
    return buffer;
  }

  /** The bytes of a buffer. */
  bytes({ address, length }: Buffer): Uint8Array {
    return new Uint8Array(this.ram.buffer, this.ram.byteOffset + address, length);
  }

  /** As at the beginning. */
  restart(from?: RequestMemory): void {
    this.#next = from === undefined ? this.#base : from.#next;
  }
}
