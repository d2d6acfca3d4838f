/**
 * A local APIC's timer: one-shot, periodic, or until a value of the time-stamp counter.
 *
 * Reference: Intel SDM volume 3, 11.5.4 "APIC Timer". The count runs at 1 GHz divided by TDCR; KVM's
 * does too, so that a machine can go from one to the other. What it counts is computed from the time.
 *
 * The processor's thread programs it, whichever thread runs the timers fires it; both hold its lock,
 * under which nothing else is locked. A periodic timer interrupts at most every 50 µs, however small
 * its count; periods that the host was too late for are one interrupt.
 */

import type { Clock } from "../../../hv/core/time/clock.ts";
import type { Lock } from "../../../hv/core/state/lock.ts";
import type { Timer } from "../../../hv/core/time/timer.ts";
import { type LocalApicState, MASKED, TIMER_MODE_SHIFT, TimerMode } from "./registers.ts";

/** Rate of the count with a divisor of 1, Hz. */
export const APIC_TIMER_HZ = 1_000_000_000;
const TICK_NS = 1e9 / APIC_TIMER_HZ;
/** Shortest time between two interrupts of a periodic timer, ns. */
const MIN_PERIOD_NS = 50_000;

/** What the timer needs. */
export interface LocalApicTimerWiring {
  readonly clock: Clock;
  /** Fires under `lock`. */
  readonly timer: Timer;
  readonly lock: Lock;
  /**
   * Guest time (ns) at which the processor's time-stamp counter reaches `high`:`low`: now or before
   * when it has, Infinity when it will not in this machine's life.
   */
  tscDeadlineNs(low: number, high: number): number;
}

/** What the timer's registers hold. */
export interface LocalApicTimerRegisters {
  readonly initialCount: number;
  readonly currentCount: number;
  readonly divide: number;
  readonly deadlineLow: number;
  readonly deadlineHigh: number;
}

/** See above. */
export class LocalApicTimer {
  readonly #state: LocalApicState;
  readonly #wiring: LocalApicTimerWiring;
  readonly #fire: () => void;

  /** @param fire Delivers the timer's local vector; may be called on any thread. */
  constructor(state: LocalApicState, wiring: LocalApicTimerWiring, fire: () => void) {
    this.#state = state;
    this.#wiring = wiring;
    this.#fire = fire;
    wiring.timer.onExpire = () => this.#expired(wiring.clock.nowNs());
  }

  /** After the state was cleared or loaded: goes on from there. */
  refresh(): void {
    this.#wiring.lock.with(() => this.#schedule(this.#wiring.clock.nowNs()));
  }

  /** Fires the timer if it is due, so that nobody need wait for the thread that runs the timers. */
  poll(): void {
    const { timer, clock, lock } = this.#wiring;
    const deadlineNs = timer.deadlineNs;
    if (deadlineNs === 0 || deadlineNs > clock.nowNs()) return;
    lock.with(() => this.#settle(clock.nowNs()));
  }

  /** Takes over what another timer of this kind held; it runs from `refresh` on. */
  restore(saved: LocalApicTimerRegisters): void {
    const s = this.#state;
    s.initialCount = saved.initialCount;
    s.divide = saved.divide & 0xb;
    s.count = saved.currentCount;
    if (s.count === 0 && this.#mode === TimerMode.periodic) s.count = s.initialCount;
    s.countNs = this.#wiring.clock.nowNs();
    const inUse = this.#mode === TimerMode.tscDeadline;
    s.deadlineLow = inUse ? saved.deadlineLow : 0;
    s.deadlineHigh = inUse ? saved.deadlineHigh : 0;
  }

  /** TMICT: starts the count. */
  writeInitialCount(value: number): void {
    this.#change((nowNs) => {
      const s = this.#state;
      if (this.#mode === TimerMode.tscDeadline) return;
      s.initialCount = s.count = value;
      s.countNs = nowNs;
    });
  }

  /** TDCR: the count goes on at the new rate. */
  writeDivide(value: number): void {
    this.#change((nowNs) => {
      this.#rebase(nowNs);
      this.#state.divide = value & 0xb;
    });
  }

  /** LVT_TIMER: vector, mask and mode. */
  writeLvt(value: number): void {
    this.#change((nowNs) => {
      const s = this.#state;
      const before = this.#mode;
      this.#rebase(nowNs);
      s.lvtTimer = value;
      const deadline = TimerMode.tscDeadline;
      if (before === this.#mode || (before !== deadline && this.#mode !== deadline)) return;
      // To and from the deadline mode the timer is disarmed (11.5.4.1).
      s.initialCount =
        s.count =
        s.deadlineLow =
        s.deadlineHigh =
          0;
    });
  }

  /** IA32_TSC_DEADLINE; ignored in other modes. */
  writeDeadline(low: number, high: number): void {
    this.#change(() => {
      if (this.#mode !== TimerMode.tscDeadline) return;
      this.#state.deadlineLow = low;
      this.#state.deadlineHigh = high;
    });
  }

  /** The time-stamp counter was written: the deadline is at another time. */
  tscChanged(): void {
    this.#change(() => {});
  }

  /** IA32_TSC_DEADLINE: 0 when it has passed. */
  get deadline(): { readonly low: number; readonly high: number } {
    const { lock, clock } = this.#wiring;
    return lock.with(() => {
      const { deadlineLow: low, deadlineHigh: high } = this.#state;
      const passed = this.#deadlineNs() <= clock.nowNs();
      return passed ? { low: 0, high: 0 } : { low, high };
    });
  }

  /** TMCCT. */
  get currentCount(): number {
    return this.#count(this.#wiring.clock.nowNs());
  }

  get #mode(): number {
    return (this.#state.lvtTimer >>> TIMER_MODE_SHIFT) & 3;
  }

  /** Nanoseconds a count. */
  get #stepNs(): number {
    const { divide } = this.#state;
    const code = (divide & 3) | ((divide >> 1) & 4);
    return TICK_NS * 2 ** ((code + 1) & 7);
  }

  #change(body: (nowNs: number) => void): void {
    const { lock, clock } = this.#wiring;
    lock.with(() => {
      const nowNs = clock.nowNs();
      this.#settle(nowNs);
      body(nowNs);
      this.#schedule(nowNs);
    });
  }

  /** Carries out what is due, before anything changes. */
  #settle(nowNs: number): void {
    const { timer } = this.#wiring;
    if (timer.deadlineNs !== 0 && timer.deadlineNs <= nowNs) {
      timer.disarm();
      this.#expired(nowNs);
    } else if (this.#mode === TimerMode.tscDeadline && this.#deadlineNs() <= nowNs) {
      // It passed while it was masked.
      this.#state.deadlineLow = this.#state.deadlineHigh = 0;
    }
  }

  #expired(nowNs: number): void {
    const s = this.#state;
    s.deadlineLow = s.deadlineHigh = 0;
    this.#fire();
    if (this.#mode === TimerMode.periodic) this.#schedule(nowNs, nowNs + MIN_PERIOD_NS);
  }

  /** Arms the timer for its next interrupt, not before `earliestNs`, or takes it back. */
  #schedule(nowNs: number, earliestNs = 0): void {
    const { timer } = this.#wiring;
    let atNs = this.#nextNs(nowNs);
    if (this.#mode === TimerMode.tscDeadline && atNs <= nowNs) {
      const masked = this.#state.lvtTimer & MASKED;
      this.#state.deadlineLow = this.#state.deadlineHigh = 0;
      atNs = Infinity;
      if (!masked) this.#fire();
    }
    if (this.#state.lvtTimer & MASKED || atNs === Infinity) {
      if (timer.deadlineNs !== 0) timer.disarm();
      return;
    }
    const deadlineNs = Math.ceil(Math.max(atNs, earliestNs));
    if (timer.deadlineNs !== deadlineNs) timer.arm(deadlineNs);
  }

  /** Guest time of the next interrupt, ns; Infinity: none. */
  #nextNs(nowNs: number): number {
    const s = this.#state;
    switch (this.#mode) {
      case TimerMode.tscDeadline:
        return this.#deadlineNs();
      case TimerMode.oneShot: {
        const endNs = s.countNs + s.count * this.#stepNs;
        return s.count !== 0 && endNs > nowNs ? endNs : Infinity;
      }
      case TimerMode.periodic: {
        if (s.count === 0) return Infinity;
        const endNs = s.countNs + s.count * this.#stepNs;
        if (endNs > nowNs) return endNs;
        if (s.initialCount === 0) return Infinity;
        const periodNs = s.initialCount * this.#stepNs;
        return endNs + (Math.floor((nowNs - endNs) / periodNs) + 1) * periodNs;
      }
      default:
        return Infinity;
    }
  }

  #deadlineNs(): number {
    const { deadlineLow: low, deadlineHigh: high } = this.#state;
    return low === 0 && high === 0 ? Infinity : this.#wiring.tscDeadlineNs(low, high);
  }

  /** Counts from the last step before `nowNs` on. */
  #rebase(nowNs: number): void {
    const s = this.#state;
    const steps = Math.max(0, Math.floor((nowNs - s.countNs) / this.#stepNs));
    s.count = this.#count(nowNs);
    s.countNs = s.count === 0 ? nowNs : s.countNs + steps * this.#stepNs;
  }

  #count(nowNs: number): number {
    const s = this.#state;
    if (s.count === 0 || this.#mode === TimerMode.tscDeadline) return 0;
    const elapsed = Math.max(0, Math.floor((nowNs - s.countNs) / this.#stepNs));
    if (elapsed < s.count) return s.count - elapsed;
    if (this.#mode !== TimerMode.periodic || s.initialCount === 0) return 0;
    return s.initialCount - (elapsed - s.count) % s.initialCount;
  }
}
