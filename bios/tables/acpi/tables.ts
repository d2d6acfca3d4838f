/**
 * The fixed ACPI tables: FADT, FACS, MADT and HPET, as functions of the board. Pointers in them are
 * 0 yet (see acpi.ts), and so are checksums.
 *
 * Reference: ACPI 6.4, 5.2.8 to 5.2.12; IA-PC HPET specification 1.0a, 3.2.4.
 */

import { ACPI_DISABLE, ACPI_ENABLE } from "../../../devices/system/acpi_pm.ts";
import { HEADER_BYTES, table } from "./header.ts";
import type { BoardDescription } from "../board_description.ts";
import { TableWriter } from "../table_writer.ts";

/** Offsets in the FADT of the pointers to FACS and DSDT. */
export const FADT_FIRMWARE_CTRL = 36;
export const FADT_DSDT = 40;
export const FADT_X_DSDT = 140;

/** FADT of ACPI 2.0: the oldest with a reset register. */
const FADT_REVISION = 3;
const CENTURY_IN_CMOS = 0x32;
/** Latencies above which C2 and C3 do not exist. */
const NO_C2 = 101;
const NO_C3 = 1001;
/** IAPC_BOOT_ARCH. */
const LEGACY_DEVICES = 0x01;
const HAS_8042 = 0x02;
/** Fixed feature flags. */
const FLAG_WBINVD = 1 << 0;
const FLAG_PROC_C1 = 1 << 2;
const FLAG_NO_SLEEP_BUTTON = 1 << 5;
const FLAG_TMR_VAL_EXT = 1 << 8;
const FLAG_RESET_REG = 1 << 10;

/** Generic address (5.2.3.2) of a register of `bits` in I/O space. */
const ioAddress = (out: TableWriter, port: number, bits: number): TableWriter =>
  out.u8(1, bits, 0, 0).u64(port);

/** Fixed ACPI description table (5.2.9). */
export function fadt(board: BoardDescription): Uint8Array {
  const { pmBase, gpe0Base, pmTimerBits, sciIrq, smiPort, reset } = board;
  const out = new TableWriter();
  // FIRMWARE_CTRL, DSDT; INT_MODEL and profile 0: reserved, unspecified.
  out.u32(0).u32(0).u8(0, 0).u16(sciIrq).u32(smiPort);
  // No S4 by firmware, no performance state control.
  out.u8(ACPI_ENABLE, ACPI_DISABLE, 0, 0);
  out.u32(pmBase).u32(0).u32(pmBase + 4).u32(0).u32(0).u32(pmBase + 8).u32(gpe0Base).u32(0);
  // Lengths of the blocks just named; GPE1 begins nowhere; no C states by _CST.
  out.u8(4, 2, 0, 4, 4, 0, 0, 0);
  // Latencies, flush sizes (WBINVD does it), duty cycle (none), alarm registers (day, month: none).
  out.u16(NO_C2).u16(NO_C3).u16(0).u16(0).u8(0, 0, 0, 0, CENTURY_IN_CMOS);
  out.u16(LEGACY_DEVICES | HAS_8042).u8(0);
  out.u32(
    FLAG_WBINVD | FLAG_PROC_C1 | FLAG_NO_SLEEP_BUTTON | FLAG_RESET_REG |
      (pmTimerBits === 32 ? FLAG_TMR_VAL_EXT : 0),
  );
  ioAddress(out, reset.port, 8).u8(reset.value).zeros(3);
  // X_FIRMWARE_CTRL stays 0 as the FACS lies below 4 GiB; X_DSDT.
  out.u64(0).u64(0);
  ioAddress(out, pmBase, 32).zeros(12);
  ioAddress(out, pmBase + 4, 16).zeros(12).zeros(12);
  ioAddress(out, pmBase + 8, 32);
  ioAddress(out, gpe0Base, 32).zeros(12);
  return table("FACP", FADT_REVISION, out.bytes());
}

/** Firmware ACPI control structure (5.2.10): 64 bytes, without header checksum. */
export const facs = (): Uint8Array =>
  new TableWriter().text("FACS").u32(64).zeros(24).u8(1).zeros(31).bytes();

/** Bits of MPS INTI flags (5.2.12.5). */
const ACTIVE_HIGH = 0x1;
const LEVEL = 0xc;
const ISA_BUS = 0;
const ALL_PROCESSORS = 0xff;

/** Multiple APIC description table (5.2.12). */
export function madt(board: BoardDescription): Uint8Array {
  const { cpus, localApicAddress, ioApic, timerGsi, pciIrqs, sciIrq } = board;
  // PCAT_COMPAT: there are 8259s too.
  const out = new TableWriter().u32(localApicAddress).u32(1);
  // 5.2.12.2: processor n has local APIC n, enabled.
  for (let n = 0; n < cpus; n++) out.u8(0, 8, n, n).u32(1);
  out.u8(1, 12, ioApic.id, 0).u32(ioApic.address).u32(0);
  const override = (irq: number, gsi: number, flags: number) =>
    out.u8(2, 10, ISA_BUS, irq).u32(gsi).u16(flags);
  if (timerGsi !== 0) override(0, timerGsi, 0);
  for (const irq of [...new Set([...pciIrqs, sciIrq])].sort((a, b) => a - b)) {
    override(irq, irq, ACTIVE_HIGH | LEVEL);
  }
  // 5.2.12.7: NMI at LINT1 of every processor.
  out.u8(4, 6, ALL_PROCESSORS).u16(0).u8(1);
  return table("APIC", 1, out.bytes());
}

/** Event timer block: three comparators, 64 bits, replaces the legacy routes, vendor 8086h. */
const HPET_ID = 0x8086_a201;

/** HPET description table. */
export function hpet(address: number): Uint8Array {
  const out = new TableWriter().u32(HPET_ID).u8(0, 0, 0, 0).u64(address);
  return table("HPET", 1, out.u8(0).u16(0).u8(0).bytes());
}

/** Root table (5.2.7, 5.2.8) with room for `entries` pointers of `pointerBytes`. */
export const rootTable = (pointerBytes: 4 | 8, entries: number): Uint8Array =>
  table(pointerBytes === 4 ? "RSDT" : "XSDT", 1, new Uint8Array(entries * pointerBytes));

/** Offset of pointer `n` in a root table. */
export const rootEntry = (pointerBytes: 4 | 8, n: number): number =>
  HEADER_BYTES + n * pointerBytes;
