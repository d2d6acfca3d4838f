/** Local APICs on a bench, wired to each other, with a time-stamp counter that counts guest ns. */

import { LocalApic } from "../../devices/interrupts/local_apic/local_apic.ts";
import { LocalApicMsrs } from "../../devices/interrupts/local_apic/msr.ts";
import { LocalApicState, Reg } from "../../devices/interrupts/local_apic/registers.ts";
import { LocalApics } from "../../devices/interrupts/local_apic/local_apics.ts";
import type { Arena } from "../../hv/core/state/arena.ts";
import type { Clock } from "../../hv/core/time/clock.ts";
import type { Timers } from "../../hv/core/time/timer.ts";
import { TestBench } from "./test_bench.ts";

/** Width of physical addresses that the MSRs allow. */
export const ADDRESS_BITS = 40;

/** Where the state is: a bench has it, or an arena that several threads share. */
export interface ApicParts {
  readonly arena: Arena;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** See above. Building writes nothing. */
export class ApicBench {
  readonly bench: TestBench;
  readonly bus = new LocalApics();
  readonly apics: LocalApic[] = [];
  readonly msrs: LocalApicMsrs[] = [];
  /** Vectors whose end was broadcast, and how often each processor was woken. */
  readonly ended: number[] = [];
  readonly wakes: number[] = [];
  /** Time-stamp counters less guest time, ns. */
  tscOffsetNs = 0;

  constructor(
    { cpus = 1, bench = new TestBench(), parts = bench, suppressesEoi = false }: {
      cpus?: number;
      bench?: TestBench;
      parts?: ApicParts;
      suppressesEoi?: boolean;
    } = {},
  ) {
    this.bench = bench;
    for (let index = 0; index < cpus; index++) {
      const { arena, clock, timers } = parts;
      const lock = arena.lock(`apic${index}`);
      const apic = new LocalApic(arena.allocate(LocalApicState, `apic${index}`), {
        index,
        bus: this.bus,
        endOfInterrupt: (vector) => this.ended.push(vector),
        wake: () => this.wakes[index]++,
        suppressesEoi,
        clock,
        lock,
        timer: timers.create(`apic${index}`, lock),
        tscDeadlineNs: (low, high) => high * 2 ** 32 + low - this.tscOffsetNs,
      });
      this.wakes.push(0);
      this.bus.add(apic.receiver);
      this.apics.push(apic);
      this.msrs.push(new LocalApicMsrs(apic, ADDRESS_BITS));
    }
  }

  /** Resets all, and enables them with spurious vector FFh. */
  start(): this {
    for (const apic of this.apics) {
      apic.reset();
      apic.write(Reg.SVR, 4, 0x1ff);
    }
    return this;
  }

  /** Takes every vector that is pending at a processor, in order, without ending any. */
  take(index = 0): number[] {
    const apic = this.apics[index];
    const taken: number[] = [];
    while (apic.pending() >= 0) taken.push(apic.acknowledge());
    return taken;
  }

  /** Takes and ends every vector that is pending, in order. */
  serve(index = 0): number[] {
    const apic = this.apics[index];
    const served: number[] = [];
    while (apic.pending() >= 0) {
      served.push(apic.acknowledge());
      if (apic.isX2) apic.writeRegister(Reg.EOI, 0);
      else apic.write(Reg.EOI, 4, 0);
    }
    return served;
  }
}
