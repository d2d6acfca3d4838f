/**
 * A buffer as the driver has described it: a chain of descriptors, as two lists of ranges of guest RAM,
 * those that the device reads and those that it writes. Whatever a driver writes into a table, what
 * is in the lists has been checked: all of it is RAM.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.6 "Virtqueues", 2.6.4 "Message Framing": where one
 * range ends and the next begins has no meaning.
 */

import type { GuestMemory } from "../../hv/core/guest_memory.ts";
import { eachSlice, type GuestRange } from "../../hv/core/block_engine.ts";

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

  /** Copies from what the device reads, from byte `offset` on; how many bytes there were. */
  read(offset: number, into: Uint8Array): number {
    return eachSlice(this.readable, offset, into.length, (address, length, done) => {
      this.#memory.copyOut(address, length, into, done);
    });
  }

  /** Copies to what the device writes, from byte `offset` on; how many bytes there was room for. */
  write(offset: number, from: Uint8Array): number {
    return eachSlice(this.writable, offset, from.length, (address, length, done) => {
      this.#memory.copyIn(address, length, from, done);
    });
  }
}
