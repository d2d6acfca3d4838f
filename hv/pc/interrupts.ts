/**
 * The board's own interrupt controllers and timers (devices/interrupts/pc_interrupts.ts), for an accelerator that
 * has none: their ports and addresses, and each processor's end.
 */

import type { LocalApic } from "../../devices/interrupts/local_apic/local_apic.ts";
import type { LocalApicMsrs } from "../../devices/interrupts/local_apic/msr.ts";
import { Latch } from "../../devices/interrupts/local_apic/registers.ts";
import type { PcInterrupts } from "../../devices/interrupts/pc_interrupts.ts";
import type { CpuSignal, InterruptSource, Vcpu } from "../accel/accelerator.ts";
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
  vcpu.interrupts = new ProcessorEnd(interrupts, index);
  b.mmio.claim({
    name: "local apic",
    base: LOCAL_APIC_ADDRESS,
    length: APIC_BYTES,
    device: interrupts.apics[index],
    widths: { max: 4 },
  });
}

const LATCHES = { init: Latch.init, startUp: Latch.startUp, nmi: Latch.nmi } as const;

/** What a processor sees of its local APIC other than the page of registers. */
class ProcessorEnd implements InterruptSource {
  readonly #interrupts: PcInterrupts;
  readonly #index: number;
  readonly #apic: LocalApic;
  readonly #msrs: LocalApicMsrs;

  constructor(interrupts: PcInterrupts, index: number) {
    this.#interrupts = interrupts;
    this.#index = index;
    this.#apic = interrupts.apics[index];
    this.#msrs = interrupts.msrs[index];
  }

  pending(): boolean {
    return this.#interrupts.hasInterrupt(this.#index);
  }

  acknowledge(): number {
    return this.#interrupts.takeInterrupt(this.#index);
  }

  signal(): CpuSignal | undefined {
    const { latches } = this.#apic;
    if (latches === 0) return undefined;
    // There is no system management mode to enter.
    if ((latches & Latch.smi) !== 0) this.#apic.takeLatch(Latch.smi);
    if ((latches & Latch.init) !== 0) return "init";
    if ((latches & Latch.startUp) !== 0) return "startUp";
    return (latches & Latch.nmi) !== 0 ? "nmi" : undefined;
  }

  takeSignal(signal: CpuSignal): void {
    this.#apic.takeLatch(LATCHES[signal]);
  }

  get startUpVector(): number {
    return this.#apic.startUpVector & 0xff;
  }

  init(): void {
    this.#apic.init();
  }

  get cr8(): number {
    return this.#apic.cr8;
  }

  set cr8(value: number) {
    this.#apic.cr8 = value;
  }

  get enabled(): boolean {
    return this.#apic.enabled;
  }

  hasMsr(msr: number): boolean {
    return this.#msrs.has(msr);
  }

  readMsr(msr: number): bigint | undefined {
    const value = this.#msrs.read(msr);
    return value === undefined ? undefined : BigInt(value.high) << 32n | BigInt(value.low);
  }

  writeMsr(msr: number, value: bigint): boolean {
    return this.#msrs.write(msr, Number(value & 0xffff_ffffn), Number(value >> 32n));
  }

  tscChanged(): void {
    this.#apic.timer.tscChanged();
  }
}
