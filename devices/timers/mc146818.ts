/**
 * MC146818 real-time clock with 128 bytes of CMOS RAM: index at 70h, data at 71h, IRQ 8.
 *
 * References: Motorola MC146818 data sheet (1984); IBM PC/AT technical reference for the RAM's use and
 * for the century at 32h.
 *
 * The time of day is the host's plus an offset, which changes when the guest sets the clock, so it goes
 * on while the machine is paused; the periodic interrupt counts guest time. No timer runs unless an
 * interrupt is enabled that has not been raised yet: flags that are polled are worked out when read.
 * Left out: the square-wave output, daylight saving (DSE), divider chains other than 32.768 kHz.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { bytes, bytesOf, f64, record, u8 } from "../../hv/core/state/record.ts";
import type { Timer } from "../../hv/core/time/timer.ts";
import {
  type ClockFields,
  type ClockForm,
  decode,
  decodeHour,
  encode,
  encodeHour,
  fieldsOf,
  msOf,
} from "./mc146818_time.ts";

/** Address map (figure 9). */
const SECONDS = 0x00;
const SECONDS_ALARM = 0x01;
const MINUTES = 0x02;
const MINUTES_ALARM = 0x03;
const HOURS = 0x04;
const HOURS_ALARM = 0x05;
const DAY_OF_WEEK = 0x06;
const DATE = 0x07;
const MONTH = 0x08;
const YEAR = 0x09;
const REGISTER_A = 0x0a;
const REGISTER_B = 0x0b;
const REGISTER_C = 0x0c;
const REGISTER_D = 0x0d;
const CENTURY = 0x32;
const TIME_REGISTERS = [SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DATE, MONTH, YEAR, CENTURY];

/** Register A. */
const UIP = 0x80;
/** Divider bits 11x hold the chain in reset. */
const DIVIDER_RESET = 0x60;
const RATE = 0x0f;
/** 32.768 kHz, 1024 Hz: what every BIOS sets. */
const A_POWER_ON = 0x26;
/** Register B. */
const SET = 0x80;
const PIE = 0x40;
const AIE = 0x20;
const UIE = 0x10;
const SQWE = 0x08;
const DM = 0x04;
const HOURS_24 = 0x02;
/** Register C; each flag is where B has its enable. */
const IRQF = 0x80;
const PF = 0x40;
const AF = 0x20;
const UF = 0x10;
/** Register D: RAM and time valid. */
const VRT = 0x80;

/** Alarm bytes from C0h up match anything. */
const DONT_CARE = 0xc0;
const OSCILLATOR_HZ = 32_768;
/** UIP is set this long before the registers change: t_BUC + t_UC (table 4), ms. */
const UPDATE_MS = 2.228;
const SECONDS_OF_A_DAY = 86_400;

/** The chip's state. */
export const Mc146818State = record("mc146818", 1, {
  index: u8,
  /** Flags of register C without IRQF. */
  flags: u8,
  /** Everything that is stored as written; the time of day only while it is held. */
  ram: bytes(128),
  /** Guest's time of day minus the host's, ms. */
  offsetMs: f64,
  /** The second (since 1970, guest's time of day) up to which UF and AF have been worked out. */
  seenSecond: f64,
  /** The period (since guest time 0) up to which PF has been worked out. */
  seenPeriod: f64,
});
/** A view of `Mc146818State`. */
export type Mc146818State = InstanceType<typeof Mc146818State>;

/** What the chip is connected to. */
export interface Mc146818Wiring {
  /** IRQ 8. */
  readonly irq: IrqLine;
  readonly clock: Clock;
  /** For the update-ended and alarm interrupts. */
  readonly secondTimer: Timer;
  /** For the periodic interrupt. */
  readonly periodTimer: Timer;
  /** What the guest's clock is ahead of UTC at power-on, ms (default 0). */
  readonly startOffsetMs?: number;
  /** CMOS RAM at power-on, value by address 0Eh to 7Fh (see devices/timers/mc146818_layout.ts). */
  readonly cmos?: ReadonlyMap<number, number>;
}

/** See above. Two ports of width 1. */
export class Mc146818 implements Device, IoHandler {
  readonly #state: Mc146818State;
  readonly #wiring: Mc146818Wiring;

  constructor(state: Mc146818State, wiring: Mc146818Wiring) {
    this.#state = state;
    this.#wiring = wiring;
    wiring.secondTimer.onExpire = () => this.#refresh();
    wiring.periodTimer.onExpire = () => this.#refresh();
  }

  /** Power-on after the battery was changed: RAM as the board wants it, time from the host. */
  reset(): void {
    const s = this.#state;
    bytesOf(s).fill(0);
    s.ram[REGISTER_A] = A_POWER_ON;
    s.ram[REGISTER_B] = HOURS_24;
    s.offsetMs = this.#wiring.startOffsetMs ?? 0;
    if (this.#wiring.cmos !== undefined) this.setCmos(this.#wiring.cmos);
    this.resetPin();
    this.#startOver();
  }

  /** The RESET pin, at each reset of the machine: interrupts go, time and RAM stay (p. 11). */
  resetPin(): void {
    const s = this.#state;
    s.ram[REGISTER_B] &= ~(PIE | AIE | UIE | SQWE);
    s.flags = 0;
    this.#wiring.secondTimer.disarm();
    this.#wiring.periodTimer.disarm();
    this.#wiring.irq.set(false);
  }

  /** Writes RAM bytes: value by address, 0Eh to 7Fh; others are not RAM and stay. */
  setCmos(contents: ReadonlyMap<number, number>): void {
    for (const [address, value] of contents) {
      if (address > REGISTER_D && address < 128) this.#state.ram[address] = value;
    }
  }

  /** The byte at `address` (0 to 7Fh) as the guest would read it, but without side effects. */
  peek(address: number): number {
    return this.#read(address & 0x7f);
  }

  read(offset: number, _size: number): number {
    const s = this.#state;
    if (offset !== 1) return 0xff; // the index cannot be read back
    if (s.index !== REGISTER_C) return this.#read(s.index);
    this.#catchUp();
    const value = this.#registerC();
    s.flags = 0;
    // A period that ends from here on is an edge of its own: controllers see edges alone.
    this.#wiring.irq.set(false);
    this.#refresh();
    return value;
  }

  write(offset: number, _size: number, value: number): void {
    const s = this.#state;
    value &= 0xff;
    // Bit 7 is the PC's NMI mask: this board has no NMI to mask.
    if (offset === 0) s.index = value & 0x7f;
    else this.#write(s.index, value);
  }

  #read(address: number): number {
    const s = this.#state;
    switch (address) {
      case REGISTER_A:
        return s.ram[REGISTER_A] | (this.#updating ? UIP : 0);
      case REGISTER_C:
        return this.#registerC();
      case REGISTER_D:
        return VRT;
      default:
        if (!this.#held && TIME_REGISTERS.includes(address)) return this.#timeRegister(address);
        return s.ram[address];
    }
  }

  #write(address: number, value: number): void {
    const { ram } = this.#state;
    switch (address) {
      case REGISTER_A:
        this.#catchUp();
        return this.#writeControl(value & ~UIP, ram[REGISTER_B]);
      case REGISTER_B:
        this.#catchUp();
        // SET takes UIE back (p. 13).
        return this.#writeControl(ram[REGISTER_A], value & SET ? value & ~UIE : value);
      case REGISTER_C:
      case REGISTER_D:
        return;
      case SECONDS_ALARM:
      case MINUTES_ALARM:
      case HOURS_ALARM:
        this.#catchUp();
        ram[address] = value;
        return this.#refresh();
    }
    if (this.#held || !TIME_REGISTERS.includes(address)) {
      ram[address] = value;
      return;
    }
    // Set while it runs, which the data sheet advises against but programs do.
    this.#storeTime();
    ram[address] = value;
    this.#loadTime(this.#fractionMs);
  }

  #writeControl(a: number, b: number): void {
    const { ram } = this.#state;
    const wasHeld = this.#held;
    const wasReset = (ram[REGISTER_A] & DIVIDER_RESET) === DIVIDER_RESET;
    const rateChanged = (a & RATE) !== (ram[REGISTER_A] & RATE);
    const fraction = this.#fractionMs;
    const holds = (b & SET) !== 0 || (a & DIVIDER_RESET) === DIVIDER_RESET;
    if (!wasHeld && holds) this.#storeTime();
    ram[REGISTER_A] = a;
    ram[REGISTER_B] = b;
    if (rateChanged) this.#state.seenPeriod = this.#period;
    // The first update comes half a second after the divider was let go (p. 12).
    if (wasHeld && !holds) this.#loadTime(wasReset ? 500 : fraction);
    this.#refresh();
  }

  /** Are the time registers at rest, for being set? */
  get #held(): boolean {
    const { ram } = this.#state;
    return (ram[REGISTER_B] & SET) !== 0 || (ram[REGISTER_A] & DIVIDER_RESET) === DIVIDER_RESET;
  }

  get #updating(): boolean {
    return !this.#held && this.#fractionMs >= 1000 - UPDATE_MS;
  }

  get #form(): ClockForm {
    const b = this.#state.ram[REGISTER_B];
    return { binary: (b & DM) !== 0, hours24: (b & HOURS_24) !== 0 };
  }

  /** Guest's time of day, ms since 1970. */
  get #timeMs(): number {
    return this.#wiring.clock.wallMs() + this.#state.offsetMs;
  }

  get #fractionMs(): number {
    const ms = this.#timeMs % 1000;
    return ms < 0 ? ms + 1000 : ms;
  }

  get #second(): number {
    return Math.floor(this.#timeMs / 1000);
  }

  /** Oscillator ticks in a period of the periodic interrupt (table 5); 0: none. */
  get #periodTicks(): number {
    const rate = this.#state.ram[REGISTER_A] & RATE;
    if (rate === 0) return 0;
    return rate <= 2 ? 1 << (rate + 6) : 1 << (rate - 1);
  }

  /** Number of the current period since guest time 0. */
  get #period(): number {
    const ticks = this.#periodTicks;
    if (ticks === 0) return 0;
    return Math.floor(this.#wiring.clock.nowNs() * OSCILLATOR_HZ / (ticks * 1e9));
  }

  #timeRegister(address: number): number {
    const form = this.#form;
    const fields = fieldsOf(this.#timeMs);
    if (address === HOURS) return encodeHour(fields.hour, form);
    return encode(this.#field(fields, address), form);
  }

  #field(fields: ClockFields, address: number): number {
    switch (address) {
      case SECONDS:
        return fields.second;
      case MINUTES:
        return fields.minute;
      case DAY_OF_WEEK:
        return fields.weekday;
      case DATE:
        return fields.day;
      case MONTH:
        return fields.month;
      case YEAR:
        return fields.year;
      default:
        return fields.century;
    }
  }

  /** Copies the time into the registers, where it stays until it is set. */
  #storeTime(): void {
    const { ram } = this.#state;
    for (const address of TIME_REGISTERS) ram[address] = this.#timeRegister(address);
  }

  /** Goes on from the time in the registers; the day of the week follows from the date. */
  #loadTime(fractionMs: number): void {
    const s = this.#state;
    const form = this.#form;
    const get = (address: number) => decode(s.ram[address], form);
    const time = msOf({
      second: get(SECONDS),
      minute: get(MINUTES),
      hour: decodeHour(s.ram[HOURS], form),
      weekday: 0,
      day: get(DATE),
      month: get(MONTH),
      year: get(YEAR),
      century: get(CENTURY),
    });
    s.offsetMs = time + fractionMs - this.#wiring.clock.wallMs();
    this.#startOver();
    this.#refresh();
  }

  /** Nothing that was before now counts as an update or a period. */
  #startOver(): void {
    this.#state.seenSecond = this.#second;
    this.#state.seenPeriod = this.#period;
  }

  #registerC(): number {
    const s = this.#state;
    return s.flags | (s.flags & s.ram[REGISTER_B] & (PF | AF | UF) ? IRQF : 0);
  }

  /** Sets the flags for what has happened since it was last looked at. */
  #catchUp(): void {
    const s = this.#state;
    const period = this.#period;
    if (period > s.seenPeriod) s.flags |= PF;
    s.seenPeriod = period;
    const second = this.#second;
    if (second > s.seenSecond && !this.#held) {
      s.flags |= UF;
      if (this.#alarmBetween(s.seenSecond, second)) s.flags |= AF;
    }
    s.seenSecond = second;
  }

  /** Did the alarm match in a second after `from`, up to and with `to`? */
  #alarmBetween(from: number, to: number): boolean {
    const { ram } = this.#state;
    const form = this.#form;
    const matches = (alarm: number, value: number) =>
      ram[alarm] >= DONT_CARE || ram[alarm] === value;
    for (let t = Math.max(from + 1, to - SECONDS_OF_A_DAY + 1); t <= to; t++) {
      const ofDay = ((t % SECONDS_OF_A_DAY) + SECONDS_OF_A_DAY) % SECONDS_OF_A_DAY;
      if (
        matches(SECONDS_ALARM, encode(ofDay % 60, form)) &&
        matches(MINUTES_ALARM, encode(Math.floor(ofDay / 60) % 60, form)) &&
        matches(HOURS_ALARM, encodeHour(Math.floor(ofDay / 3600), form))
      ) return true;
    }
    return false;
  }

  /** Brings flags, interrupt line and timers up to date. */
  #refresh(): void {
    this.#catchUp();
    const s = this.#state;
    const { irq, clock, periodTimer, secondTimer } = this.#wiring;
    const pending = (this.#registerC() & IRQF) !== 0;
    irq.set(pending);
    const awaited = pending ? 0 : s.ram[REGISTER_B];
    const ticks = this.#periodTicks;
    if ((awaited & PIE) && ticks !== 0) {
      // Rounded up, and never early: `#period` must have counted it.
      periodTimer.arm(Math.ceil((this.#period + 1) * ticks * 1e9 / OSCILLATOR_HZ) + 1);
    } else if (periodTimer.deadlineNs !== 0) {
      periodTimer.disarm();
    }
    if ((awaited & (AIE | UIE)) && !this.#held) {
      secondTimer.arm(clock.nowNs() + Math.max(1, (1000 - this.#fractionMs) * 1e6));
    } else if (secondTimer.deadlineNs !== 0) {
      secondTimer.disarm();
    }
  }
}
