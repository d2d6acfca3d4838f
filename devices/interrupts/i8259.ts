/**
 * The PC/AT's two cascaded 8259A interrupt controllers: master at 20h (inputs 0-7), slave at A0h (8-15,
 * on the master's input 2), edge/level control at 4D0h.
 *
 * References: Intel 8259A data sheet (order number 231468); PIIX3 data sheet (290550), p. 70.
 *
 * Used where the accelerator has no interrupt controllers of its own. Whoever calls `setIrq` or
 * `acknowledge` holds the lock.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { InterruptSink, IrqLine } from "../../hv/core/bus/irq.ts";
import { bytesOf, nested, record } from "../../hv/core/state/record.ts";
import { I8259Chip, I8259ChipState } from "./i8259_chip.ts";

/** The master's input to which the slave is connected. */
const CASCADE = 2;
/** Inputs that ELCR leaves edge-triggered: timer, keyboard, cascade; clock, coprocessor. */
const MASTER_ELCR = 0xf8;
const SLAVE_ELCR = 0xde;

/** The pair's state. */
export const I8259State = record("i8259", 1, {
  master: nested(I8259ChipState),
  slave: nested(I8259ChipState),
});
/** A view of `I8259State`. */
export type I8259State = InstanceType<typeof I8259State>;

/** See above. All ports have width 1. */
export class I8259 implements Device, InterruptSink {
  /** Ports 20h-21h. */
  readonly master: IoHandler;
  /** Ports A0h-A1h. */
  readonly slave: IoHandler;
  /** Ports 4D0h-4D1h. */
  readonly elcr: IoHandler;
  readonly #state: I8259State;
  readonly #output: IrqLine;
  readonly #master: I8259Chip;
  readonly #slave: I8259Chip;

  /** @param output The processor's INTR pin. */
  constructor(state: I8259State, output: IrqLine) {
    this.#state = state;
    this.#output = output;
    this.#master = new I8259Chip(state.master, CASCADE, MASTER_ELCR);
    this.#slave = new I8259Chip(state.slave, -1, SLAVE_ELCR);
    this.master = this.#ports(this.#master);
    this.slave = this.#ports(this.#slave);
    this.elcr = {
      read: (offset) => (offset === 0 ? this.#master : this.#slave).elcr,
      write: (offset, _size, value) => {
        (offset === 0 ? this.#master : this.#slave).elcr = value & 0xff;
        this.#update();
      },
    };
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    this.#master.reset();
    this.#slave.reset();
    this.#update();
  }

  /** After the state was loaded from elsewhere: cascade and output follow it. */
  refresh(): void {
    this.#update();
  }

  /** Level of interrupt line `irq`; those above 15 are not the PIC's, nor is 2. */
  setIrq(irq: number, level: boolean): void {
    if (irq < 0 || irq > 15 || irq === CASCADE) return;
    if (irq < 8) this.#master.setLine(irq, level);
    else this.#slave.setLine(irq - 8, level);
    this.#update();
  }

  /** Does the processor see INTR? */
  get pending(): boolean {
    return this.#master.int;
  }

  /** The processor's two INTA cycles: the vector, 0 to 255; a spurious one if the request has gone. */
  acknowledge(): number {
    const irq = this.#master.acknowledge();
    let vector = this.#master.vector(irq);
    if (irq === CASCADE) {
      // INTA ends the slave's request: whatever it has next is a new edge.
      this.#master.setLine(CASCADE, false);
      vector = this.#slave.vector(this.#slave.acknowledge());
    }
    this.#update();
    return vector;
  }

  #ports(chip: I8259Chip): IoHandler {
    return {
      read: (offset) => {
        const value = chip.read(offset);
        this.#update(); // a poll acknowledges
        return value;
      },
      write: (offset, _size, value) => {
        chip.write(offset, value & 0xff);
        this.#update();
      },
    };
  }

  #update(): void {
    this.#master.setLine(CASCADE, this.#slave.int);
    this.#output.set(this.#master.int);
  }
}
