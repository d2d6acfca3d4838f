/**
 * What a packed virtqueue holds next, read from guest memory a second time and independently of the
 * device.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.8 "Packed Virtqueues".
 */

import type { VirtqueueState } from "../../../../devices/virtio/queue/virtqueue_state.ts";
import { addressOfParts, type Expected, type ExpectedChain, type Rules } from "./expected_chain.ts";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 1 << 7;
const USED = 1 << 15;

/** @param ram All of guest RAM, from address 0. */
export function expectedInPacked(ram: DataView, queue: VirtqueueState, rules: Rules): Expected {
  const ring = addressOfParts(queue.descriptors);
  const flagsAt = (index: number) => ram.getUint16(ring + index * 16 + 14, true);
  const first = flagsAt(queue.next);
  // Available: as the wrap counter says; used: not as it says.
  if (Boolean(first & AVAIL) !== queue.nextWrap || Boolean(first & USED) === queue.nextWrap) {
    return "none";
  }
  const chain: ExpectedChain = { id: 0, descriptors: 0, readable: [], writable: [] };
  for (let index = queue.next; chain.descriptors < queue.size; index = (index + 1) % queue.size) {
    const at = ring + index * 16;
    const flags = flagsAt(index);
    chain.descriptors++;
    if (flags & INDIRECT) {
      // 2.8.7: a table stands alone; more than the queue's size is malformed.
      const address = ram.getBigUint64(at, true);
      const length = ram.getUint32(at + 8, true);
      if (!rules.indirect || chain.descriptors > 1 || flags & NEXT) return "malformed";
      if (length === 0 || length % 16 !== 0 || length / 16 > rules.maxSize) return "malformed";
      if (address + BigInt(length) > BigInt(ram.byteLength)) return "malformed";
      for (let i = 0; i < length / 16; i++) {
        const entry = Number(address) + i * 16;
        if (!append(ram, chain, entry, ram.getUint16(entry + 14, true))) return "malformed";
      }
    } else if (!append(ram, chain, at, flags)) return "malformed";
    if (flags & NEXT) continue;
    return { ...chain, id: ram.getUint16(at + 12, true) };
  }
  return "malformed";
}

function append(ram: DataView, chain: ExpectedChain, at: number, flags: number): boolean {
  const address = ram.getBigUint64(at, true);
  const length = ram.getUint32(at + 8, true);
  const isWritten = (flags & WRITE) !== 0;
  if (!isWritten && chain.writable.length > 0) return false;
  if (length === 0) return true;
  if (address + BigInt(length) > BigInt(ram.byteLength)) return false;
  (isWritten ? chain.writable : chain.readable).push({ address: Number(address), length });
  return true;
}
