/**
 * One counter of an 8254: what it counts to, by arithmetic on the number of clock ticks since it was
 * loaded; nothing happens between accesses.
 *
 * Reference: Intel 8254 data sheet (order number 231164), "Mode definitions" and "Programming the
 * 8254". Ticks are absolute: those of the input clock since guest time 0.
 */

import { fromBcd, toBcd } from "../../hv/core/bcd.ts";
import { f64, flag, nested, record, u16, u32, u8 } from "../../hv/core/state/record.ts";

/** RW1 and RW0 of the control word. */
const LSB_ONLY = 1;
const MSB_ONLY = 2;
const BOTH = 3;

/** Status byte (figure 11). */
const STATUS_OUT = 0x80;
const STATUS_NULL_COUNT = 0x40;

/** What is left to be read of a latched count. */
const LatchState = record("i8254.latch", 1, {
  /** Bytes not read yet; 0: nothing is latched. */
  left: u8,
  count: u16,
  statusHeld: flag,
  status: u8,
});

/** A counter's state. */
export const CounterState = record("i8254.counter", 2, {
  /** 0 to 5. */
  mode: u8,
  bcd: flag,
  /** It has had a control word since power-on. */
  programmed: flag,
  /** LSB_ONLY, MSB_ONLY or BOTH. */
  access: u8,
  /** The next byte written is the high one. */
  writeHigh: flag,
  lowByte: u8,
  /** The next byte read is the high one. */
  readHigh: flag,
  gate: flag,
  /** A count has been loaded, or in modes 1 and 5 triggered, since the control word. */
  running: flag,
  /** Gate low holds the count in modes 0 and 4. */
  paused: flag,
  /** A count was written that the counting element has not taken. */
  nullCount: flag,
  /** Count in force, 1 to 65536. */
  count: u32,
  /** Count register: what is loaded next. */
  register: u32,
  /** Tick at which the count was loaded. */
  startTick: f64,
  /** Ticks counted when paused. */
  pausedTicks: f64,
  /** Tick at which `register` takes over in modes 2 and 3; 0: not waiting. */
  takeOverTick: f64,
  latch: nested(LatchState),
});
/** A view of `CounterState`. */
export type CounterState = InstanceType<typeof CounterState>;

const modulo = (value: number, modulus: number): number => {
  const rest = value % modulus;
  return rest < 0 ? rest + modulus : rest;
};

/** See above. */
export class Counter {
  readonly #state: CounterState;
  readonly #latch: CounterState["latch"];

  constructor(state: CounterState) {
    this.#state = state;
    this.#latch = state.latch;
  }

  /** GATE input. */
  get gate(): boolean {
    return this.#state.gate;
  }

  /** Drives GATE at `tick`. */
  setGate(level: boolean, tick: number): void {
    const s = this.#state;
    if (level === s.gate) return;
    this.#sync(tick);
    s.gate = level;
    switch (s.mode) {
      case 0:
      case 4:
        if (!s.running) return;
        if (level) s.startTick = tick - s.pausedTicks;
        else s.pausedTicks = Math.max(0, tick - s.startTick);
        s.paused = !level;
        return;
      case 1:
      case 5:
        if (level && s.register !== 0) this.#load(tick + 1);
        return;
      default: // the rising edge starts the cycle anew
        if (level && s.running) this.#load(tick + 1);
    }
  }

  /** A control word for this counter that is no latch command. */
  setControl(word: number, gate: boolean): void {
    const s = this.#state;
    const mode = (word >> 1) & 7;
    s.mode = mode > 5 ? mode - 4 : mode;
    s.bcd = (word & 1) !== 0;
    s.programmed = true;
    s.access = (word >> 4) & 3;
    s.writeHigh = s.readHigh = false;
    s.running = s.paused = false;
    s.nullCount = true;
    s.register = 0;
    s.takeOverTick = 0;
    s.gate = gate;
    this.#latch.left = 0;
    this.#latch.statusHeld = false;
  }

  /** A byte of the count. */
  write(byte: number, tick: number): void {
    const s = this.#state;
    this.#sync(tick);
    switch (s.access) {
      case LSB_ONLY:
        return this.#setRegister(byte, tick);
      case MSB_ONLY:
        return this.#setRegister(byte << 8, tick);
      case BOTH:
        if (s.writeHigh) {
          s.writeHigh = false;
          return this.#setRegister((byte << 8) | s.lowByte, tick);
        }
        s.lowByte = byte;
        s.writeHigh = true;
        if (s.mode === 0) s.running = false; // the first byte stops the count, OUT falls (mode 0)
    }
  }

  /** A byte of the status, a latched count or the count, in this order. */
  read(tick: number): number {
    const s = this.#state;
    const latch = this.#latch;
    this.#sync(tick);
    if (latch.statusHeld) {
      latch.statusHeld = false;
      return latch.status;
    }
    let count: number;
    if (latch.left > 0) {
      latch.left--;
      count = latch.count;
    } else {
      count = this.#value(tick);
    }
    const high = s.access === BOTH ? s.readHigh : s.access === MSB_ONLY;
    if (s.access === BOTH) s.readHigh = !s.readHigh;
    return high ? count >> 8 : count & 0xff;
  }

  /** Counter latch command; one that has not been read yet stays. */
  latchCount(tick: number): void {
    const latch = this.#latch;
    if (latch.left > 0) return;
    this.#sync(tick);
    latch.count = this.#value(tick);
    latch.left = this.#state.access === BOTH ? 2 : 1;
  }

  /** Status latch of the read-back command; one that has not been read yet stays. */
  latchStatus(tick: number): void {
    const s = this.#state;
    const latch = this.#latch;
    if (latch.statusHeld) return;
    this.#sync(tick);
    latch.statusHeld = true;
    latch.status = (this.out(tick) ? STATUS_OUT : 0) | (s.nullCount ? STATUS_NULL_COUNT : 0) |
      (s.access << 4) | (s.mode << 1) | (s.bcd ? 1 : 0);
  }

  /** The OUT pin. */
  out(tick: number): boolean {
    const s = this.#state;
    this.#sync(tick);
    if (!s.running) return s.mode !== 0;
    const elapsed = this.#elapsed(tick);
    if (elapsed < 0) return s.mode !== 0; // loaded with the next clock
    const { count } = s;
    switch (s.mode) {
      case 0:
      case 1:
        return elapsed >= count;
      case 2:
        return !s.gate || modulo(elapsed, count) !== count - 1;
      case 3:
        return !s.gate || modulo(elapsed, count) < Math.ceil(count / 2);
      default:
        return elapsed !== count;
    }
  }

  /** Tick after `tick` at which OUT rises if nothing else is written; Infinity when it does not. */
  nextRise(tick: number): number {
    const s = this.#state;
    this.#sync(tick);
    if (!s.running || s.paused) return Infinity;
    const end = s.startTick + s.count;
    switch (s.mode) {
      case 0:
      case 1:
        return end > tick ? end : Infinity;
      case 2:
      case 3: {
        if (!s.gate) return Infinity;
        const cycles = Math.floor(Math.max(0, tick - s.startTick) / s.count);
        return s.startTick + (cycles + 1) * s.count;
      }
      default:
        return end + 1 > tick ? end + 1 : Infinity;
    }
  }

  /** Tick at which a new count takes over in modes 2 and 3; Infinity when none waits. */
  get takeOverTick(): number {
    return this.#state.takeOverTick || Infinity;
  }

  #elapsed(tick: number): number {
    const s = this.#state;
    return s.paused ? s.pausedTicks : tick - s.startTick;
  }

  #setRegister(value: number, tick: number): void {
    const s = this.#state;
    s.register = s.bcd ? fromBcd(value) || 10_000 : value || 65_536;
    s.nullCount = true;
    switch (s.mode) {
      case 1:
      case 5:
        return; // loaded by the next trigger
      case 2:
      case 3:
        if (s.running && s.gate) {
          s.takeOverTick = this.#endOfPhase(tick);
          return;
        }
    }
    this.#load(tick + 1);
  }

  /** Where the cycle (mode 2) or half-cycle (mode 3) that is under way at `tick` ends. */
  #endOfPhase(tick: number): number {
    const { mode, count, startTick } = this.#state;
    if (tick < startTick) return startTick;
    const cycle = startTick + Math.floor((tick - startTick) / count) * count;
    const half = cycle + Math.ceil(count / 2);
    return mode === 3 && tick < half ? half : cycle + count;
  }

  #load(tick: number): void {
    const s = this.#state;
    s.count = s.register;
    s.startTick = tick;
    s.pausedTicks = 0;
    s.takeOverTick = 0;
    s.running = true;
    s.paused = (s.mode === 0 || s.mode === 4) && !s.gate;
  }

  /** Carries out what was to happen by `tick`. */
  #sync(tick: number): void {
    const s = this.#state;
    if (s.takeOverTick !== 0 && tick >= s.takeOverTick) {
      const at = s.takeOverTick;
      const low = s.mode === 3 && modulo(at - s.startTick, s.count) !== 0;
      this.#load(at);
      // Taken over between the halves: the low one comes next.
      if (low) s.startTick -= Math.ceil(s.count / 2);
    }
    if (s.running && s.takeOverTick === 0 && tick >= s.startTick) {
      const waits = (s.mode === 1 || s.mode === 5) && s.register !== s.count;
      if (!waits) s.nullCount = false;
    }
  }

  /** The counting element, as it is read. */
  #value(tick: number): number {
    const s = this.#state;
    if (!s.running) return s.register & 0xffff;
    const elapsed = Math.max(0, this.#elapsed(tick));
    const modulus = s.bcd ? 10_000 : 65_536;
    let value: number;
    if (s.mode === 2) {
      value = s.count - elapsed % s.count;
    } else if (s.mode === 3) {
      const high = Math.ceil(s.count / 2);
      const position = elapsed % s.count;
      value = (s.count & ~1) - 2 * (position < high ? position : position - high);
    } else {
      value = modulo(s.count - elapsed, modulus);
    }
    value %= modulus;
    return s.bcd ? toBcd(value) : value;
  }
}
