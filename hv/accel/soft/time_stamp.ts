/** The time-stamp counter: the host's monotonic clock at a fixed rate, plus an offset. */

import { monotonicNs } from "../../sys/mod.ts";
import type { SoftState } from "./state.ts";

/** Ticks a second. */
export const TSC_HZ = 1_000_000_000;

const ticks = (): bigint => BigInt(Math.trunc(monotonicNs()));

/** Nanoseconds until the counter reaches `value`; 0 or less when it has. */
export const nsUntil = (state: SoftState, value: bigint): number =>
  Number(BigInt.asIntN(64, value - readTsc(state))) * 1e9 / TSC_HZ;

/** What RDTSC gives. */
export const readTsc = (state: SoftState): bigint => BigInt.asUintN(64, ticks() + state.tscOffset);

/** Makes the counter go on from `value`. */
export function setTsc(state: SoftState, value: bigint): void {
  state.tscOffset = BigInt.asUintN(64, value - ticks());
}
