/**
 * A driver of one packed virtqueue, as a test writes it.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.8 "Packed Virtqueues".
 */

import type { GuestMemory } from "../../../../hv/core/memory/guest_memory.ts";
import type { Buffer } from "./split_driver.ts";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 1 << 7;
const USED = 1 << 15;

/** Event suppression flags (2.8.10). */
export const ENABLE = 0;
export const DISABLE = 1;
export const DESC = 2;

/** See above. */
export class PackedDriver {
  readonly memory: GuestMemory;
  readonly size: number;
  /** Guest-physical addresses of the ring and the two event suppression structures. */
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  /** Where the next descriptor goes, and with which wrap counter. */
  next = 0;
  wrap = true;
  #nextUsed = 0;
  #usedWrap = true;
  #nextId = 0;
  readonly #lengths = new Map<number, number>();

  /** @param base Where it may use 16 bytes an entry and 8 more, 16-byte aligned. */
  constructor(memory: GuestMemory, base: number, size: number) {
    this.memory = memory;
    this.size = size;
    this.descriptors = base;
    this.available = base + size * 16;
    this.used = this.available + 4;
    for (let at = base; at < this.used + 4; at++) memory.writeU8(at, 0);
  }

  /** Writes a descriptor with these flags. */
  describe(at: number, { address, length }: Buffer, id: number, flags: number): void {
    this.memory.writeU32(at, address % 2 ** 32);
    this.memory.writeU32(at + 4, Math.floor(address / 2 ** 32));
    this.memory.writeU32(at + 8, length);
    this.memory.writeU16(at + 12, id);
    this.memory.writeU16(at + 14, flags);
  }

  /** Writes an indirect table and gives the descriptor of that. */
  indirect(table: number, buffers: readonly Buffer[]): Buffer {
    buffers.forEach((buffer, i) =>
      this.describe(table + i * 16, buffer, 0x5555, buffer.write ? WRITE : 0)
    );
    return { address: table, length: buffers.length * 16, indirect: true };
  }

  /** Makes a buffer available, its first descriptor last (2.8.6); its id. */
  add(...buffers: readonly Buffer[]): number {
    const id = this.#nextId++ & 0x7fff;
    const writes: (() => void)[] = [];
    for (const [i, buffer] of buffers.entries()) {
      const at = this.descriptors + this.next * 16;
      const flags = (i + 1 < buffers.length ? NEXT : 0) | (buffer.write ? WRITE : 0) |
        (buffer.indirect ? INDIRECT : 0) | (this.wrap ? AVAIL : USED);
      // The id counts in the last descriptor only.
      const shown = i + 1 < buffers.length ? 0x7777 : id;
      writes.push(() => this.describe(at, buffer, shown, flags));
      if (++this.next === this.size) {
        this.next = 0;
        this.wrap = !this.wrap;
      }
    }
    for (const write of writes.reverse()) write();
    this.#lengths.set(id, buffers.length);
    return id;
  }

  /** When interrupts are wanted: always, never, or at a position and wrap counter. */
  setDriverEvent(flags: number, position = 0, wrap = true): void {
    this.memory.writeU16(this.available, position | (wrap ? 1 << 15 : 0));
    this.memory.writeU16(this.available + 2, flags);
  }

  /** When the device wants notifications. */
  get deviceEvent(): { flags: number; position: number; wrap: boolean } {
    const offset = this.memory.readU16(this.used);
    return {
      flags: this.memory.readU16(this.used + 2),
      position: offset & 0x7fff,
      wrap: offset >= 1 << 15,
    };
  }

  /** The buffers that have been given back since this was last asked. */
  takeUsed(): { id: number; length: number }[] {
    const found: { id: number; length: number }[] = [];
    for (;;) {
      const at = this.descriptors + this.#nextUsed * 16;
      const flags = this.memory.readU16(at + 14);
      const [avail, used] = [(flags & AVAIL) !== 0, (flags & USED) !== 0];
      if (avail !== used || used !== this.#usedWrap) return found;
      const id = this.memory.readU16(at + 12);
      const written = (flags & WRITE) !== 0;
      found.push({ id, length: written ? this.memory.readU32(at + 8) : 0 });
      this.#nextUsed += this.#lengths.get(id) ?? 1;
      this.#lengths.delete(id);
      if (this.#nextUsed < this.size) continue;
      this.#nextUsed -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
  }
}
