/**
 * 8254 programmable interval timer: three 16-bit counters at 1.193182 MHz, ports 40h-43h. OUT 0 is
 * IRQ 0; channel 2 belongs to port 61h, which must share this device's lock.
 *
 * Reference: Intel 8254 data sheet (order number 231164); IBM PC/AT technical reference for the gates.
 *
 * IRQ 0 is an edge: the line stays high between the rises of OUT 0, and falls just before each. Rises
 * that the host was too late for are lost, as on a PC whose interrupts were off, and none follows
 * another by less than 50 µs, however small the count.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { bytesOf, f64, flag, list, record } from "../../hv/core/state/record.ts";
import type { Timer } from "../../hv/core/time/timer.ts";
import { Counter, CounterState } from "./i8254_counter.ts";
import type { PitChannel2 } from "../system/port61.ts";

/** Input clock. */
export const PIT_HZ = 1_193_182;

/** 43h, W. */
const CONTROL = 3;
/** Select counter: 3 is the read-back command. */
const READ_BACK = 3;
const NOT_COUNT = 0x20;
const NOT_STATUS = 0x10;
/** RW bits of a counter latch command. */
const LATCH = 0;
/** Shortest time between two interrupts, in ticks. */
const MIN_TICKS = 60;

/** The chip's state. */
export const I8254State = record("i8254", 1, {
  counters: list(CounterState, 3),
  /** The tick for which the timer is armed: OUT 0 rises, or else takes a new count over. */
  nextTick: f64,
  nextRises: flag,
});
/** A view of `I8254State`. */
export type I8254State = InstanceType<typeof I8254State>;

/** What the chip is connected to. */
export interface I8254Wiring {
  /** OUT 0: IRQ 0. */
  readonly irq: IrqLine;
  readonly clock: Clock;
  readonly timer: Timer;
}

/** See above. Four ports of width 1. */
export class I8254 implements Device, IoHandler, PitChannel2 {
  readonly #state: I8254State;
  readonly #wiring: I8254Wiring;
  readonly #counters: readonly Counter[];

  constructor(state: I8254State, wiring: I8254Wiring) {
    this.#state = state;
    this.#wiring = wiring;
    this.#counters = state.counters.map((counter) => new Counter(counter));
    wiring.timer.onExpire = () => this.#expired();
  }

  /** The data sheet leaves it undefined: counters at rest in mode 3 and OUT 0 high, as QEMU's. */
  reset(): void {
    bytesOf(this.#state).fill(0);
    for (const [i, counter] of this.#counters.entries()) {
      counter.setControl((i << 6) | 0x36, i !== 2);
      this.#state.counters[i].programmed = false;
    }
    this.#wiring.timer.disarm();
    this.#wiring.irq.set(true);
  }

  /** After the state was loaded from elsewhere: line and timer follow it. */
  refresh(): void {
    this.#follow(this.#tick);
  }

  /** Ticks of the input clock since guest time 0. */
  get tick(): number {
    return this.#tick;
  }

  setGate2(level: boolean): void {
    this.#counters[2].setGate(level, this.#tick);
  }

  get out2(): boolean {
    return this.#counters[2].out(this.#tick);
  }

  read(offset: number, _size: number): number {
    return offset === CONTROL ? 0xff : this.#counters[offset & 3].read(this.#tick);
  }

  write(offset: number, _size: number, value: number): void {
    value &= 0xff;
    if (offset === CONTROL) return this.#control(value);
    const tick = this.#tick;
    this.#counters[offset & 3].write(value, tick);
    if (offset === 0) this.#follow(tick);
  }

  #control(word: number): void {
    const select = word >> 6;
    const tick = this.#tick;
    if (select === READ_BACK) {
      for (const [i, counter] of this.#counters.entries()) {
        if (!(word & (2 << i))) continue;
        if (!(word & NOT_COUNT)) counter.latchCount(tick);
        if (!(word & NOT_STATUS)) counter.latchStatus(tick);
      }
      return;
    }
    const counter = this.#counters[select];
    if (((word >> 4) & 3) === LATCH) return counter.latchCount(tick);
    counter.setControl(word, counter.gate);
    if (select === 0) this.#follow(tick);
  }

  get #tick(): number {
    return Math.floor(this.#wiring.clock.nowNs() * PIT_HZ / 1e9);
  }

  /**
   * Sets the line to OUT 0 and the timer to its next rise after `tick`, at which the counter was
   * written: the time of now would pass over a short count that has ended meanwhile.
   */
  #follow(tick: number): void {
    this.#wiring.irq.set(this.#counters[0].out(tick));
    this.#schedule(tick);
  }

  /** Arms the timer for what comes after `tick`, not before `earliestTick`. */
  #schedule(tick: number, earliestTick = 0): void {
    const s = this.#state;
    const { timer } = this.#wiring;
    const counter = this.#counters[0];
    const rise = counter.nextRise(tick);
    const takeOver = counter.takeOverTick;
    const next = Math.min(rise, takeOver);
    s.nextRises = rise <= takeOver;
    if (next === Infinity) {
      s.nextTick = 0;
      if (timer.deadlineNs !== 0) timer.disarm();
      return;
    }
    s.nextTick = Math.max(next, earliestTick);
    // Rounded up, and never early: `#tick` must have counted it.
    timer.arm(Math.ceil(s.nextTick * 1e9 / PIT_HZ) + 1);
  }

  #expired(): void {
    const s = this.#state;
    const { irq } = this.#wiring;
    const tick = this.#tick;
    if (s.nextRises) {
      irq.set(false);
      irq.set(true);
    } else {
      this.#counters[0].out(tick); // takes the count over
    }
    this.#schedule(tick, s.nextRises ? tick + MIN_TICKS : 0);
  }
}
