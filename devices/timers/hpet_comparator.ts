/**
 * One comparator of an HPET: what it compares the main counter with, and where that leads.
 *
 * Reference: IA-PC HPET specification 1.0a, 2.3.8 to 2.3.9.2.3. 64-bit values are pairs of 32 bits,
 * since they are read often and a number holds 53 bits.
 */

import { flag, record, u32 } from "../../hv/core/state/record.ts";

/** Timer N configuration and capabilities, bits 31-0. */
export const INT_TYPE_LEVEL = 1 << 1;
export const INT_ENB = 1 << 2;
export const TYPE_PERIODIC = 1 << 3;
export const PER_INT_CAP = 1 << 4;
export const SIZE_CAP = 1 << 5;
export const VAL_SET = 1 << 6;
export const MODE_32 = 1 << 8;
export const ROUTE_SHIFT = 9;
export const ROUTE_BITS = 0x1f << ROUTE_SHIFT;
const WRITABLE = INT_TYPE_LEVEL | INT_ENB | TYPE_PERIODIC | VAL_SET | MODE_32 | ROUTE_BITS;

const TWO_32 = 2 ** 32;

/** A comparator's state. */
export const ComparatorState = record("hpet.comparator", 1, {
  /** The bits of the configuration that can be written. */
  config: u32,
  /** The main counter's value that matches next. */
  low: u32,
  high: u32,
  /** What is added to it at each match in periodic mode. */
  periodLow: u32,
  periodHigh: u32,
  /** The low half was written by VAL_SET; the high half of that write may follow. */
  setsHigh: flag,
});
/** A view of `ComparatorState`. */
export type ComparatorState = InstanceType<typeof ComparatorState>;

/** A value of the main counter. */
export interface Count {
  readonly low: number;
  readonly high: number;
}

/** See above. */
export class Comparator {
  readonly state: ComparatorState;

  constructor(state: ComparatorState) {
    this.state = state;
  }

  /** After the record was cleared: the comparator is all ones (2.3.9). */
  reset(): void {
    this.state.low = this.state.high = 0xffff_ffff;
  }

  get isPeriodic(): boolean {
    return (this.state.config & TYPE_PERIODIC) !== 0;
  }

  get isLevel(): boolean {
    return (this.state.config & INT_TYPE_LEVEL) !== 0;
  }

  get interrupts(): boolean {
    return (this.state.config & INT_ENB) !== 0;
  }

  /** Input of the interrupt controller, 0 to 31. */
  get route(): number {
    return (this.state.config & ROUTE_BITS) >>> ROUTE_SHIFT;
  }

  /** Configuration, bits 31-0, as it is read. */
  get config(): number {
    return this.state.config | PER_INT_CAP | SIZE_CAP;
  }

  set config(value: number) {
    const s = this.state;
    s.config = value & WRITABLE;
    if (!(s.config & TYPE_PERIODIC)) s.config &= ~VAL_SET;
    if (s.config & MODE_32) s.high = s.periodHigh = 0;
  }

  /** Comparator, bits 31-0: in periodic mode the period, and with VAL_SET the next match as well. */
  writeLow(value: number): void {
    const s = this.state;
    s.setsHigh = (s.config & VAL_SET) !== 0;
    if (!this.isPeriodic || s.setsHigh) s.low = value;
    if (this.isPeriodic) s.periodLow = value;
    s.config &= ~VAL_SET;
  }

  /** Comparator, bits 63-32. */
  writeHigh(value: number): void {
    const s = this.state;
    if (s.config & MODE_32) return;
    if (!this.isPeriodic || s.setsHigh || s.config & VAL_SET) s.high = value;
    if (this.isPeriodic) s.periodHigh = value;
    s.setsHigh = false;
  }

  /** Counts from `count` to the next match: 0 when it matches now; more than 2^53 is inexact. */
  distance(count: Count): number {
    const s = this.state;
    const low = s.low - count.low;
    if (s.config & MODE_32) return low >>> 0;
    const high = s.high - count.high - (low < 0 ? 1 : 0);
    return (high >>> 0) * TWO_32 + (low >>> 0);
  }

  /** Counts after which it matches again without being written. */
  get cycle(): number {
    return this.state.config & MODE_32 ? TWO_32 : Infinity;
  }

  /** After a match that was seen at `count`: periodic ones go to the next match after it. */
  advance(count: Count): void {
    const s = this.state;
    if (!this.isPeriodic) return;
    const period = s.periodHigh * TWO_32 + s.periodLow;
    if (period === 0) return;
    const lowLate = count.low - s.low;
    const highLate = s.config & MODE_32 ? 0 : count.high - s.high - (lowLate < 0 ? 1 : 0);
    const late = (highLate >>> 0) * TWO_32 + (lowLate >>> 0);
    const step = (Math.floor(late / period) + 1) * period;
    const low = s.low + step % TWO_32;
    s.low = low;
    if (s.config & MODE_32) return;
    s.high = (s.high + Math.floor(step / TWO_32) % TWO_32 + (low >= TWO_32 ? 1 : 0)) % TWO_32;
  }
}
