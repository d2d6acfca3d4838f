/**
 * The MP table of a board: floating pointer and configuration table, by which systems older than ACPI
 * find processors and I/O APIC.
 *
 * Reference: Intel MultiProcessor Specification 1.4, chapter 4 and appendix E.
 */

import { pirqOf, PIRQS } from "../../devices/pci/pirq_router.ts";
import type { BoardDescription } from "./board_description.ts";
import { checksumFor, TableWriter } from "./table_writer.ts";

/** Bytes of the floating pointer, behind which the configuration table lies. */
const POINTER_BYTES = 16;
const POINTER_CHECKSUM = 10;
const HEADER_BYTES = 44;
const HEADER_CHECKSUM = 7;
/** 1.4. */
const SPECIFICATION_REVISION = 4;

/** Entry types (4.3). */
const PROCESSOR = 0;
const BUS = 1;
const IO_APIC = 2;
const IO_INTERRUPT = 3;
const LOCAL_INTERRUPT = 4;

const CPU_ENABLED = 1;
const CPU_BOOTSTRAP = 2;
const LOCAL_APIC_VERSION = 0x14;
const IO_APIC_VERSION = 0x11;
const PCI_BUS = 0;
const ISA_BUS = 1;
/** Interrupt types. */
const INT = 0;
const NMI = 1;
const EXT_INT = 3;
/** Polarity and trigger: as the bus has it; or active high and level. */
const CONFORMS = 0x0;
const ACTIVE_HIGH_LEVEL = 0xd;
const ALL_LOCAL_APICS = 0xff;

const ISA_IRQS = 16;
const CASCADE_IRQ = 2;
const SLOTS = 32;

/**
 * The bytes for `address`, a multiple of 16 in the last KiB of base memory, the EBDA's first, or
 * F0000h-FFFFFh (4.1).
 */
export function buildMpTable(board: BoardDescription, address: number): Uint8Array {
  const entries = tableEntries(board);
  const body = entries.flatMap((entry) => [...entry]);
  const header = new TableWriter().text("PCMP").u16(HEADER_BYTES + body.length)
    .u8(SPECIFICATION_REVISION, 0).text("HV      ").text("HV PC       ").u32(0).u16(0)
    .u16(entries.length).u32(board.localApicAddress).u16(0).u8(0, 0).bytes();
  const config = new Uint8Array(HEADER_BYTES + body.length);
  config.set(header);
  config.set(body, HEADER_BYTES);
  config[HEADER_CHECKSUM] = checksumFor(config, HEADER_CHECKSUM);
  // Feature bytes 0: there is a configuration table; virtual wire mode at the start.
  const pointer = new TableWriter().text("_MP_").u32(address + POINTER_BYTES)
    .u8(POINTER_BYTES / 16, SPECIFICATION_REVISION, 0, 0, 0, 0, 0, 0).bytes();
  pointer[POINTER_CHECKSUM] = checksumFor(pointer, POINTER_CHECKSUM);
  const whole = new Uint8Array(POINTER_BYTES + config.length);
  whole.set(pointer);
  whole.set(config, POINTER_BYTES);
  return whole;
}

/** Entries in order of their types, as 4.3 demands. */
function tableEntries(board: BoardDescription): Uint8Array[] {
  const { cpus, cpuSignature, cpuFeatures, ioApic, timerGsi, sciIrq, pirqRouting, virtioMmio } =
    board;
  const entries: Uint8Array[] = [];
  const entry = (fill: (out: TableWriter) => TableWriter) =>
    entries.push(fill(new TableWriter()).bytes());
  for (let n = 0; n < cpus; n++) {
    const flags = CPU_ENABLED | (n === 0 ? CPU_BOOTSTRAP : 0);
    entry((out) =>
      out.u8(PROCESSOR, n, LOCAL_APIC_VERSION, flags).u32(cpuSignature).u32(cpuFeatures).zeros(8)
    );
  }
  entry((out) => out.u8(BUS, PCI_BUS).text("PCI   "));
  entry((out) => out.u8(BUS, ISA_BUS).text("ISA   "));
  entry((out) => out.u8(IO_APIC, ioApic.id, IO_APIC_VERSION, 1).u32(ioApic.address));

  const interrupt = (type: number, flags: number, bus: number, irq: number, pin: number) =>
    entry((out) => out.u8(IO_INTERRUPT, type).u16(flags).u8(bus, irq, ioApic.id, pin));
  for (let slot = 1; slot < SLOTS; slot++) {
    for (let pin = 0; pin < PIRQS; pin++) {
      // Bits 6-2 of the source are the slot, bits 1-0 the pin (appendix D.3).
      const irq = pirqRouting[pirqOf(slot, pin + 1)];
      interrupt(INT, ACTIVE_HIGH_LEVEL, PCI_BUS, (slot << 2) | pin, irq);
    }
  }
  for (let irq = 0; irq < ISA_IRQS; irq++) {
    if (irq === CASCADE_IRQ || pirqRouting.includes(irq)) continue;
    const isLevel = irq === sciIrq || irq === virtioMmio?.irq;
    const flags = isLevel ? ACTIVE_HIGH_LEVEL : CONFORMS;
    interrupt(INT, flags, ISA_BUS, irq, irq === 0 ? timerGsi : irq);
  }
  entry((out) => out.u8(LOCAL_INTERRUPT, EXT_INT).u16(CONFORMS).u8(ISA_BUS, 0, 0, 0));
  entry((out) => out.u8(LOCAL_INTERRUPT, NMI).u16(CONFORMS).u8(ISA_BUS, 0, ALL_LOCAL_APICS, 1));
  return entries;
}
