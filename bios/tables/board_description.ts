/** What firmware tables say of the board, as plain data; hv/pc/firmware/firmware_tables.ts gives that of ours. */

import type { AddressRange } from "../../hv/core/memory/address_range.ts";

/** An ISA device with one port range and one interrupt. */
export interface IsaPort {
  readonly port: number;
  readonly irq: number;
}

/** See above. Local APIC ids are the processors' numbers. */
export interface BoardDescription {
  /** Processors, 1 to 255. */
  readonly cpus: number;
  /** CPUID leaf 1 EAX, and EDX, for tables that repeat them. */
  readonly cpuSignature: number;
  readonly cpuFeatures: number;
  /** RAM from address 0, and from 4 GiB, in bytes. */
  readonly lowRamBytes: number;
  readonly highRamBytes: number;
  readonly localApicAddress: number;
  readonly ioApic: { readonly id: number; readonly address: number };
  /** I/O APIC pin of the timer, which is IRQ 0 of the PIC. */
  readonly timerGsi: number;
  /** Interrupt requests that the PCI lines may be routed to; they are level-triggered. */
  readonly pciIrqs: readonly number[];
  /** Where firmware routes PIRQA# to PIRQD#, by which the MP table lists PCI interrupts. */
  readonly pirqRouting: readonly [number, number, number, number];
  /** Where PCI devices may be put: below 4 GiB, and above if anywhere. */
  readonly pciHole: AddressRange;
  readonly pciHole64?: AddressRange;
  /** Power management ports: PM1 events, PM1 control, timer. */
  readonly pmBase: number;
  /** General purpose events: 4 ports. */
  readonly gpe0Base: number;
  /** PCI slots whose devices come and go while the machine runs, and the ports that tell of it. */
  readonly pciHotplug?: { readonly port: number; readonly slots: readonly number[] };
  /** Virtio devices that are on no bus: windows of memory, and the interrupt request that all share. */
  readonly virtioMmio?: {
    readonly base: number;
    readonly stride: number;
    readonly count: number;
    readonly irq: number;
  };
  /** 24, or 32 with TMR_VAL_EXT. */
  readonly pmTimerBits: 24 | 32;
  readonly sciIrq: number;
  /** Port by which ACPI mode is entered. */
  readonly smiPort: number;
  /** Reset register: port and value. */
  readonly reset: { readonly port: number; readonly value: number };
  /** Event timers, if there are any. */
  readonly hpetAddress?: number;
  readonly serialPorts: readonly IsaPort[];
  readonly hasFloppy: boolean;
}
