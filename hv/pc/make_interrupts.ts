/** Makes the board's own interrupt controllers and timers, for an accelerator that has none. */

import type { PcInterrupts } from "../../devices/interrupts/pc_interrupts.ts";
import type { AcceleratedVm } from "../accel/accelerator.ts";
import type { Arena } from "../core/state/arena.ts";
import type { Clock } from "../core/time/clock.ts";
import type { Timers } from "../core/time/timer.ts";
import { IO_APIC_ADDRESS } from "./layout.ts";

/** What the software CPU announces in CPUID. */
const PHYSICAL_ADDRESS_BITS = 40;

/** What the chips are made of. */
export interface InterruptsContext {
  readonly chipArena: Arena;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly cpus: number;
  readonly vm: AcceleratedVm;
}

/** The chips of a machine whose accelerator has none. */
export function makeInterrupts(
  Interrupts: typeof PcInterrupts,
  { chipArena, timers, clock, cpus, vm }: InterruptsContext,
): PcInterrupts {
  return new Interrupts({
    arena: chipArena,
    timers: { create: (name, lock) => timers.create(name, lock, chipArena) },
    clock,
    cpus,
    physicalAddressBits: PHYSICAL_ADDRESS_BITS,
    ioapicAddress: IO_APIC_ADDRESS,
    wake: (cpu) => vm.interrupt?.(cpu),
    tscDeadlineNs: (cpu, low, high) => {
      // The counter first: rather late than early.
      const leftNs = vm.nsUntilTsc?.(cpu, BigInt(high) << 32n | BigInt(low)) ?? Infinity;
      return clock.nowNs() + leftNs;
    },
  });
}
