/**
 * Timers of devices, in guest time. Any thread that services a device may arm its timers; the I/O
 * worker is the one that fires them, under the device's lock.
 */

import type { Arena } from "../state/arena.ts";
import type { Clock } from "./clock.ts";
import type { Lock } from "../state/lock.ts";
import { f64, record } from "../state/record.ts";

/** 0 means idle, so that cleared state is a disarmed timer. */
const TimerState = record("timer", 1, { deadlineNs: f64 });
type TimerState = InstanceType<typeof TimerState>;

/** One timer, fired once for each time it is armed. */
export class Timer {
  /** What happens at the deadline; its device sets it when it is built. */
  onExpire: () => void = () => {};
  readonly #state: TimerState;
  readonly #wake: (deadlineNs: number) => void;

  /** Made by `Timers.create`. */
  constructor(state: TimerState, wake: (deadlineNs: number) => void) {
    this.#state = state;
    this.#wake = wake;
  }

  /** Guest time at which it fires, ns; 0 when it is not armed. */
  get deadlineNs(): number {
    return this.#state.deadlineNs;
  }

  /** Arms the timer, or moves it, to guest time `deadlineNs` (ns); the past means at once. */
  arm(deadlineNs: number): void {
    this.#state.deadlineNs = Math.max(1, deadlineNs);
    this.#wake(this.#state.deadlineNs);
  }

  /** Takes the timer back. */
  disarm(): void {
    this.#state.deadlineNs = 0;
  }
}

interface Entry {
  readonly state: TimerState;
  readonly timer: Timer;
  readonly lock: Lock;
}

/** All timers of a machine. */
export class Timers {
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #wake: (deadlineNs: number) => void;
  #entries: readonly Entry[] = [];

  /** @param wake Called whenever a timer is armed: lets the I/O worker sleep no longer than that. */
  constructor(arena: Arena, clock: Clock, wake: (deadlineNs: number) => void) {
    this.#arena = arena;
    this.#clock = clock;
    this.#wake = wake;
  }

  /**
   * A timer; `lock` is the lock of the device it belongs to, held while it fires.
   *
   * @param arena Where its state lies; default: that of all timers.
   */
  create(name: string, lock: Lock, arena: Arena = this.#arena): Timer {
    const state = arena.allocate(TimerState, `${name}.timer`);
    const timer = new Timer(state, this.#wake);
    this.#entries = [...this.#entries, { state, timer, lock }];
    return timer;
  }

  /** Forgets a timer whose device is gone. */
  remove(timer: Timer): void {
    this.#entries = this.#entries.filter((entry) => entry.timer !== timer);
  }

  /** Fires every timer that is due, once, and returns the next deadline (ns; Infinity: none). */
  run(): number {
    let next = Infinity;
    for (const { state, timer, lock } of this.#entries) {
      if (state.deadlineNs !== 0 && state.deadlineNs <= this.#clock.nowNs()) {
        lock.acquire();
        try {
          if (state.deadlineNs !== 0 && state.deadlineNs <= this.#clock.nowNs()) {
            state.deadlineNs = 0;
            timer.onExpire();
          }
        } finally {
          lock.release();
        }
      }
      if (state.deadlineNs !== 0) next = Math.min(next, state.deadlineNs);
    }
    return next;
  }
}
