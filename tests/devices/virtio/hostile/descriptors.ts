/**
 * Descriptors as a driver writes them that means no good: right but for one thing, or for many. Their
 * layout differs between split and packed virtqueues (VIRTIO 1.3, 2.7.5 and 2.8.13).
 */

import { DescriptorFlag } from "../../../../devices/virtio/queue/descriptor_table.ts";
import type { Random } from "../../../support/random.ts";
import type { Buffer } from "../queue/split_driver.ts";
import type { RequestMemory } from "./request_memory.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

/** Which of the two. */
export type RingForm = "split" | "packed";

/** A descriptor; in a packed ring `next` stands for the buffer's id. */
export interface Descriptor {
  address: number;
  length: number;
  flags: number;
  next: number;
}

/** A write of the guest's; where there is no memory it is dropped. */
export function poke(ram: DataView, at: number, size: number, value: number): void {
  if (at < 0 || at + size > ram.byteLength) return;
  if (size === 1) ram.setUint8(at, value);
  else if (size === 2) ram.setUint16(at, value, true);
  else ram.setUint32(at, value, true);
}

/** Writes a descriptor. */
export function describe(ram: DataView, at: number, form: RingForm, descriptor: Descriptor): void {
  const { address, length, flags, next } = descriptor;
  poke(ram, at, 4, address % 2 ** 32);
  poke(ram, at + 4, 4, Math.floor(address / 2 ** 32));
  poke(ram, at + 8, 4, length);
  poke(ram, at + 12, 2, form === "split" ? flags : next);
  poke(ram, at + 14, 2, form === "split" ? next : flags);
}

/** Guest-physical addresses at which something is, ends or is not. */
export const anyAddress = (random: Random): number =>
  random.chance(50) ? random.below(0x1_0000) : random.pick(EDGES);
const EDGES = [0, 0xfff0, 0xffff, 0x1_0000, 0x1_8000, 0xc000_0000, 0xffff_ffff, 2 ** 32, 2 ** 63];

/** The descriptors of a request as a driver without faults writes them, directly or in a table. */
export function descriptorsOf(
  buffers: readonly Buffer[],
  form: RingForm,
  indirect: boolean,
  memory: RequestMemory,
): Descriptor[] {
  const chain = buffers.map(({ address, length, write }, i) => ({
    address,
    length,
    flags: (write ? WRITE : 0) | (i + 1 < buffers.length ? NEXT : 0),
    next: i + 1 < buffers.length ? i + 1 : 0,
  }));
  if (!indirect) return chain;
  const table = memory.take(chain.length * 16);
  chain.forEach((descriptor, i) => describe(memory.ram, table.address + i * 16, form, descriptor));
  return [{ address: table.address, length: table.length, flags: INDIRECT, next: 0 }];
}

/** One thing in a chain is wrong. */
export function spoil(
  chain: Descriptor[],
  form: RingForm,
  random: Random,
  memory: RequestMemory,
): void {
  const descriptor = random.pick(chain);
  switch (random.below(8)) {
    case 0:
      descriptor.address = anyAddress(random);
      break;
    case 1:
      descriptor.length = random.pick([0, 1, 15, 17, 0x8000, 0x1_0000, 0xffff_ffff, random.u32()]);
      break;
    case 2:
      descriptor.flags ^= WRITE;
      break;
    case 3:
      // Round in a circle, beyond the table, or to wherever.
      descriptor.flags |= NEXT;
      descriptor.next = random.pick([0, random.below(8), 0x100, 0xffff]);
      break;
    case 4:
      descriptor.flags ^= INDIRECT;
      break;
    case 5:
      descriptor.flags = random.u32() & 0xffff;
      break;
    case 6:
      descriptor.flags ^= NEXT;
      break;
    default:
      if (random.chance(50)) chain.splice(0, chain.length, descriptor);
      spoilTable(descriptor, form, random, memory);
  }
}

/** A table within a table, or one of many descriptors that all lead to the same place. */
function spoilTable(
  descriptor: Descriptor,
  form: RingForm,
  random: Random,
  memory: RequestMemory,
): void {
  const entries = random.pick([1, 2, 3, 40, 300]);
  const table = memory.take(entries * 16);
  const flags = random.pick([NEXT, NEXT | WRITE, INDIRECT, WRITE]);
  const length = random.pick([1, 64, 0x4000]);
  const entry = (index: number) => table.address + index * 16;
  const odd = random.below(2 * entries);
  for (let i = 0; i < entries; i++) {
    const address = i === odd ? anyAddress(random) : 0x8000;
    describe(memory.ram, entry(i), form, { address, length, flags, next: i + 1 });
  }
  describe(memory.ram, entry(entries - 1), form, {
    address: 0x8000,
    length,
    flags: random.pick([WRITE, flags]),
    next: random.below(entries),
  });
  descriptor.address = table.address;
  descriptor.length = entries * 16 + (random.chance(10) ? random.below(16) : 0);
  descriptor.flags = INDIRECT;
}
