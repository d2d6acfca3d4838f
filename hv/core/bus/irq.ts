/**
 * Interrupt request lines: several devices may pull one line, which is high while any of them does.
 */

import type { Arena } from "../state/arena.ts";
import type { Lock } from "../state/lock.ts";
import { record, words } from "../state/record.ts";

/** A device's end of an interrupt line. */
export interface IrqLine {
  /** Pulls the line (true) or lets it go (false). */
  set(level: boolean): void;
}

/** What lines lead to: the accelerator's interrupt controllers. */
export interface InterruptSink {
  /** Level of a global system interrupt, 0 to 23. */
  setIrq(gsi: number, level: boolean): void;
}

/** Global system interrupts: the pins of the I/O APIC, of which 0-15 are the PIC's too. */
export const GSI_COUNT = 24;
const MAX_SOURCES = 32;

const IrqState = record("irq_lines", 1, {
  /** For each GSI, a bit for each source that pulls it. */
  sources: words(GSI_COUNT),
});

/** The lines of a machine. */
export class IrqLines {
  readonly #sources: Int32Array;
  readonly #lock: Lock;
  readonly #sink: InterruptSink;
  readonly #used: number[] = new Array(GSI_COUNT).fill(0);

  constructor(arena: Arena, sink: InterruptSink) {
    this.#sources = arena.allocate(IrqState, "irq_lines").sources;
    this.#lock = arena.lock("irq_lines");
    this.#sink = sink;
  }

  /** A new source on line `gsi` (0 to 23); each line has room for 32. */
  line(gsi: number): IrqLine {
    const source = this.#used[gsi];
    if (source === undefined || source >= MAX_SOURCES) {
      throw new Error(`Cannot add a source to interrupt line ${gsi}: no such line, or it is full`);
    }
    this.#used[gsi]++;
    const bit = 1 << source;
    return { set: (level) => this.#set(gsi, bit, level) };
  }

  /** The level of line `gsi`. */
  level(gsi: number): boolean {
    return Atomics.load(this.#sources, gsi) !== 0;
  }

  /** Lets every line go, as at a reset, and tells the sink. */
  reset(): void {
    for (let gsi = 0; gsi < GSI_COUNT; gsi++) this.#set(gsi, -1, false);
  }

  #set(gsi: number, bits: number, level: boolean): void {
    const sources = this.#sources;
    // A source that is already there changes nothing, so most calls need no lock.
    if (((sources[gsi] & bits) !== 0) === level && bits !== -1) return;
    // The lock keeps the sink's order the same as ours when two threads change a line at once.
    this.#lock.acquire();
    try {
      const before = sources[gsi];
      const after = level ? before | bits : before & ~bits;
      Atomics.store(sources, gsi, after);
      if ((before !== 0) !== (after !== 0)) this.#sink.setIrq(gsi, after !== 0);
    } finally {
      this.#lock.release();
    }
  }
}
