/**
 * Ports, addresses and interrupt lines of the board that its devices and the tables of its firmware must
 * agree on. Those of a single device are where that is put on the board.
 */

import type { IsaPort } from "../../bios/tables/board_description.ts";

/** COM1 to COM4. */
export const SERIAL_PORTS: readonly IsaPort[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];
/** The firmware's log, as with Bochs and QEMU. */
export const FIRMWARE_LOG_PORT = 0x402;
/** Interrupt line of power management. */
export const SCI_IRQ = 9;
/** General purpose events: 4 ports. */
export const GPE0_PORT = 0xafe0;
/** Registers of PCI hot-plug: 16 ports, as on QEMU's board. */
export const PCI_HOTPLUG_PORT = 0xae00;
/** PCI slots for what a user has on the board: from `first` on, behind where QEMU has the display. */
export const FREE_SLOTS = { first: 3, count: 21 } as const;
/** PCI slots whose devices come and go while the machine runs: those behind. */
export const HOTPLUG_SLOTS: readonly number[] = [24, 25, 26, 27, 28, 29, 30, 31];
/** APM control of the PIIX4, by which ACPI mode is entered: 2 ports. */
export const SMI_PORT = 0xb2;
/** Virtio devices that are not on PCI: a page each from here on, and the interrupt line of all. */
export const VIRTIO_MMIO = { base: 0xfec4_0000, stride: 0x1000, most: 24, irq: 5 } as const;
/** I/O APIC, where the PCI hole ends. */
export const IO_APIC_ADDRESS = 0xfec0_0000;
/** Local APICs. */
export const LOCAL_APIC_ADDRESS = 0xfee0_0000;
