/** What the parts of the board (hv/pc/) are built with: state, locks, lines, buses, timers. */

import type { PcInterrupts } from "../../devices/interrupts/pc_interrupts.ts";
import type { AcceleratedVm } from "../accel/accelerator.ts";
import type { BoardConfig } from "./board_config.ts";
import type { Control } from "../core/control.ts";
import type { Arena } from "../core/state/arena.ts";
import { BlockPort, BlockPortState } from "../core/media/block.ts";
import type { Clock } from "../core/time/clock.ts";
import type { Device } from "../core/bus/device.ts";
import type { GuestMemory } from "../core/memory/guest_memory.ts";
import { IoBus } from "../core/bus/io_bus.ts";
import { type IrqLine, IrqLines } from "../core/bus/irq.ts";
import type { Lock } from "../core/state/lock.ts";
import { RateLimit, RateLimitState, type Rates } from "../core/time/rate_limit.ts";
import {
  type Fields,
  record,
  type RecordType,
  type RecordView,
  words,
} from "../core/state/record.ts";
import { type Timer, Timers } from "../core/time/timer.ts";
import { makeInterrupts } from "./make_interrupts.ts";

/** What the board is built on. */
export interface PcContext {
  readonly arena: Arena;
  /** Where the interrupt controllers' state lies, so that the rest lies alike without them. */
  readonly chipArena: Arena;
  readonly memory: GuestMemory;
  readonly vm: AcceleratedVm;
  readonly clock: Clock;
  readonly control: Control;
  /** The descriptor that wakes the I/O worker; without one, nobody but the board's threads does. */
  readonly doorbell?: number;
  /** Interrupt controllers and timers for an accelerator that has none of its own. */
  readonly PcInterrupts?: typeof PcInterrupts;
}

/** A drive's ports: its controller's and, for the built-in firmware, the firmware's. */
export interface DriveSlot {
  /** Index in `BoardConfig.drives`, and among the media of the I/O worker. */
  readonly medium: number;
  readonly ports: readonly { readonly port: BlockPort; readonly lock: Lock }[];
  readonly limit: RateLimit | undefined;
}

/** What a device is built with, wherever it is put. Every thread makes the same calls in order. */
export interface DevicePlace {
  /** A state record. */
  state<F extends Fields>(type: RecordType<F>, name?: string): RecordView<F>;
  /** A lock of the device `name`. */
  lock(name: string): Lock;
  /** A timer; `lock` is held while it fires. */
  timer(name: string, lock: Lock): Timer;
  /** Has a device reset with the board, in the order of the calls; gives it back. */
  device<D extends Device>(device: D): D;
}

/** A reset of the machine: by switching it on, or by its reset line. */
export type ResetKind = "powerOn" | "reset";

const BusState = record("buses", 1, { ports: words(1), memory: words(1) });
const PORTS = 0x1_0000;
/** Guest-physical addresses that a double holds exactly, and more than any processor has. */
const ADDRESSES = 2 ** 52;

/** See above. Every thread calls the same methods in the same order. */
export class PcBuilder implements DevicePlace {
  readonly config: BoardConfig;
  readonly arena: Arena;
  readonly memory: GuestMemory;
  readonly vm: AcceleratedVm;
  readonly clock: Clock;
  readonly control: Control;
  /** The descriptor that wakes the I/O worker. */
  readonly doorbell: number | undefined;
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly timers: Timers;
  readonly irqs: IrqLines;
  /** Interrupt controllers and timers, where the accelerator has none of its own. */
  readonly interrupts: PcInterrupts | undefined;
  readonly #devices: Device[] = [];

  constructor(config: BoardConfig, context: PcContext) {
    const { arena, memory, vm, clock, control } = context;
    this.config = config;
    this.arena = arena;
    this.memory = memory;
    this.vm = vm;
    this.clock = clock;
    this.control = control;
    this.doorbell = context.doorbell;
    const buses = arena.allocate(BusState, "buses");
    this.ports = new IoBus("port", PORTS, buses.ports);
    this.mmio = new IoBus("memory", ADDRESSES, buses.memory);
    this.timers = new Timers(arena, clock, (deadlineNs) => control.wakeBy(deadlineNs));
    this.interrupts = context.PcInterrupts &&
      makeInterrupts(context.PcInterrupts, { ...context, timers: this.timers, cpus: config.cpus });
    this.irqs = new IrqLines(arena, this.interrupts ?? vm);
  }

  state<F extends Fields>(type: RecordType<F>, name = type.recordName): RecordView<F> {
    return this.arena.allocate(type, name);
  }

  lock(name: string): Lock {
    return this.arena.lock(name);
  }

  timer(name: string, lock: Lock): Timer {
    return this.timers.create(name, lock);
  }

  /** A new source on an interrupt line. */
  irq(gsi: number): IrqLine {
    return this.irqs.line(gsi);
  }

  /** Delivers a message-signalled interrupt. */
  sendMsi(address: number, data: number): void {
    (this.interrupts ?? this.vm).sendMsi(address, data);
  }

  device<D extends Device>(device: D): D {
    this.#devices.push(device);
    return device;
  }

  /** What may be done with the medium of a drive in a second, where that is limited. */
  rateLimit(
    name: string,
    rates: Rates | undefined,
    place: DevicePlace = this,
  ): RateLimit | undefined {
    if (rates === undefined) return undefined;
    const timer = place.timer(`${name}.limit`, place.lock(`${name}.limit`));
    const state = place.state(RateLimitState, `${name}.limit`);
    return place.device(new RateLimit(rates, { state, clock: this.clock, timer }));
  }

  /** A controller's or the firmware's end of a medium. */
  blockPort(name: string, place: DevicePlace = this): BlockPort {
    return new BlockPort(place.state(BlockPortState, name), () => this.control.ringIo());
  }

  /** Power-on state of every device. */
  resetDevices(): void {
    for (const device of this.#devices) device.reset();
    this.irqs.reset();
  }
}
