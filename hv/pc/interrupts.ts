/**
 * The board's own interrupt controllers and timers (devices/pc_interrupts.ts), for an accelerator that
 * has none: their ports and addresses, and each processor's end.
 */

import type { PcInterrupts } from "../../devices/pc_interrupts.ts";
import type { Vcpu } from "../accel/accelerator.ts";
import type { PcBuilder } from "./builder.ts";
import { IO_APIC_ADDRESS, LOCAL_APIC_ADDRESS } from "./layout.ts";

const APIC_BYTES = 0x1000;

/** Claims the chips' registers; they reset with the board. */
export function addInterrupts(b: PcBuilder, interrupts: PcInterrupts): void {
  b.device(interrupts);
  const { pic, picLock, pit, port61, pitLock, ioapic, ioapicLock } = interrupts;
  b.ports.claim({ name: "pic", base: 0x20, length: 2, device: pic.master, lock: picLock });
  b.ports.claim({ name: "pic", base: 0xa0, length: 2, device: pic.slave, lock: picLock });
  b.ports.claim({ name: "elcr", base: 0x4d0, length: 2, device: pic.elcr, lock: picLock });
  b.ports.claim({ name: "pit", base: 0x40, length: 4, device: pit, lock: pitLock });
  b.ports.claim({ name: "port 61h", base: 0x61, length: 1, device: port61, lock: pitLock });
  b.mmio.claim({
    name: "ioapic",
    base: IO_APIC_ADDRESS,
    length: APIC_BYTES,
    device: ioapic,
    widths: { max: 4 },
    lock: ioapicLock,
  });
}

/** Connects the processor that the calling thread runs: its local APIC is on this thread's bus. */
export function connectProcessor(b: PcBuilder, interrupts: PcInterrupts, vcpu: Vcpu): void {
  const { index } = vcpu;
  vcpu.interrupts = {
    pending: () => interrupts.hasInterrupt(index),
    acknowledge: () => interrupts.takeInterrupt(index),
  };
  b.mmio.claim({
    name: "local apic",
    base: LOCAL_APIC_ADDRESS,
    length: APIC_BYTES,
    device: interrupts.apics[index],
    widths: { max: 4 },
  });
}
