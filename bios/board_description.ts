/**
 * What firmware tables say of the board, as plain data. `describeBoard` gives the i440FX/PIIX3 board;
 * whoever builds another one changes fields of it.
 */

import type { AddressRange } from "../hv/core/address_range.ts";

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

const SERIAL_PORTS: readonly IsaPort[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];
/** Where the PCI hole ends: the I/O APIC. */
const PCI_HOLE_END = 0xfec0_0000;

/** What of the board its user chooses. */
export interface BoardOptions {
  readonly cpus: number;
  readonly lowRamBytes: number;
  readonly highRamBytes: number;
  /** Serial ports, 0 to 4. */
  readonly serialPorts?: number;
  readonly hasFloppy?: boolean;
}

/** The i440FX/PIIX3 board. */
export function describeBoard(
  { cpus, lowRamBytes, highRamBytes, serialPorts = 1, hasFloppy = true }: BoardOptions,
): BoardDescription {
  // Where SeaBIOS lets the hole begin as well.
  const holeBase = lowRamBytes <= 0x8000_0000 ? 0x8000_0000 : 0xc000_0000;
  return {
    cpus,
    cpuSignature: 0x0000_0663,
    cpuFeatures: 0x0783_fbfd,
    lowRamBytes,
    highRamBytes,
    localApicAddress: 0xfee0_0000,
    ioApic: { id: 0, address: PCI_HOLE_END },
    timerGsi: 2,
    pciIrqs: [5, 10, 11],
    pirqRouting: [10, 10, 11, 11],
    pciHole: { base: holeBase, length: PCI_HOLE_END - holeBase },
    pmBase: 0x600,
    gpe0Base: 0xafe0,
    pmTimerBits: 24,
    sciIrq: 9,
    smiPort: 0xb2,
    reset: { port: 0xcf9, value: 0x06 },
    serialPorts: SERIAL_PORTS.slice(0, serialPorts),
    hasFloppy,
  };
}
