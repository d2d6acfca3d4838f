/**
 * A driver of one split virtqueue, as a test writes it: descriptors, rings and nothing checked.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.7 "Split Virtqueues".
 */

import { alignUp } from "../../../../hv/core/align.ts";
import type { GuestMemory } from "../../../../hv/core/memory/guest_memory.ts";

/** A buffer of a chain. */
export interface Buffer {
  readonly address: number;
  readonly length: number;
  /** Does the device write it? */
  readonly write?: boolean;
  /** Is it an indirect table? */
  readonly indirect?: boolean;
}

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** See above. */
export class SplitDriver {
  readonly memory: GuestMemory;
  readonly size: number;
  /** Guest-physical addresses of the three parts. */
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  #nextDescriptor = 0;
  #seen = 0;

  /**
   * @param base Where it may use 26 bytes an entry and a few more, 16-byte aligned.
   * @param usedAlignment Of the used ring; a page for legacy devices (2.7.2).
   */
  constructor(memory: GuestMemory, base: number, size: number, usedAlignment = 4) {
    this.memory = memory;
    this.size = size;
    this.descriptors = base;
    this.available = base + size * 16;
    this.used = alignUp(this.available + 6 + size * 2, usedAlignment);
    for (let at = base; at < this.used + 6 + size * 8; at++) memory.writeU8(at, 0);
  }

  /** Writes one descriptor into a table. */
  describe(table: number, index: number, { address, length, write, indirect }: Buffer, next = -1) {
    const at = table + index * 16;
    this.memory.writeU32(at, address % 2 ** 32);
    this.memory.writeU32(at + 4, Math.floor(address / 2 ** 32));
    this.memory.writeU32(at + 8, length);
    const flags = (next < 0 ? 0 : NEXT) | (write ? WRITE : 0) | (indirect ? INDIRECT : 0);
    this.memory.writeU16(at + 12, flags);
    this.memory.writeU16(at + 14, Math.max(0, next));
  }

  /** Writes a chain into an indirect table and gives the descriptor of that. */
  indirect(table: number, buffers: readonly Buffer[]): Buffer {
    buffers.forEach((buffer, i) =>
      this.describe(table, i, buffer, i + 1 < buffers.length ? i + 1 : -1)
    );
    return { address: table, length: buffers.length * 16, indirect: true };
  }

  /** Makes a chain available; its head. */
  add(...buffers: readonly Buffer[]): number {
    const head = this.#nextDescriptor;
    buffers.forEach((buffer, i) => {
      const index = (head + i) % this.size;
      const next = i + 1 < buffers.length ? (index + 1) % this.size : -1;
      this.describe(this.descriptors, index, buffer, next);
    });
    this.#nextDescriptor = (head + buffers.length) % this.size;
    this.publish(head);
    return head;
  }

  /** Puts a head into the available ring, whatever it is. */
  publish(head: number): void {
    const index = this.memory.readU16(this.available + 2);
    this.memory.writeU16(this.available + 4 + (index % this.size) * 2, head);
    this.memory.writeU16(this.available + 2, index + 1);
  }

  /** Available ring flags: 1 for no interrupts. */
  set flags(flags: number) {
    this.memory.writeU16(this.available, flags);
  }

  /** The driver wants an interrupt once the used index has passed this (2.7.7). */
  set usedEvent(index: number) {
    this.memory.writeU16(this.available + 4 + this.size * 2, index);
  }

  /** Used ring flags: 1 for no notifications. */
  get usedFlags(): number {
    return this.memory.readU16(this.used);
  }

  /** The available index at which the device wants to be notified (2.7.10). */
  get availableEvent(): number {
    return this.memory.readU16(this.used + 4 + this.size * 8);
  }

  /** The used index. */
  get usedIndex(): number {
    return this.memory.readU16(this.used + 2);
  }

  /** The buffers that have been given back since this was last asked. */
  takeUsed(): { id: number; length: number }[] {
    const found: { id: number; length: number }[] = [];
    while (this.#seen !== this.usedIndex) {
      const at = this.used + 4 + (this.#seen % this.size) * 8;
      found.push({ id: this.memory.readU32(at), length: this.memory.readU32(at + 4) });
      this.#seen = (this.#seen + 1) & 0xffff;
    }
    return found;
  }
}
