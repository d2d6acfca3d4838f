/** Time as the guest sees it, which stands still while the machine is paused. */

import { f64, record, words } from "../state/record.ts";

/** What devices ask for the time. */
export interface Clock {
  /** Guest time in nanoseconds since the machine's first start; never goes back. */
  nowNs(): number;
  /** The host's time of day, milliseconds since 1970 (UTC). */
  wallMs(): number;
}

/** Shared by all threads of a machine. */
export const ClockState = record("clock", 1, {
  /** 1 while guest time passes. */
  running: words(1),
  /** Host time minus guest time while running, ns. */
  offsetNs: f64,
  /** Guest time while stopped, ns. */
  stoppedNs: f64,
});
/** A view of `ClockState`. */
export type ClockState = InstanceType<typeof ClockState>;

/** A machine's clock: the host's monotonic time less the time spent paused. */
export class GuestClock implements Clock {
  readonly #state: ClockState;
  readonly #hostNs: () => number;

  /** @param hostNs The host's monotonic time in ns, the same on every thread. */
  constructor(state: ClockState, hostNs: () => number) {
    this.#state = state;
    this.#hostNs = hostNs;
  }

  nowNs(): number {
    const state = this.#state;
    return Atomics.load(state.running, 0) ? this.#hostNs() - state.offsetNs : state.stoppedNs;
  }

  wallMs(): number {
    return Date.now();
  }

  /** Lets guest time pass. Only while no vCPU runs. */
  start(): void {
    if (Atomics.load(this.#state.running, 0)) return;
    this.#state.offsetNs = this.#hostNs() - this.#state.stoppedNs;
    Atomics.store(this.#state.running, 0, 1);
  }

  /** Stops guest time. Only while no vCPU runs. */
  stop(): void {
    if (!Atomics.load(this.#state.running, 0)) return;
    this.#state.stoppedNs = this.#hostNs() - this.#state.offsetNs;
    Atomics.store(this.#state.running, 0, 0);
  }
}
