/**
 * Guest RAM, and the memory of devices (ROM, video) behind it, in one shared WebAssembly.Memory: its
 * address is page-aligned, as KVM needs it, every worker sees it, and translated code addresses it.
 *
 * Guest-physical layout: RAM from 0 to at most 3 GiB, the rest from 4 GiB up; between them is the hole
 * for PCI and firmware. The legacy hole (A0000h-FFFFFh) has RAM behind it like anything else: what
 * the guest sees there is the board's affair (see hv/core/memory/memory_map.ts), devices see RAM.
 */

import { alignUp } from "../align.ts";
import { type Copier, copierFor } from "./copy_buffer.ts";

/** Where RAM below 4 GiB ends at most. */
export const LOW_RAM_LIMIT = 0xc000_0000;
/** Where RAM goes on. */
export const HIGH_RAM_BASE = 0x1_0000_0000;
const WASM_PAGE = 65536;
/** Up to here, a loop is faster than a view (measured). */
const SHORT_BYTES = 64;
const FOUR_GIB = 0x1_0000_0000;

/** What another thread needs to see the same memory. */
export interface GuestMemoryHandle {
  readonly memory: WebAssembly.Memory;
  readonly ramBytes: number;
}

/** See above. */
export class GuestMemory {
  readonly memory: WebAssembly.Memory;
  /** Guest RAM in bytes. */
  readonly ramBytes: number;
  /** RAM from address 0, in bytes. */
  readonly lowBytes: number;
  /** RAM from 4 GiB, in bytes. */
  readonly highBytes: number;
  /**
   * Told, before they are given out or written, of the `length` bytes at `offset` of the memory: an
   * accelerator that keeps decoded code drops what was made of them.
   */
  onTouch: ((offset: number, length: number) => void) | undefined;
  readonly #bytes: Uint8Array;
  readonly #data: DataView;
  readonly #words: Uint16Array;
  readonly #copiers = new WeakMap<ArrayBufferLike, Copier>();
  /** The bytes that were copied from or to last, and how: mostly those of the next time. */
  #lastBytes: ArrayBufferLike | undefined;
  #lastCopier: Copier | undefined;
  #deviceEnd: number;

  /** Attaches to memory made by `allocate`. */
  constructor({ memory, ramBytes }: GuestMemoryHandle) {
    this.memory = memory;
    this.ramBytes = ramBytes;
    this.lowBytes = Math.min(ramBytes, LOW_RAM_LIMIT);
    this.highBytes = ramBytes - this.lowBytes;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#data = new DataView(memory.buffer);
    this.#words = new Uint16Array(memory.buffer);
    this.#deviceEnd = ramBytes;
  }

  /**
   * Reserves memory; the host commits pages as they are touched.
   *
   * @param ramBytes Guest RAM, a multiple of 64 KiB.
   * @param deviceBytes Room for `allocateDeviceMemory`, a multiple of 64 KiB.
   * @throws {RangeError} When the host cannot reserve that much.
   */
  static allocate(ramBytes: number, deviceBytes: number): GuestMemory {
    const pages = (ramBytes + deviceBytes) / WASM_PAGE;
    const large = ramBytes + deviceBytes > FOUR_GIB;
    const descriptor = large
      ? { initial: BigInt(pages), maximum: BigInt(pages), shared: true, address: "i64" }
      : { initial: pages, maximum: pages, shared: true };
    const memory = new WebAssembly.Memory(descriptor as WebAssembly.MemoryDescriptor);
    return new GuestMemory({ memory, ramBytes });
  }

  /** What to post to a worker. */
  get handle(): GuestMemoryHandle {
    return { memory: this.memory, ramBytes: this.ramBytes };
  }

  /**
   * The RAM bytes at guest-physical `address`, or undefined unless all `length` of them are RAM.
   * This is the one place where an address given by a guest becomes host memory.
   */
  view(address: number, length: number): Uint8Array | undefined {
    const offset = this.offsetOf(address, length);
    if (offset < 0) return undefined;
    this.onTouch?.(offset, length);
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Offset in the memory of `length` RAM bytes at `address`, or -1 unless all of them are RAM. */
  offsetOf(address: number, length: number): number {
    if (address >= 0 && length >= 0 && address + length <= this.lowBytes) return address;
    const high = address - HIGH_RAM_BASE;
    if (high >= 0 && length >= 0 && high + length <= this.highBytes) return this.lowBytes + high;
    return -1;
  }

  /** Copies `length` bytes of RAM to `into`, from its byte `at` on; nothing unless all of them are RAM. */
  copyOut(address: number, length: number, into: Uint8Array, at: number): void {
    const offset = this.offsetOf(address, length);
    if (offset < 0) return;
    const bytes = this.#bytes;
    if (length <= SHORT_BYTES) {
      for (let i = 0; i < length; i++) into[at + i] = bytes[offset + i];
      return;
    }
    const copier = this.#copierFor(into);
    if (copier !== undefined) copier.fromGuest(offset, into.byteOffset + at, length);
    else into.set(bytes.subarray(offset, offset + length), at);
  }

  /** Copies `length` bytes of `from`, from its byte `at` on, to RAM; nothing unless all of it is RAM. */
  copyIn(address: number, length: number, from: Uint8Array, at: number): void {
    const offset = this.offsetOf(address, length);
    if (offset < 0) return;
    this.onTouch?.(offset, length);
    const bytes = this.#bytes;
    if (length <= SHORT_BYTES) {
      for (let i = 0; i < length; i++) bytes[offset + i] = from[at + i];
      return;
    }
    const copier = this.#copierFor(from);
    if (copier !== undefined) copier.toGuest(offset, from.byteOffset + at, length);
    else bytes.set(from.subarray(at, at + length), offset);
  }

  /** What copies these bytes, if they are of a copy buffer. */
  #copierFor({ buffer }: Uint8Array): Copier | undefined {
    if (buffer === this.#lastBytes) return this.#lastCopier;
    let copier = this.#copiers.get(buffer);
    if (copier === undefined) {
      copier = copierFor(this.memory, buffer);
      if (copier !== undefined) this.#copiers.set(buffer, copier);
    }
    this.#lastBytes = buffer;
    this.#lastCopier = copier;
    return copier;
  }

  /** One byte of RAM; FFh where there is none. */
  readU8(address: number): number {
    const offset = this.offsetOf(address, 1);
    return offset < 0 ? 0xff : this.#bytes[offset];
  }

  /** A little-endian 16-bit word of RAM; all ones where there is none. */
  readU16(address: number): number {
    const offset = this.offsetOf(address, 2);
    return offset < 0 ? 0xffff : this.#data.getUint16(offset, true);
  }

  /** A little-endian 32-bit word of RAM; all ones where there is none. */
  readU32(address: number): number {
    const offset = this.offsetOf(address, 4);
    return offset < 0 ? 0xffff_ffff : this.#data.getUint32(offset, true);
  }

  /** Reads little-endian 32-bit words of RAM, as many as fit; all ones unless all of them are RAM. */
  readU32s(address: number, into: Uint32Array): void {
    const { length } = into;
    const offset = this.offsetOf(address, length * 4);
    for (let i = 0; i < length; i++) {
      into[i] = offset < 0 ? 0xffff_ffff : this.#data.getUint32(offset + i * 4, true);
    }
  }

  /** Writes one byte of RAM; dropped where there is none. */
  writeU8(address: number, value: number): void {
    const offset = this.offsetOf(address, 1);
    if (offset < 0) return;
    this.onTouch?.(offset, 1);
    this.#bytes[offset] = value;
  }

  /** Writes a little-endian 16-bit word of RAM; dropped where there is none. */
  writeU16(address: number, value: number): void {
    const offset = this.offsetOf(address, 2);
    if (offset < 0) return;
    this.onTouch?.(offset, 2);
    this.#data.setUint16(offset, value, true);
  }

  /** Writes a little-endian 32-bit word of RAM; dropped where there is none. */
  writeU32(address: number, value: number): void {
    const offset = this.offsetOf(address, 4);
    if (offset < 0) return;
    this.onTouch?.(offset, 4);
    this.#data.setUint32(offset, value, true);
  }

  /**
   * A word of RAM at an even address, in order with every other access: what another processor wrote
   * before it is seen after it. All ones where there is none.
   */
  loadU16(address: number): number {
    const offset = this.offsetOf(address, 2);
    return offset < 0 ? 0xffff : Atomics.load(this.#words, Math.floor(offset / 2));
  }

  /** Writes such a word, in order with every other access; dropped where there is none. */
  storeU16(address: number, value: number): void {
    const offset = this.offsetOf(address, 2);
    if (offset < 0) return;
    this.onTouch?.(offset, 2);
    Atomics.store(this.#words, Math.floor(offset / 2), value);
  }

  /**
   * The next piece of device memory (ROM, video RAM), page-aligned. As with the arena, every thread
   * asks for the same pieces in the same order.
   *
   * @throws {Error} When the room reserved for devices is used up: a mistake of the board.
   */
  allocateDeviceMemory(length: number): DeviceMemory {
    const offset = this.#deviceEnd;
    const end = offset + alignUp(length, 4096);
    if (end > this.#bytes.length) {
      throw new Error(`Cannot allocate ${length} bytes of device memory: reserve more`);
    }
    this.#deviceEnd = end;
    return { offset, bytes: this.#bytes.subarray(offset, offset + length) };
  }
}

/** Memory of a device within the machine's memory. */
export interface DeviceMemory {
  /** Offset in the machine's memory, bytes. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}
