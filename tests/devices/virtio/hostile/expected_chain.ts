/**
 * What a split virtqueue holds next, read from guest memory a second time and independently of the
 * device: the buffer that it must take, or that what is there is malformed.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.7 "Split Virtqueues".
 */

import type { GuestRange } from "../../../../hv/core/media/block_engine.ts";
import type { VirtqueueState } from "../../../../devices/virtio/queue/virtqueue_state.ts";

/** A buffer as the device must see it; descriptors without bytes are left out. */
export interface ExpectedChain {
  readonly id: number;
  /** Entries of a packed ring that it takes up. */
  descriptors: number;
  readonly readable: GuestRange[];
  readonly writable: GuestRange[];
}

/** What the device must find: nothing, something malformed, or a buffer. */
export type Expected = "none" | "malformed" | ExpectedChain;

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** What the queue allows. */
export interface Rules {
  readonly maxSize: number;
  readonly indirect: boolean;
}

/** An address from its halves. */
export const addressOfParts = ([low, high]: Uint32Array): number => low + high * 2 ** 32;

/** @param ram All of guest RAM, from address 0. */
export function expectedInSplit(
  ram: DataView,
  queue: VirtqueueState,
  { maxSize, indirect }: Rules,
): Expected {
  const available = addressOfParts(queue.driverArea);
  const waiting = (ram.getUint16(available + 2, true) - queue.next) & 0xffff;
  if (waiting === 0) return "none";
  if (waiting > queue.size) return "malformed";
  const id = ram.getUint16(available + 4 + (queue.next % queue.size) * 2, true);
  const chain: ExpectedChain = { id, descriptors: 0, readable: [], writable: [] };
  const table = { at: addressOfParts(queue.descriptors), entries: queue.size };
  return follow(ram, chain, { ...table, first: id, limit: maxSize, indirect })
    ? chain
    : "malformed";
}

interface Table {
  readonly at: number;
  readonly entries: number;
  readonly first: number;
  readonly limit: number;
  readonly indirect: boolean;
}

/** Appends the descriptors from the first on; false: they are malformed. */
function follow(ram: DataView, chain: ExpectedChain, table: Table): boolean {
  for (let index = table.first, left = table.limit;;) {
    if (left-- === 0 || index >= table.entries) return false;
    const at = table.at + index * 16;
    const address = ram.getBigUint64(at, true);
    const length = ram.getUint32(at + 8, true);
    const flags = ram.getUint16(at + 12, true);
    const isRam = address + BigInt(length) <= BigInt(ram.byteLength);
    if (flags & INDIRECT) {
      if (!table.indirect || flags & NEXT || length === 0 || length % 16 !== 0 || !isRam) {
        return false;
      }
      const inner = { at: Number(address), entries: length / 16, first: 0, indirect: false };
      return follow(ram, chain, { ...inner, limit: table.limit });
    }
    const isWritten = (flags & WRITE) !== 0;
    if (!isWritten && chain.writable.length > 0) return false;
    if (length > 0) {
      if (!isRam) return false;
      (isWritten ? chain.writable : chain.readable).push({ address: Number(address), length });
    }
    if ((flags & NEXT) === 0) return true;
    index = ram.getUint16(at + 14, true);
  }
}
