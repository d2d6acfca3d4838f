/**
 * System control port B of the PC/AT, port 61h: the gate of PIT channel 2, the speaker, and the
 * refresh toggle by which programs measure 15 µs.
 *
 * Reference: IBM PC/AT technical reference, "Port B". The channel belongs to whichever PIT the machine
 * has. Left out: parity and channel checks (bits 6 and 7 are 0; their enables are kept).
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import { bytesOf, record, u8 } from "../../hv/core/state/record.ts";

/** R/W. */
const GATE_2 = 0x01;
const SPEAKER_DATA = 0x02;
const CHECK_ENABLES = 0x0c;
/** R. */
const REFRESH_TOGGLE = 0x10;
const OUT_2 = 0x20;

/** From one refresh of the AT's memory to the next, ns: 18 ticks of the PIT. */
const REFRESH_NS = 18e9 / 1_193_182;

/** Channel 2 of an 8254. */
export interface PitChannel2 {
  /** Drives the GATE input. */
  setGate2(level: boolean): void;
  /** The OUT pin. */
  readonly out2: boolean;
}

/** The port's state. */
export const Port61State = record("port61", 1, {
  /** The bits that can be written. */
  control: u8,
});
/** A view of `Port61State`. */
export type Port61State = InstanceType<typeof Port61State>;

/** See above. One port of width 1. */
export class Port61 implements Device, IoHandler {
  readonly #state: Port61State;
  readonly #channel: PitChannel2;
  readonly #clock: Clock;

  constructor(state: Port61State, channel: PitChannel2, clock: Clock) {
    this.#state = state;
    this.#channel = channel;
    this.#clock = clock;
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    this.#channel.setGate2(false);
  }

  /** Does the speaker follow the channel's output? */
  get speakerOn(): boolean {
    return (this.#state.control & (GATE_2 | SPEAKER_DATA)) === (GATE_2 | SPEAKER_DATA);
  }

  read(_offset: number, _size: number): number {
    const refreshes = Math.floor(this.#clock.nowNs() / REFRESH_NS);
    return this.#state.control | (refreshes % 2 === 1 ? REFRESH_TOGGLE : 0) |
      (this.#channel.out2 ? OUT_2 : 0);
  }

  write(_offset: number, _size: number, value: number): void {
    this.#state.control = value & (GATE_2 | SPEAKER_DATA | CHECK_ENABLES);
    this.#channel.setGate2((value & GATE_2) !== 0);
  }
}
