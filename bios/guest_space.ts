/**
 * Memory as the program that calls the firmware sees it: RAM, the video window, the ROM, by linear
 * address, with paging where the caller runs in V86 mode. Whatever the address, nothing throws.
 */

import type { FirmwareHost } from "./host.ts";
import { translate } from "./paging.ts";
import { ROM_BASE } from "./rom/rom.ts";

const VIDEO = 0xa0000;
const VIDEO_END = 0xc0000;
const ROM_END = 0x100000;
const PAGE = 4096;
const EFLAGS_VM = 0x2_0000;

/** See above. */
export class GuestSpace {
  readonly #host: FirmwareHost;

  constructor(host: FirmwareHost) {
    this.#host = host;
  }

  /** The physical address of a linear one; -1: not mapped. */
  physical(linear: number): number {
    return this.paged ? translate(this.#host.memory, this.#host.registers, linear) : linear;
  }

  /** Is the caller in V86 mode? Real mode has no paging. */
  get paged(): boolean {
    return (this.#host.registers.eflags & EFLAGS_VM) !== 0;
  }

  /**
   * Physical address of `length` bytes of plain RAM at `linear`, or -1 when they are not all RAM or not
   * in one piece: then they go byte by byte, or through a buffer.
   */
  ramAddress(linear: number, length: number): number {
    const start = this.physical(linear);
    if (start < 0 || this.#host.memory.offsetOf(start, length) < 0) return -1;
    if (start < ROM_END && start + length > VIDEO && !(start < VIDEO && start + length <= VIDEO)) {
      // Between C0000h and the ROM there may be RAM; video and ROM are not.
      if (start < VIDEO_END || start + length > ROM_BASE) return -1;
    }
    if (!this.paged) return start;
    for (let at = PAGE - linear % PAGE; at < length; at += PAGE) {
      if (this.physical(linear + at) !== start + at) return -1;
    }
    return start;
  }

  /** One byte. */
  read8(linear: number): number {
    const address = this.physical(linear);
    const { memory, bus, rom } = this.#host;
    if (address >= VIDEO && address < ROM_END) {
      if (address < VIDEO_END) return bus.read(address, 1) & 0xff;
      if (address >= ROM_BASE) return rom[address - ROM_BASE];
    }
    return memory.readU8(address);
  }

  /** Writes one byte; dropped where nothing is to be written. */
  write8(linear: number, value: number): void {
    const address = this.physical(linear);
    const { memory, bus } = this.#host;
    if (address >= VIDEO && address < ROM_END) {
      if (address < VIDEO_END) return bus.write(address, 1, value & 0xff);
      if (address >= ROM_BASE) return;
    }
    memory.writeU8(address, value);
  }

  /** A little-endian word. */
  read16(linear: number): number {
    return this.read8(linear) | this.read8(linear + 1) << 8;
  }

  /** A little-endian doubleword, unsigned. */
  read32(linear: number): number {
    return (this.read16(linear) | this.read16(linear + 2) << 16) >>> 0;
  }

  /** Writes a little-endian word. */
  write16(linear: number, value: number): void {
    this.write8(linear, value);
    this.write8(linear + 1, value >>> 8);
  }

  /** Writes a little-endian doubleword. */
  write32(linear: number, value: number): void {
    this.write16(linear, value);
    this.write16(linear + 2, value >>> 16);
  }

  /** Fills `target` from memory. */
  read(linear: number, target: Uint8Array): void {
    const address = this.ramAddress(linear, target.length);
    const view = address < 0 ? undefined : this.#host.memory.view(address, target.length);
    if (view !== undefined) return target.set(view);
    for (let i = 0; i < target.length; i++) target[i] = this.read8(linear + i);
  }

  /** Writes bytes to memory. */
  write(linear: number, bytes: ArrayLike<number>): void {
    const address = this.ramAddress(linear, bytes.length);
    const view = address < 0 ? undefined : this.#host.memory.view(address, bytes.length);
    if (view !== undefined) return view.set(bytes);
    for (let i = 0; i < bytes.length; i++) this.write8(linear + i, bytes[i]);
  }
}
