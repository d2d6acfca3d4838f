/** A PCI slot with what the device in it is built with. */

import type { PciBus } from "../../devices/pci/pci_bus.ts";
import type { InterruptPin, PciFunction } from "../../devices/pci/pci_function.ts";
import { Arena } from "../core/state/arena.ts";
import type { Device } from "../core/bus/device.ts";
import type { Lock } from "../core/state/lock.ts";
import type { Fields, RecordType, RecordView } from "../core/state/record.ts";
import type { Timer, Timers } from "../core/time/timer.ts";
import type { DevicePlace, PcBuilder } from "./builder.ts";

/** See above. */
export interface PciSlot extends DevicePlace {
  /** Where INTA# leads. */
  readonly pin: InterruptPin;
  /** Puts the device's one function on the bus. */
  attach(pci: PciFunction): void;
  /** Has something undone when the device leaves. */
  onRemoval(undo: () => void): void;
}

/** Where a slot is. */
export interface SlotPlace {
  readonly bus: PciBus;
  readonly number: number;
  /** Where INTA# leads. */
  readonly pin: InterruptPin;
}

/** A slot whose device is part of the board. */
export class FixedSlot implements PciSlot {
  readonly pin: InterruptPin;
  readonly #place: SlotPlace;
  readonly #builder: PcBuilder;

  constructor(builder: PcBuilder, place: SlotPlace) {
    this.pin = place.pin;
    this.#place = place;
    this.#builder = builder;
  }

  state<F extends Fields>(type: RecordType<F>, name?: string): RecordView<F> {
    return this.#builder.state(type, name);
  }

  lock(name: string): Lock {
    return this.#builder.lock(name);
  }

  timer(name: string, lock: Lock): Timer {
    return this.#builder.timer(name, lock);
  }

  device<D extends Device>(device: D): D {
    return this.#builder.device(device);
  }

  attach(pci: PciFunction): void {
    this.#place.bus.attach(this.#place.number, 0, pci);
  }

  onRemoval(): void {}
}

/**
 * A slot whose device comes and goes, with its state in a part of the arena that is the slot's own.
 * Building it and taking it off changes nothing but this thread's objects; main alone resets the
 * device, after the one and before the other.
 */
export class HotSlot implements PciSlot {
  readonly pin: InterruptPin;
  readonly #place: SlotPlace;
  readonly #timers: Timers;
  readonly #arena: Arena;
  readonly #devices: Device[] = [];
  readonly #undo: (() => void)[] = [];

  /** @param area The slot's part of the arena. */
  constructor(place: SlotPlace, timers: Timers, area: Uint8Array) {
    this.pin = place.pin;
    this.#timers = timers;
    this.#place = place;
    const { buffer, byteOffset, length } = area;
    this.#arena = new Arena(buffer as SharedArrayBuffer, byteOffset, byteOffset + length);
  }

  state<F extends Fields>(type: RecordType<F>, name = type.recordName): RecordView<F> {
    return this.#arena.allocate(type, name);
  }

  lock(name: string): Lock {
    return this.#arena.lock(name);
  }

  timer(name: string, lock: Lock): Timer {
    const timer = this.#timers.create(name, lock, this.#arena);
    this.onRemoval(() => this.#timers.remove(timer));
    return timer;
  }

  device<D extends Device>(device: D): D {
    this.#devices.push(device);
    return device;
  }

  attach(pci: PciFunction): void {
    const { bus, number } = this.#place;
    bus.attach(number, 0, pci);
    this.onRemoval(() => bus.detach(number, 0));
  }

  onRemoval(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Power-on state of the device. */
  reset(): void {
    for (const device of this.#devices) device.reset();
  }

  /** Takes the device off this thread's board. */
  remove(): void {
    for (const undo of this.#undo.reverse()) undo();
  }
}
