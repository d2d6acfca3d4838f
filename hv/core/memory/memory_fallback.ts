/**
 * Accesses to C0000h-FFFFFh that the accelerator's slots do not carry out: writes to a read-only
 * slot, and everything that comes while a slot is being exchanged. The board claims it as the MMIO
 * device of that area; it needs no lock, since it has no state.
 */

import type { IoHandler } from "../bus/device.ts";
import type { GuestMemory } from "./guest_memory.ts";
import {
  type MemoryLayout,
  romOf,
  type Segment,
  SEGMENTS,
  SHADOW_BASE,
  SHADOW_END,
  shadowOf,
  type ShadowRegisters,
} from "./memory_map.ts";

const SEGMENT_BYTES = 0x4000;

/** The segment that an address from C0000h to FFFFFh lies in. */
const segmentAt = (address: number): Segment =>
  SEGMENTS[Math.min((address - SHADOW_BASE) / SEGMENT_BYTES | 0, SEGMENTS.length - 1)];

/** See above. Claim `SHADOW_BASE` to `SHADOW_END` with widths 1 to 4. */
export class MemoryFallback implements IoHandler {
  readonly #memory: GuestMemory;
  readonly #bytes: Uint8Array;
  readonly #layout: MemoryLayout;
  readonly #registers: () => ShadowRegisters;

  /** @param registers PAM and SMRAM at present. */
  constructor(memory: GuestMemory, layout: MemoryLayout, registers: () => ShadowRegisters) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.memory.buffer);
    this.#layout = layout;
    this.#registers = registers;
  }

  /** Do writes of `size` bytes at guest-physical `address` reach RAM, all of them, at present? */
  writable(address: number, size: number): boolean {
    const registers = this.#registers();
    for (let at = address; at < address + size; at++) {
      const governed = at >= SHADOW_BASE && at < SHADOW_END;
      if (!governed || !shadowOf(segmentAt(at), registers).writesRam) return false;
    }
    return true;
  }

  read(offset: number, size: number): number {
    const registers = this.#registers();
    let value = 0;
    for (let i = 0; i < size; i++) {
      value += this.#readByte(SHADOW_BASE + offset + i, registers) * 2 ** (i * 8);
    }
    return value;
  }

  write(offset: number, size: number, value: number): void {
    const registers = this.#registers();
    for (let i = 0; i < size; i++) {
      const address = SHADOW_BASE + offset + i;
      if (!shadowOf(segmentAt(address), registers).writesRam) continue;
      this.#memory.writeU8(address, (value >>> (i * 8)) & 0xff);
    }
  }

  #readByte(address: number, registers: ShadowRegisters): number {
    const segment = segmentAt(address);
    if (shadowOf(segment, registers).readsRam) return this.#memory.readU8(address);
    const rom = romOf(segment, this.#layout);
    const into = address - segment.base;
    return rom === undefined || into >= rom.length ? 0xff : this.#bytes[rom.memoryOffset + into];
  }
}
