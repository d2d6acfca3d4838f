/**
 * System control port A of the PS/2, port 92h: fast A20 and fast reset.
 *
 * Reference: IBM Personal System/2 hardware interface technical reference (1990), "System control
 * port A". Left out: the disk activity lamps and the password lock.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import { bytesOf, record, u8 } from "../../hv/core/state/record.ts";

/** A write that raises it resets the processor. */
const FAST_RESET = 0x01;
const A20 = 0x02;

/** The port's state. */
export const Port92State = record("port92", 1, {
  /** Bits 0 and 1 as they were written. */
  control: u8,
});
/** A view of `Port92State`. */
export type Port92State = InstanceType<typeof Port92State>;

/** What the port drives. */
export interface Port92Wiring {
  /** Address line 20 follows the processor (true) or stays low, as far as this port is asked. */
  readonly a20: (on: boolean) => void;
  /** The guest asks for a reset of the processor. */
  readonly requestReset: () => void;
}

/** See above. One port of width 1. */
export class Port92 implements Device, IoHandler {
  readonly #state: Port92State;
  readonly #wiring: Port92Wiring;

  constructor(state: Port92State, wiring: Port92Wiring) {
    this.#state = state;
    this.#wiring = wiring;
  }

  /** A20 is open, as the 8042 leaves it too. */
  reset(): void {
    bytesOf(this.#state).fill(0);
    this.#state.control = A20;
  }

  read(_offset: number, _size: number): number {
    return this.#state.control;
  }

  write(_offset: number, _size: number, value: number): void {
    const s = this.#state;
    const before = s.control;
    s.control = value & (FAST_RESET | A20);
    if ((s.control ^ before) & A20) this.#wiring.a20((s.control & A20) !== 0);
    if (s.control & ~before & FAST_RESET) this.#wiring.requestReset();
  }
}
