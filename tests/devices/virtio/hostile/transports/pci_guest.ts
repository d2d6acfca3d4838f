/**
 * A guest at a virtio device on the PCI bus.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.1 "Virtio Over PCI Bus".
 */

import assert from "node:assert/strict";
import { CommonConfig } from "../../../../../devices/virtio/transport/pci_common.ts";
import type { Random } from "../../../../support/random.ts";
import { configCycles } from "../../../pci/support.ts";
import { anyValue, type GuestTransport, type QueuePlace } from "./guest_transport.ts";
import type { IoBus } from "../../../../../hv/core/bus/io_bus.ts";

const BAR0 = 0x10;
const COMMAND = 0x04;
const MSIX_CONTROL = 0x42;
const VENDOR_CAPABILITY = 0x09;
const COMMON = 1;
const NOTIFY = 2;
const ISR = 3;
const DEVICE = 4;
const SIZES = [1, 2, 4] as const;

/** Where the function is. */
export interface PciPlace {
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly slot: number;
  /** Numbers of the function's memory BARs: MSI-X and the structures. */
  readonly bars: readonly number[];
}

/** See above. */
export class PciGuest implements GuestTransport {
  readonly isLegacy: boolean = false;
  /** Where this guest puts the legacy registers, BAR 0. */
  readonly legacyBase: number;
  readonly #slot: number;
  readonly #ports: IoBus;
  readonly #mmio: IoBus;
  readonly #config;
  /** Addresses of the transport's structures by cfg_type. */
  readonly #structures = new Map<number, number>();
  readonly #bars: readonly number[];
  readonly #vectors: number;

  constructor({ ports, mmio, slot, bars }: PciPlace) {
    this.#ports = ports;
    this.#mmio = mmio;
    this.#slot = slot;
    this.#bars = bars;
    this.legacyBase = 0x6000 + slot * 0x100;
    this.#config = configCycles(ports);
    const read = (offset: number, size: number) => this.#config.read(slot, 0, offset, size);
    // Looking leaves no trace: a twin's guest looks, too.
    const selected = ports.read(0xcf8, 4);
    for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) {
      if (read(at, 1) !== VENDOR_CAPABILITY) continue;
      this.#structures.set(read(at + 3, 1), this.#barBase(read(at + 4, 1)) + read(at + 8, 4));
    }
    this.#vectors = (read(MSIX_CONTROL, 2) & 0x7ff) + 1;
    ports.write(0xcf8, 4, selected);
  }

  place(random: Random): void {
    const write = (offset: number, size: number, value: number) =>
      this.#config.write(this.#slot, 0, offset, size, value);
    write(COMMAND, 2, 0);
    for (const index of this.#bars) write(BAR0 + index * 4, 4, this.#barBase(index));
    write(BAR0, 4, this.legacyBase);
    write(COMMAND, 2, 7);
    write(MSIX_CONTROL, 2, random.chance(60) ? 0x8000 : 0);
    for (let vector = 0; vector < this.#vectors; vector++) {
      // Now and then to a processor that there is not, or to none.
      const address = random.chance(80)
        ? 0xfee0_0000
        : random.pick([0xfee7_7000, 0xfeef_f00c, anyValue(random, 4)]);
      const high = random.chance(95) ? 0 : random.u32();
      const values = [address, high, 0x40 + vector, random.chance(80) ? 0 : 1];
      values.forEach((value, i) => this.#write(this.#table + vector * 16 + i * 4, 4, value));
    }
  }

  get status(): number {
    return this.#read(this.#common(CommonConfig.device_status), 1);
  }
  set status(value: number) {
    this.#write(this.#common(CommonConfig.device_status), 1, value);
  }

  offered(word: number): number {
    this.#write(this.#common(CommonConfig.device_feature_select), 4, word);
    return this.#read(this.#common(CommonConfig.device_feature), 4);
  }

  accept(word: number, bits: number): void {
    this.#write(this.#common(CommonConfig.driver_feature_select), 4, word);
    this.#write(this.#common(CommonConfig.driver_feature), 4, bits);
  }

  setQueue(index: number, { size, descriptors, driverArea, deviceArea }: QueuePlace): void {
    this.#write(this.#common(CommonConfig.queue_select), 2, index);
    this.#write(this.#common(CommonConfig.queue_size), 2, size);
    this.#write(this.#common(CommonConfig.queue_msix_vector), 2, (index + 1) & 0xffff);
    const parts: [number, number][] = [
      [CommonConfig.queue_desc, descriptors],
      [CommonConfig.queue_driver, driverArea],
      [CommonConfig.queue_device, deviceArea],
    ];
    for (const [register, address] of parts) {
      this.#write(this.#common(register), 4, address % 2 ** 32);
      this.#write(this.#common(register + 4), 4, Math.floor(address / 2 ** 32));
    }
  }

  enableQueue(index: number): void {
    this.#write(this.#common(CommonConfig.queue_select), 2, index);
    this.#write(this.#common(CommonConfig.queue_enable), 2, 1);
  }

  resetQueue(index: number): void {
    this.#write(this.#common(CommonConfig.queue_select), 2, index);
    this.#write(this.#common(CommonConfig.queue_reset), 2, 1);
  }

  notify(index: number): void {
    this.#write(this.#structure(NOTIFY), 2, index);
  }

  acknowledge(): void {
    this.#read(this.#structure(ISR), 1);
  }

  readConfig(offset: number, size: number): number {
    return this.#read(this.#structure(DEVICE) + offset, size);
  }
  writeConfig(offset: number, size: number, value: number): void {
    this.#write(this.#structure(DEVICE) + offset, size, value);
  }

  scribble(random: Random): number {
    const size = random.pick(SIZES);
    const value = anyValue(random, size);
    const isRead = random.chance(40);
    if (random.chance(30)) return this.#scribbleConfig(random, size, isRead, value);
    if (random.chance(20)) {
      const port = this.legacyBase + random.below(0x20);
      if (isRead) return this.#ports.read(port, size);
      this.#ports.write(port, size, value);
      return 0;
    }
    const at = random.chance(60)
      ? this.#common(random.below(0x40))
      : random.chance(30)
      ? this.#structure(DEVICE) + random.below(64)
      : random.chance(30)
      ? this.#table + random.below(this.#vectors * 16 + 32)
      : this.#barBase(random.pick(this.#bars)) + random.below(0x4004);
    return isRead ? this.#read(at, size) : this.#write(at, size, value);
  }

  /** Base addresses on each other and anywhere, decoding off, MSI-X off, the access capability. */
  #scribbleConfig(random: Random, size: number, isRead: boolean, value: number): number {
    const offset = random.chance(50)
      ? random.pick([COMMAND, BAR0, BAR0 + 4, BAR0 + 16, MSIX_CONTROL])
      : random.chance(50)
      ? 0x98 + random.below(20)
      : random.below(256);
    const aligned = offset & ~(size - 1);
    if (isRead) return this.#config.read(this.#slot, 0, aligned, size);
    const base = this.#barBase(random.pick(this.#bars)) + random.below(4) * 0x1000;
    const chosen = offset >= BAR0 && offset < BAR0 + 24 && random.chance(70) ? base : value;
    this.#config.write(this.#slot, 0, aligned, size, chosen % 2 ** (8 * size));
    return 0;
  }

  #barBase(index: number): number {
    return 0xd000_0000 + this.#slot * 0x10_0000 + index * 0x1_0000;
  }
  get #table(): number {
    return this.#barBase(this.#bars[0]);
  }
  #common(register: number): number {
    return this.#structure(COMMON) + register;
  }
  #structure(type: number): number {
    return this.#structures.get(type)!;
  }
  #read(address: number, size: number): number {
    const value = this.#mmio.read(address, size);
    assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * size), `read ${value}`);
    return value;
  }
  #write(address: number, size: number, value: number): number {
    this.#mmio.write(address, size, value);
    return 0;
  }
}
