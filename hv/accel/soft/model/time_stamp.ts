/**
 * The time-stamp counter: the machine's time at a fixed rate, plus an offset. It stands still while the
 * machine is paused, as the timers do that wait for it.
 */

import type { Clock } from "../../../core/time/clock.ts";
import { monotonicNs } from "../../../sys/clock.ts";
import type { SoftState } from "../state/state.ts";

/** Ticks a second. */
export const TSC_HZ = 1_000_000_000;

/** What the counter is made of. */
export type TimeSource = Clock;

/** Time for processors that belong to no machine: it never stands still. */
export const HOST_TIME: TimeSource = { nowNs: monotonicNs, wallMs: Date.now };

/** A processor's counter. */
export interface Counter {
  readonly state: SoftState;
  readonly time: TimeSource;
}

const ticks = ({ time }: Counter): bigint => BigInt(Math.trunc(time.nowNs()));

/** Nanoseconds until the counter reaches `value`; 0 or less when it has. */
export const nsUntil = (counter: Counter, value: bigint): number =>
  Number(BigInt.asIntN(64, value - readTsc(counter))) * 1e9 / TSC_HZ;

/** What RDTSC gives. */
export const readTsc = (counter: Counter): bigint =>
  BigInt.asUintN(64, ticks(counter) + counter.state.tscOffset);

/** Makes the counter go on from `value`. */
export function setTsc(counter: Counter, value: bigint): void {
  counter.state.tscOffset = BigInt.asUintN(64, value - ticks(counter));
}
