/**
 * The four PCI interrupt lines PIRQA#-PIRQD#: which pins pull them, and which interrupt requests
 * they lead to (PIRQRC of the south bridge).
 *
 * Each slot's INTA#-INTD# are wired to the lines rotated by the slot, as on QEMU's i440FX board. All
 * that share a line pull it together, and the interrupt request is high while any line routed to it
 * is. Its lock comes after a device's and the bus's, and before that of the interrupt lines.
 *
 * Reference: 82371SB (290550-002), PIRQRC[A:D] (function 0, 60h-63h).
 */

import type { Device } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { bytes, record, u32s } from "../../hv/core/state/record.ts";
import type { InterruptPin } from "./pci_function.ts";

/** PIRQA# to PIRQD#. */
export const PIRQS = 4;
const FUNCTIONS = 8;
const ISA_IRQS = 16;

/** PIRQRC bit 7: the line leads nowhere. */
const ROUTING_DISABLED = 0x80;

/** Interrupt requests that a line can be routed to: 3-7, 9-12, 14, 15. */
const ROUTABLE = 0xdef8;

/** The line (0: PIRQA#, to 3: PIRQD#) that `pin` (1: INTA#, to 4: INTD#) of a slot is wired to. */
export const pirqOf = (slot: number, pin: number): number => (slot + pin + 2) & 3;

/** State of the router. */
export const PirqRouterState = record("pirq_router", 1, {
  /** For each line and function number, a bit for each slot whose pin pulls it. */
  pulled: u32s(PIRQS * FUNCTIONS),
  /** PIRQRC of each line. */
  routing: bytes(PIRQS),
});
/** A view of `PirqRouterState`. */
export type PirqRouterState = InstanceType<typeof PirqRouterState>;

/** See above. */
export class PirqRouter implements Device {
  readonly #state: PirqRouterState;
  readonly #lock: Lock;
  readonly #irqs: readonly (IrqLine | undefined)[];

  /** @param irqs The router's own source on each interrupt request 0 to 15, by number. */
  constructor(state: PirqRouterState, lock: Lock, irqs: readonly (IrqLine | undefined)[]) {
    this.#state = state;
    this.#lock = lock;
    this.#irqs = irqs;
  }

  reset(): void {
    this.#lock.with(() => {
      this.#state.pulled.fill(0);
      this.#state.routing.fill(ROUTING_DISABLED);
      for (const irq of this.#irqs) irq?.set(false);
    });
  }

  /** The end of interrupt pin `pin` (1: INTA#, to 4: INTD#) of a function. */
  pin(slot: number, number: number, pin: number): InterruptPin {
    const pirq = pirqOf(slot, pin);
    const word = pirq * FUNCTIONS + number;
    const bit = (1 << slot) >>> 0;
    return {
      update: (level) => {
        this.#lock.acquire();
        try {
          const { pulled } = this.#state;
          const before = pulled[word];
          pulled[word] = level() ? before | bit : before & ~bit;
          if (pulled[word] !== before) this.#drive(this.#irqOf(pirq));
        } finally {
          this.#lock.release();
        }
      },
    };
  }

  /** Leads a line (0 to 3) to where the value of its PIRQRC says. */
  route(pirq: number, pirqrc: number): void {
    this.#lock.with(() => {
      const before = this.#irqOf(pirq);
      this.#state.routing[pirq] = pirqrc;
      this.#drive(before);
      this.#drive(this.#irqOf(pirq));
    });
  }

  /** Is the line pulled? */
  level(pirq: number): boolean {
    const { pulled } = this.#state;
    for (let i = pirq * FUNCTIONS; i < (pirq + 1) * FUNCTIONS; i++) {
      if (pulled[i] !== 0) return true;
    }
    return false;
  }

  /** The interrupt request that the line leads to, or -1. */
  #irqOf(pirq: number): number {
    const routing = this.#state.routing[pirq];
    const irq = routing & (ISA_IRQS - 1);
    return (routing & ROUTING_DISABLED) !== 0 || ((ROUTABLE >> irq) & 1) === 0 ? -1 : irq;
  }

  #drive(irq: number): void {
    if (irq < 0) return;
    let level = false;
    for (let pirq = 0; pirq < PIRQS; pirq++) {
      if (this.#irqOf(pirq) === irq && this.level(pirq)) level = true;
    }
    this.#irqs[irq]?.set(level);
  }
}
