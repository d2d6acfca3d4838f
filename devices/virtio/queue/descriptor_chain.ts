/**
 * A buffer as the driver has described it: a chain of descriptors, as two lists of ranges of guest RAM,
 * those that the device reads and those that it writes. Whatever a driver writes into a table, what
 * is in the lists has been checked: all of it is RAM.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.6 "Virtqueues", 2.6.4 "Message Framing": where one
 * range ends and the next begins has no meaning.
 */

import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import type { GuestRange } from "../../../hv/core/media/block_engine.ts";

/** What is wrong with a queue, of which a driver without faults never hears. */
export const VirtqueueFault = {
  none: 0,
  /** The ring does not lie in RAM, or not aligned. */
  ringAddress: 1,
  /** More buffers are available than the ring holds, or the index went backwards. */
  availableIndex: 2,
  /** A descriptor's number is beyond its table. */
  descriptorIndex: 3,
  /** A chain with more descriptors than its queue: one that goes round in a circle. */
  chainLength: 4,
  /** A buffer that is not RAM. */
  bufferAddress: 5,
  /** What the device reads comes behind what it writes (2.7.4.2). */
  order: 6,
  /** An indirect table within another, with a next descriptor, not negotiated, or of a bad length. */
  indirect: 7,
  /** More than 4 GiB in one chain (2.7.5.2). */
  bytes: 8,
  /** The device cannot make sense of what is in it: it has no way to answer. */
  contents: 9,
} as const;
/** One of `VirtqueueFault`. */
export type VirtqueueFault = typeof VirtqueueFault[keyof typeof VirtqueueFault];

const MAX_BYTES = 2 ** 32;

/** See above. */
export class DescriptorChain {
  /** The number by which the driver knows it; for who reads descriptors. */
  id = 0;
  /** Descriptors that it takes in its ring. */
  descriptors = 1;
  /** What the device reads. */
  readonly readable: GuestRange[] = [];
  /** What the device writes. */
  readonly writable: GuestRange[] = [];
  readableBytes = 0;
  writableBytes = 0;
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Appends a buffer of the guest's; for who reads descriptors. */
  add(address: number, length: number, isWritable: boolean): VirtqueueFault {
    if (!isWritable && this.writable.length > 0) return VirtqueueFault.order;
    if (length === 0) return VirtqueueFault.none;
    if (this.#memory.offsetOf(address, length) < 0) return VirtqueueFault.bufferAddress;
    if (this.readableBytes + this.writableBytes + length > MAX_BYTES) return VirtqueueFault.bytes;
    if (isWritable) {
      this.writable.push({ address, length });
      this.writableBytes += length;
    } else {
      this.readable.push({ address, length });
      this.readableBytes += length;
    }
    return VirtqueueFault.none;
  }

  /**
   * Copies from what the device reads, from its byte `offset` on, to `into`, from its byte `at` on, at
   * most `length` bytes; how many there were.
   */
  read(offset: number, into: Uint8Array, at = 0, length: number = into.length - at): number {
    return this.#copy(this.readable, offset, into, at, length);
  }

  /** The reverse, to what the device writes; how many bytes there was room for. */
  write(offset: number, from: Uint8Array, at = 0, length: number = from.length - at): number {
    return this.#copy(this.writable, offset, from, at, length);
  }

  #copy(
    ranges: readonly GuestRange[],
    offset: number,
    bytes: Uint8Array,
    at: number,
    most: number,
  ): number {
    const memory = this.#memory;
    let skip = offset;
    let done = 0;
    for (const { address, length } of ranges) {
      if (done === most) break;
      const count = Math.min(length - skip, most - done);
      if (count > 0) {
        if (ranges === this.writable) memory.copyIn(address + skip, count, bytes, at + done);
        else memory.copyOut(address + skip, count, bytes, at + done);
        done += count;
      }
      skip = Math.max(0, skip - length);
    }
    return done;
  }
}
