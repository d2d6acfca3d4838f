/** A hostile driver of the virtio devices of a whole board, one of them a step. */

import { MMIO_BYTES, MmioRegister } from "../../../devices/virtio/transport/mmio.ts";
import { VIRTIO_MMIO } from "../../../hv/pc/layout.ts";
import { VirtioFeature } from "../../../devices/virtio/virtio_bits.ts";
import { configCycles } from "../../devices/pci/support.ts";
import { descriptorsOf, spoil } from "../../devices/virtio/hostile/descriptors.ts";
import { HostileSplitRing } from "../../devices/virtio/hostile/hostile_ring.ts";
import type { GuestTransport } from "../../devices/virtio/hostile/transports/guest_transport.ts";
import { MmioGuest } from "../../devices/virtio/hostile/transports/mmio_guest.ts";
import { PciGuest } from "../../devices/virtio/hostile/transports/pci_guest.ts";
import { RequestMemory } from "../../devices/virtio/hostile/request_memory.ts";
import type { MakeRequest } from "../../devices/virtio/hostile/subjects/subject.ts";
import { REQUESTS } from "../../devices/virtio/hostile/subjects/subjects.ts";
import type { Random } from "../../support/random.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import type { IoBus } from "../../../hv/core/bus/io_bus.ts";

const VIRTIO_VENDOR = 0x1af4;
const FIRST_SLOT = 3;
const LAST_SLOT = 31;
const SUBSYSTEM = 0x2e;
/** Transitional devices have their number as subsystem, modern ones 40h more (4.1.2). */
const NUMBER_MASK = 0x3f;
const MEMORY_BARS = [1, 4];
/** "virt", the first register of a device in memory. */
const MAGIC = 0x7472_6976;
/** Where queues and buffers of a device lie, 64 KiB each. */
export const AREA = 0x10_0000;
const AREA_BYTES = 0x1_0000;
/** Of all devices that a board may have. */
export const AREAS_BYTES = 12 * AREA_BYTES;
const RING_BYTES = 0x800;
const QUEUE_SIZE = 16;
/** ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, one after the other. */
const STATUSES = [1, 3, 11] as const;
const READY = 15;

interface Device {
  readonly guest: GuestTransport;
  readonly request: MakeRequest;
  readonly memory: RequestMemory;
  rings: HostileSplitRing[];
}

/** Does a queue lie there, and not the buffers of its requests? */
export const isInRing = (address: number): boolean => address % AREA_BYTES < AREA_BYTES / 2;

/** What it drives. */
export interface HostileBoard {
  readonly pc: { readonly ports: IoBus; readonly mmio: IoBus };
  readonly memory: GuestMemory;
  serveIo(): void;
}

/** See above. */
export class HostileVirtio {
  readonly #board: HostileBoard;
  readonly #ram: DataView;
  readonly #devices: Device[];

  constructor(board: HostileBoard) {
    const { pc: { ports, mmio }, memory } = board;
    this.#board = board;
    this.#ram = new DataView(memory.memory.buffer, 0, memory.lowBytes);
    const { read } = configCycles(ports);
    const slots = Array.from({ length: LAST_SLOT - FIRST_SLOT + 1 }, (_, i) => FIRST_SLOT + i);
    const onBus = slots.flatMap((slot) => {
      if (read(slot, 0, 0, 2) !== VIRTIO_VENDOR) return [];
      const guest = new PciGuest({ ports, mmio, slot, bars: MEMORY_BARS });
      return [{ guest, number: read(slot, 0, SUBSYSTEM, 2) & NUMBER_MASK }];
    });
    const inMemory = slots.flatMap((_, n) => {
      const base = VIRTIO_MMIO.base + n * MMIO_BYTES;
      if (mmio.read(base + MmioRegister.MagicValue, 4) !== MAGIC) return [];
      const number = mmio.read(base + MmioRegister.DeviceID, 4);
      return [{ guest: new MmioGuest(mmio, base), number }];
    });
    const all = [...onBus, ...inMemory];
    if (all.length * AREA_BYTES > AREAS_BYTES) throw new Error(`${all.length} virtio devices`);
    this.#devices = all.map(({ guest, number }, n) => {
      const request = REQUESTS[number];
      if (request === undefined) throw new Error(`no requests for virtio device ${number}`);
      const memory = new RequestMemory(this.#ram, AREA + n * AREA_BYTES + AREA_BYTES / 2);
      return { guest, request, memory, rings: [] };
    });
  }

  /** One device is set up, and has requests; something is wrong now and then. */
  step(random: Random): void {
    const device = random.pick(this.#devices);
    const { guest } = device;
    if (device.rings.length === 0 || random.chance(30)) this.#initialise(device, random);
    for (let count = random.below(8); count >= 0; count--) this.#request(device, random);
    for (let count = random.below(3); count > 0; count--) guest.scribble(random);
    if (random.chance(20)) random.pick(device.rings).disturb(this.#ram, random);
    guest.notify(random.below(device.rings.length + 1));
    this.#board.serveIo();
    if (random.chance(10)) guest.status = 0;
  }

  #initialise(device: Device, random: Random): void {
    const { guest } = device;
    guest.place(random);
    guest.status = 0;
    for (const status of STATUSES) {
      guest.status = status;
      if (status === 3) this.#negotiate(guest, random);
    }
    const area = AREA + this.#devices.indexOf(device) * AREA_BYTES;
    device.rings = Array.from({ length: 1 + random.below(5) }, (_, index) => {
      const base = area + index * RING_BYTES;
      const place = {
        size: QUEUE_SIZE,
        descriptors: base,
        driverArea: base + 0x200,
        deviceArea: base + 0x400,
      };
      const ring = new HostileSplitRing(index, place);
      ring.clear(this.#ram);
      guest.setQueue(index, random.chance(97) ? place : { ...place, deviceArea: random.u32() });
      guest.enableQueue(index);
      return ring;
    });
    guest.status = READY;
  }

  #negotiate(guest: GuestTransport, random: Random): void {
    guest.accept(0, guest.offered(0) & (random.chance(80) ? 0xffff_ffff : random.u32()));
    guest.accept(1, 1 << (VirtioFeature.VERSION_1 - 32));
  }

  #request({ guest, rings, request, memory }: Device, random: Random): void {
    const ring = random.pick(rings);
    const buffers = request(random, ring.index, memory);
    if (buffers.length === 0) return;
    const chain = descriptorsOf(buffers, "split", random.chance(30), memory);
    if (random.chance(10)) spoil(chain, "split", random, memory);
    ring.add(this.#ram, chain);
    guest.notify(ring.index);
    this.#board.serveIo();
  }
}
