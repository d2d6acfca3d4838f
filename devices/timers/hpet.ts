/**
 * High-precision event timer: a 64-bit counter at 100 MHz with three comparators, in 1 KiB of memory;
 * on a PC at FED00000h.
 *
 * Reference: Intel, IA-PC HPET (High Precision Event Timers) Specification 1.0a.
 *
 * A comparator interrupts at most every 50 µs, however small its period; matches that the host was too
 * late for are one interrupt. Left out: interrupts by messages (FSB_INT_DEL_CAP is 0). A 64-bit access
 * is two of 32 bits, the low half first.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { bytesOf, f64, list, record, u32 } from "../../hv/core/state/record.ts";
import type { Timer } from "../../hv/core/time/timer.ts";
import { Comparator, ComparatorState, type Count } from "./hpet_comparator.ts";

/** Comparators. */
export const HPET_COMPARATORS = 3;
/** Bytes of memory. */
export const HPET_BYTES = 0x400;
/** Rate of the main counter, Hz. */
export const HPET_HZ = 100_000_000;

/** 000h, R: capabilities; 004h: period of the counter, fs. */
const GCAP_ID = 0x000;
const GCAP_PERIOD = 0x004;
/** 010h, R/W. */
const GEN_CONF = 0x010;
/** 020h, R/WC: level-triggered interrupts that are active, a bit a comparator. */
const GINTR_STA = 0x020;
/** 0F0h and 0F4h, R/W while the counter is halted. */
const MAIN_CNT = 0x0f0;
const MAIN_CNT_HIGH = 0x0f4;
/** 100h + 20h * n: configuration, route capabilities, comparator. */
const TIMERS = 0x100;
const TIMER_STEP = 0x20;
const CONF = 0x00;
const ROUTE_CAP = 0x04;
const COMPARATOR = 0x08;
const COMPARATOR_HIGH = 0x0c;

/** GCAP_ID: revision, last comparator, 64 bits, legacy replacement, vendor. */
const CAPABILITIES = 0x8086_0000 + 0x8000 + 0x2000 + ((HPET_COMPARATORS - 1) << 8) + 0x01;
/** GEN_CONF. */
const ENABLE_CNF = 1 << 0;
const LEG_RT_CNF = 1 << 1;

const TICK_NS = 1e9 / HPET_HZ;
const TWO_32 = 2 ** 32;
/** Matches farther away than this (ns, 104 days) are not waited for in one go. */
const FAR_NS = 2 ** 53;
/** Shortest time between two interrupts of a comparator, ns. */
const MIN_PERIOD_NS = 50_000;

/** The chip's state. */
export const HpetState = record("hpet", 1, {
  config: u32,
  status: u32,
  /** The main counter at guest time `countNs`, or while it is halted. */
  countLow: u32,
  countHigh: u32,
  countNs: f64,
  comparators: list(ComparatorState, HPET_COMPARATORS),
});
/** A view of `HpetState`. */
export type HpetState = InstanceType<typeof HpetState>;

/** What the chip is connected to. */
export interface HpetWiring {
  readonly clock: Clock;
  /** One for each comparator. */
  readonly timers: readonly Timer[];
  /** Inputs of the I/O APIC by number (0 to 31), where comparators may be routed to. */
  readonly lines: readonly (IrqLine | undefined)[];
  /** IRQ 0 and IRQ 8, for comparators 0 and 1 in legacy replacement mode. */
  readonly legacyLines: readonly [IrqLine, IrqLine];
  /** Legacy replacement: while it is active the 8254's and the clock's interrupts are cut off. */
  onLegacyReplacement(active: boolean): void;
}

/** See above. Width 4. */
export class Hpet implements Device, IoHandler {
  readonly #state: HpetState;
  readonly #wiring: HpetWiring;
  readonly #comparators: readonly Comparator[];
  readonly #routes: number;

  constructor(state: HpetState, wiring: HpetWiring) {
    this.#state = state;
    this.#wiring = wiring;
    this.#comparators = state.comparators.map((comparator) => new Comparator(comparator));
    let routes = 0;
    for (const [i, line] of wiring.lines.entries()) if (line !== undefined) routes |= 1 << i;
    this.#routes = routes >>> 0;
    for (const [n, timer] of wiring.timers.entries()) timer.onExpire = () => this.#expired(n);
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    for (const comparator of this.#comparators) comparator.reset();
    for (const timer of this.#wiring.timers) timer.disarm();
    this.#wiring.onLegacyReplacement(false);
    this.#setLines();
  }

  read(offset: number, _size: number): number {
    const s = this.#state;
    switch (offset) {
      case GCAP_ID:
        return CAPABILITIES;
      case GCAP_PERIOD:
        return 1e15 / HPET_HZ;
      case GEN_CONF:
        return s.config;
      case GINTR_STA:
        return s.status;
      case MAIN_CNT:
        return this.#count.low;
      case MAIN_CNT_HIGH:
        return this.#count.high;
    }
    const comparator = this.#comparators[(offset - TIMERS) >> 5];
    switch (offset % TIMER_STEP) {
      case CONF:
        return comparator?.config ?? 0;
      case ROUTE_CAP:
        return comparator === undefined ? 0 : this.#routes;
      case COMPARATOR:
        return comparator?.state.low ?? 0;
      case COMPARATOR_HIGH:
        return comparator?.state.high ?? 0;
      default:
        return 0;
    }
  }

  write(offset: number, size: number, value: number): void {
    if (size !== 4) return;
    const s = this.#state;
    value >>>= 0;
    switch (offset) {
      case GEN_CONF:
        return this.#configure(value);
      case GINTR_STA:
        s.status &= ~value;
        return this.#setLines();
      case MAIN_CNT:
      case MAIN_CNT_HIGH:
        if (s.config & ENABLE_CNF) return; // undefined while it counts (2.3.7)
        if (offset === MAIN_CNT) s.countLow = value;
        else s.countHigh = value;
        return;
    }
    const n = (offset - TIMERS) >> 5;
    const comparator = this.#comparators[n];
    if (comparator === undefined) return;
    switch (offset % TIMER_STEP) {
      case CONF:
        comparator.config = value;
        // What is not level-triggered has no status.
        if (!comparator.isLevel) s.status &= ~(1 << n);
        this.#setLines();
        break;
      case COMPARATOR:
        comparator.writeLow(value);
        break;
      case COMPARATOR_HIGH:
        comparator.writeHigh(value);
        break;
      default:
        return;
    }
    this.#schedule(n, false);
  }

  /** The main counter. */
  get #count(): Count {
    const s = this.#state;
    if (!(s.config & ENABLE_CNF)) return { low: s.countLow, high: s.countHigh };
    const ticks = Math.max(0, Math.floor((this.#wiring.clock.nowNs() - s.countNs) / TICK_NS));
    const low = s.countLow + ticks % TWO_32;
    const high = s.countHigh + Math.floor(ticks / TWO_32) + (low >= TWO_32 ? 1 : 0);
    return { low: low % TWO_32, high: high % TWO_32 };
  }

  #configure(value: number): void {
    const s = this.#state;
    const count = this.#count;
    const before = s.config;
    s.config = value & (ENABLE_CNF | LEG_RT_CNF);
    if ((before ^ s.config) & ENABLE_CNF) {
      s.countLow = count.low;
      s.countHigh = count.high;
      s.countNs = this.#wiring.clock.nowNs();
      for (const n of this.#comparators.keys()) this.#schedule(n, false);
    }
    if (!((before ^ s.config) & LEG_RT_CNF)) return;
    this.#wiring.onLegacyReplacement((s.config & LEG_RT_CNF) !== 0);
    this.#setLines();
  }

  /** Arms the timer of comparator `n`; one that has matched just now matches in its next cycle. */
  #schedule(n: number, matched: boolean, earliestNs = 0): void {
    const s = this.#state;
    const timer = this.#wiring.timers[n];
    const comparator = this.#comparators[n];
    let ns = Infinity;
    if (s.config & ENABLE_CNF) {
      const distance = comparator.distance(this.#count);
      const ticks = distance === 0 && matched ? comparator.cycle : distance;
      const elapsed = Math.max(0, Math.floor((this.#wiring.clock.nowNs() - s.countNs) / TICK_NS));
      ns = s.countNs + (elapsed + ticks) * TICK_NS;
    }
    if (ns > FAR_NS) {
      if (timer.deadlineNs !== 0) timer.disarm();
      return;
    }
    // Rounded up, and never early: `#count` must have reached the match.
    timer.arm(Math.ceil(Math.max(ns, earliestNs)) + 1);
  }

  #expired(n: number): void {
    const s = this.#state;
    const comparator = this.#comparators[n];
    comparator.advance(this.#count);
    if (comparator.isLevel) {
      s.status |= 1 << n;
      this.#setLines();
    } else if (comparator.interrupts) {
      const line = this.#lineOf(n);
      line?.set(true);
      line?.set(false);
    }
    this.#schedule(n, true, this.#wiring.clock.nowNs() + MIN_PERIOD_NS);
  }

  #lineOf(n: number): IrqLine | undefined {
    const { lines, legacyLines } = this.#wiring;
    const replaces = (this.#state.config & LEG_RT_CNF) !== 0 && n < legacyLines.length;
    return replaces ? legacyLines[n] : lines[this.#comparators[n].route];
  }

  /** Pulls the lines of the level-triggered interrupts that are active, and lets all others go. */
  #setLines(): void {
    const active = new Set<IrqLine>();
    for (const [n, comparator] of this.#comparators.entries()) {
      const line = this.#lineOf(n);
      if (line === undefined || !comparator.isLevel || !comparator.interrupts) continue;
      if (this.#state.status & (1 << n)) active.add(line);
    }
    for (const line of [...this.#wiring.lines, ...this.#wiring.legacyLines]) {
      line?.set(active.has(line));
    }
  }
}
