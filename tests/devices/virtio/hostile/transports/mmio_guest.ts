/**
 * A guest at a virtio device in memory.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.2 "Virtio Over MMIO".
 */

import assert from "node:assert/strict";
import { MMIO_BYTES, MmioRegister } from "../../../../../devices/virtio/transport/mmio.ts";
import type { IoBus } from "../../../../../hv/core/bus/io_bus.ts";
import type { Random } from "../../../../support/random.ts";
import { anyValue, type GuestTransport, type QueuePlace } from "./guest_transport.ts";

const SIZES = [1, 2, 4] as const;

/** See above. */
export class MmioGuest implements GuestTransport {
  readonly isLegacy = false;
  readonly #mmio: IoBus;
  readonly #base: number;

  constructor(mmio: IoBus, base: number) {
    this.#mmio = mmio;
    this.#base = base;
  }

  /** It does not move. */
  place(): void {}

  get status(): number {
    return this.#read(MmioRegister.Status);
  }
  set status(value: number) {
    this.#write(MmioRegister.Status, value);
  }

  offered(word: number): number {
    this.#write(MmioRegister.DeviceFeaturesSel, word);
    return this.#read(MmioRegister.DeviceFeatures);
  }

  accept(word: number, bits: number): void {
    this.#write(MmioRegister.DriverFeaturesSel, word);
    this.#write(MmioRegister.DriverFeatures, bits);
  }

  setQueue(index: number, { size, descriptors, driverArea, deviceArea }: QueuePlace): void {
    this.#write(MmioRegister.QueueSel, index);
    this.#write(MmioRegister.QueueSize, size);
    const parts: [number, number][] = [
      [MmioRegister.QueueDescLow, descriptors],
      [MmioRegister.QueueDriverLow, driverArea],
      [MmioRegister.QueueDeviceLow, deviceArea],
    ];
    for (const [register, address] of parts) {
      this.#write(register, address % 2 ** 32);
      this.#write(register + 4, Math.floor(address / 2 ** 32));
    }
  }

  enableQueue(index: number): void {
    this.#write(MmioRegister.QueueSel, index);
    this.#write(MmioRegister.QueueReady, 1);
  }

  resetQueue(index: number): void {
    this.#write(MmioRegister.QueueSel, index);
    this.#write(index % 2 === 0 ? MmioRegister.QueueReset : MmioRegister.QueueReady, 1 - index % 2);
  }

  notify(index: number): void {
    this.#write(MmioRegister.QueueNotify, index);
  }

  acknowledge(): void {
    this.#write(MmioRegister.InterruptACK, this.#read(MmioRegister.InterruptStatus));
  }

  readConfig(offset: number, size: number): number {
    return this.#mmio.read(this.#base + MmioRegister.Config + offset, size);
  }
  writeConfig(offset: number, size: number, value: number): void {
    this.#mmio.write(this.#base + MmioRegister.Config + offset, size, value);
  }

  scribble(random: Random): number {
    const size = random.chance(70) ? 4 : random.pick(SIZES);
    const value = anyValue(random, size);
    const offset = random.chance(70)
      ? random.pick(Object.values(MmioRegister))
      : random.below(MMIO_BYTES);
    if (random.chance(60)) {
      this.#mmio.write(this.#base + offset, size, value);
      return 0;
    }
    const read = this.#mmio.read(this.#base + offset, size);
    assert.ok(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size), `read ${read}`);
    return read;
  }

  #read(register: number): number {
    return this.#mmio.read(this.#base + register, 4);
  }
  #write(register: number, value: number): void {
    this.#mmio.write(this.#base + register, 4, value);
  }
}
