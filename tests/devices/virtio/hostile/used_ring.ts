/**
 * What a driver finds of the buffers that a device has given back.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.7.8 "The Virtqueue Used Ring", 2.8.2, 2.8.6 (packed).
 */

import assert from "node:assert/strict";
import type { DescriptorChain } from "../../../../devices/virtio/queue/descriptor_chain.ts";
import type { VirtqueueState } from "../../../../devices/virtio/queue/virtqueue_state.ts";
import type { GuestRange } from "../../../../hv/core/media/block_engine.ts";
import { addressOfParts } from "./expected_chain.ts";

const AVAIL = 1 << 7;
const USED = 1 << 15;

/** The parts of a ring: what the device writes, its notification wishes last, and what it reads. */
export function ringParts(
  { size, descriptors, driverArea, deviceArea }: VirtqueueState,
  isPacked: boolean,
): { written: GuestRange[]; read: GuestRange[] } {
  const at = (halves: Uint32Array, length: number) => ({ address: addressOfParts(halves), length });
  const ring = at(descriptors, size * 16);
  if (isPacked) return { written: [ring, at(deviceArea, 4)], read: [ring, at(driverArea, 4)] };
  return { written: [at(deviceArea, 6 + size * 8)], read: [ring, at(driverArea, 6 + size * 2)] };
}

/** How far a device is in giving back, before it gives something back. */
export interface UsedMark {
  readonly isPacked: boolean;
  readonly used: number;
  readonly wrap: boolean;
  readonly size: number;
  /** Of what is written: split, the used ring, packed, the descriptors. */
  readonly ring: number;
  /** Bytes there. */
  readonly bytes: Uint8Array;
}

/** See above. */
export function usedMark(state: VirtqueueState, ram: DataView, isPacked: boolean): UsedMark {
  const { used, usedWrap: wrap, size } = state;
  const [{ address: ring, length }] = ringParts(state, isPacked).written;
  return { isPacked, used, wrap, size, ring, bytes: bytesAt(ram, ring, length).slice() };
}

/** Has just this been given back since then, the last one last? */
export function checkGiven(
  before: UsedMark,
  given: readonly { readonly chain: DescriptorChain; readonly written?: number }[],
  ram: DataView,
): void {
  const { isPacked, used, size, ring, bytes } = before;
  if (given.length === 0) {
    return assert.deepEqual(bytesAt(ram, ring, bytes.length), bytes, "nothing is given back");
  }
  const { chain, written = 0 } = given[given.length - 1];
  if (isPacked) return checkPacked(before, given.slice(0, -1), chain, written, ram);
  const at = ring + 4 + ((used + given.length - 1) % size) * 8;
  assert.equal(ram.getUint16(ring + 2, true), (used + given.length) & 0xffff, "the used index");
  assert.equal(ram.getUint32(at, true), chain.id, "the buffer that is given back");
  assert.equal(ram.getUint32(at + 4, true), written, "the bytes that were written");
}

function checkPacked(
  { used, wrap, size, ring }: UsedMark,
  earlier: readonly { readonly chain: DescriptorChain }[],
  chain: DescriptorChain,
  written: number,
  ram: DataView,
): void {
  const position = earlier.reduce((sum, { chain }) => sum + chain.descriptors, used);
  const at = ring + (position % size) * 16;
  const round = Math.floor(position / size) % 2 === 0 ? wrap : !wrap;
  const flags = ram.getUint16(at + 14, true);
  assert.deepEqual([Boolean(flags & AVAIL), Boolean(flags & USED)], [round, round], "used");
  assert.equal(ram.getUint16(at + 12, true), chain.id, "the buffer that is given back");
  if (written > 0) assert.equal(ram.getUint32(at + 8, true), written, "the bytes written");
}

function bytesAt(ram: DataView, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(ram.buffer, ram.byteOffset, ram.byteLength);
  return bytes.subarray(at, at + length);
}
