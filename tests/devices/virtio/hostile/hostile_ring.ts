/**
 * A split virtqueue of a driver that means no good: what is in memory is right but for one thing, or
 * for many.
 */

import { DescriptorFlag } from "../../../../devices/virtio/descriptor_table.ts";
import type { Random } from "../../../support/random.ts";
import type { Buffer } from "../split_driver.ts";
import type { QueuePlace } from "./guest_transport.ts";
import type { RequestMemory } from "./request_memory.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

/** Guest-physical addresses at which something is, ends or is not. */
export const anyAddress = (random: Random): number =>
  random.chance(50) ? random.below(0x1_0000) : random.pick([
    0,
    0xfff0,
    0xffff,
    0x1_0000,
    0x1_8000,
    0xc000_0000,
    0xffff_ffff,
    2 ** 32,
    2 ** 63,
  ]);

interface Descriptor {
  address: number;
  length: number;
  flags: number;
  next: number;
}

/** See above: plain data, of which a copy goes on alike. */
export class HostileRing {
  readonly index: number;
  readonly place: QueuePlace;
  /** The descriptor that is used next. */
  next = 0;

  constructor(index: number, place: QueuePlace) {
    this.index = index;
    this.place = place;
  }

  /** Clears its three parts, as drivers do before they enable it. */
  clear(ram: DataView): void {
    const { size, descriptors, driverArea, deviceArea } = this.place;
    const parts = [[descriptors, size * 16], [driverArea, 6 + size * 2], [
      deviceArea,
      6 + size * 8,
    ]];
    for (const [at, length] of parts) {
      for (let i = 0; i < length; i++) poke(ram, at + i, 1, 0);
    }
  }

  /** Makes a chain available. */
  add(ram: DataView, descriptors: readonly Descriptor[]): void {
    const { size } = this.place;
    const head = this.next % size;
    descriptors.forEach((descriptor, i) => {
      const index = (head + i) % size;
      // Whatever `next` says of those behind it counts from the head.
      const next = descriptor.next > 0xff ? descriptor.next : (head + descriptor.next) % size;
      describe(ram, this.place.descriptors + index * 16, { ...descriptor, next });
    });
    this.next = (head + descriptors.length) % size;
    this.publish(ram, head);
  }

  /** Puts a head into the available ring, whatever it is. */
  publish(ram: DataView, head: number): void {
    const { driverArea, size } = this.place;
    const index = this.available(ram);
    poke(ram, driverArea + 4 + (index % size) * 2, 2, head);
    this.setAvailable(ram, index + 1);
  }

  available(ram: DataView): number {
    const at = this.place.driverArea + 2;
    return at >= 0 && at + 2 <= ram.byteLength ? ram.getUint16(at, true) : 0;
  }

  setAvailable(ram: DataView, index: number): void {
    poke(ram, this.place.driverArea + 2, 2, index);
  }

  /** Overwrites something in one of its parts. */
  scribble(ram: DataView, random: Random): void {
    const { descriptors, driverArea, deviceArea, size } = this.place;
    const [base, length] = random.pick([
      [descriptors, size * 16],
      [driverArea, 6 + size * 2],
      [deviceArea, 6 + size * 8],
    ]);
    const width = random.pick([1, 2, 4]);
    poke(
      ram,
      base + random.below(length),
      width,
      random.chance(50) ? random.below(20) : random.u32(),
    );
  }
}

/** The descriptors of a request as a driver without faults writes them, directly or indirectly. */
export function descriptorsOf(
  buffers: readonly Buffer[],
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
  chain.forEach((descriptor, i) => describe(memory.ram, table.address + i * 16, descriptor));
  return [{ address: table.address, length: table.length, flags: INDIRECT, next: 0 }];
}

/** One thing in a chain is wrong. */
export function spoil(chain: Descriptor[], random: Random, memory: RequestMemory): void {
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
      // A table within a table, or one of many descriptors that all lead to the same place.
      spoilTable(descriptor, random, memory);
  }
}

function spoilTable(descriptor: Descriptor, random: Random, memory: RequestMemory): void {
  const entries = random.pick([1, 2, 3, 40, 300]);
  const table = memory.take(entries * 16);
  const inner = random.pick([NEXT, NEXT | WRITE, INDIRECT, WRITE]);
  const length = random.pick([1, 64, 0x4000]);
  for (let i = 0; i < entries; i++) {
    const address = random.chance(98) ? 0x8000 : anyAddress(random);
    describe(memory.ram, table.address + i * 16, { address, length, flags: inner, next: i + 1 });
  }
  describe(memory.ram, table.address + (entries - 1) * 16, {
    address: 0x8000,
    length,
    flags: random.pick([WRITE, inner]),
    next: random.below(entries),
  });
  descriptor.address = table.address;
  descriptor.length = entries * 16 + (random.chance(10) ? random.below(16) : 0);
  descriptor.flags = INDIRECT;
}

function describe(ram: DataView, at: number, { address, length, flags, next }: Descriptor): void {
  poke(ram, at, 4, address % 2 ** 32);
  poke(ram, at + 4, 4, Math.floor(address / 2 ** 32));
  poke(ram, at + 8, 4, length);
  poke(ram, at + 12, 2, flags);
  poke(ram, at + 14, 2, next);
}

/** A write of the guest's; where there is no memory it is dropped. */
function poke(ram: DataView, at: number, size: number, value: number): void {
  if (at < 0 || at + size > ram.byteLength) return;
  if (size === 1) ram.setUint8(at, value);
  else if (size === 2) ram.setUint16(at, value, true);
  else ram.setUint32(at, value, true);
}
