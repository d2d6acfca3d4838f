/**
 * A limit on how many requests, and how many bytes, something may do in a second of guest time: what has
 * been done moves a time ahead at which, at the allowed rate, it would be done; the next may begin when
 * that time is less than a burst away. (This is the generic cell rate algorithm: ITU-T I.371, annex A.)
 */

import type { Clock } from "./clock.ts";
import type { Device } from "../bus/device.ts";
import { f64, record } from "../state/record.ts";
import type { Timer } from "./timer.ts";

/** What may be done; undefined: any number of it. */
export interface Rates {
  readonly requestsPerSecond?: number;
  readonly bytesPerSecond?: number;
}

/** State of a limit. */
export const RateLimitState = record("rate_limit", 1, {
  /** Guest time at which what has been done would be done at the allowed rates, ns. */
  requestsDoneNs: f64,
  bytesDoneNs: f64,
});
/** A view of `RateLimitState`. */
export type RateLimitState = InstanceType<typeof RateLimitState>;

/** What may be done at once after a pause, as time at the allowed rate. */
const BURST_NS = 100_000_000;
const SECOND_NS = 1e9;

/** What a limit is built of. */
export interface RateLimitParts {
  readonly state: RateLimitState;
  readonly clock: Clock;
  /** Fires when something may be done again: set its `onExpire`. */
  readonly timer: Timer;
}

/** See above; for one thread, the I/O worker. */
export class RateLimit implements Device {
  readonly timer: Timer;
  readonly #state: RateLimitState;
  readonly #clock: Clock;
  readonly #requestNs: number;
  readonly #byteNs: number;

  constructor(
    { requestsPerSecond, bytesPerSecond }: Rates,
    { state, clock, timer }: RateLimitParts,
  ) {
    this.timer = timer;
    this.#state = state;
    this.#clock = clock;
    this.#requestNs = requestsPerSecond === undefined ? 0 : SECOND_NS / requestsPerSecond;
    this.#byteNs = bytesPerSecond === undefined ? 0 : SECOND_NS / bytesPerSecond;
  }

  reset(): void {
    this.#state.requestsDoneNs = 0;
    this.#state.bytesDoneNs = 0;
    this.timer.disarm();
  }

  /** Is it too early for another request? Then the timer fires when it is not. */
  mustWait(): boolean {
    const { requestsDoneNs, bytesDoneNs } = this.#state;
    const readyNs = Math.max(requestsDoneNs, bytesDoneNs) - BURST_NS;
    if (readyNs <= this.#clock.nowNs()) return false;
    this.timer.arm(readyNs);
    return true;
  }

  /** A request of so many bytes has begun. */
  spend(bytes: number): void {
    const state = this.#state;
    const now = this.#clock.nowNs();
    state.requestsDoneNs = Math.max(state.requestsDoneNs, now) + this.#requestNs;
    state.bytesDoneNs = Math.max(state.bytesDoneNs, now) + bytes * this.#byteNs;
  }
}
