/**
 * All ACPI tables of a board as relocatable bytes: one file of tables and one with the root pointer,
 * a list of the pointers in them and a list of the checksums, which depend on these.
 *
 * The built-in firmware places them itself (`placeAcpi`); SeaBIOS and OVMF get the same files by
 * fw_cfg with a script that tells them how to (`loaderScript`).
 *
 * References: ACPI 6.4, 5.2.5 "Root system description pointer"; QEMU, the comments on
 * BiosLinkerLoaderEntry in hw/acpi/bios-linker-loader.c (layout of the script).
 */

import { alignUp } from "../../../hv/core/align.ts";
import { dsdtBlock } from "./dsdt.ts";
import { HEADER_CHECKSUM, RSDP_OEM_ID, table } from "./header.ts";
import {
  facs,
  fadt,
  FADT_DSDT,
  FADT_FIRMWARE_CTRL,
  FADT_X_DSDT,
  hpet,
  madt,
  rootEntry,
  rootTable,
} from "./tables.ts";
import type { BoardDescription } from "../board_description.ts";
import { checksumFor, TableWriter } from "../table_writer.ts";

/** Names of the files in fw_cfg. */
export const ACPI_TABLES_FILE = "etc/acpi/tables";
export const ACPI_RSDP_FILE = "etc/acpi/rsdp";
export const ACPI_LOADER_FILE = "etc/table-loader";

/** One of the two files. */
export type AcpiFile = typeof ACPI_TABLES_FILE | typeof ACPI_RSDP_FILE;

/** A pointer within a file: until it is placed, it holds an offset in the tables' file. */
export interface AcpiPointer {
  readonly file: AcpiFile;
  readonly offset: number;
  readonly size: 4 | 8;
  readonly target: typeof ACPI_TABLES_FILE;
}

/** A byte within a file that makes the sum of `length` bytes from `start` zero. */
export interface AcpiChecksum {
  readonly file: AcpiFile;
  readonly offset: number;
  readonly start: number;
  readonly length: number;
}

/** See above. */
export interface AcpiTables {
  /** Needs an address that is a multiple of 64, below 4 GiB, in memory that stays writable. */
  readonly tables: Uint8Array;
  /** 36 bytes; needs an address that is a multiple of 16, from E0000h to FFFFFh. */
  readonly rsdp: Uint8Array;
  /** Each table's signature and place in `tables`. */
  readonly directory: readonly { signature: string; offset: number; length: number }[];
  readonly pointers: readonly AcpiPointer[];
  readonly checksums: readonly AcpiChecksum[];
}

/** Alignment of the FACS, and so of the file. */
const FILE_ALIGNMENT = 64;
const TABLE_ALIGNMENT = 16;
const DSDT_REVISION = 1;

/** Offsets in the root pointer. */
const RSDP_CHECKSUM = 8;
const RSDP_RSDT = 16;
const RSDP_XSDT = 24;
const RSDP_EXTENDED_CHECKSUM = 32;
/** Bytes of the ACPI 1.0 part, and of all. */
const RSDP_OLD_BYTES = 20;
const RSDP_BYTES = 36;

/** The tables of `board`, ready to be placed anywhere. */
export function buildAcpi(board: BoardDescription): AcpiTables {
  const parts: { offset: number; bytes: Uint8Array }[] = [];
  const pointers: AcpiPointer[] = [];
  const checksums: AcpiChecksum[] = [];
  let end = 0;
  const add = (bytes: Uint8Array, hasChecksum = true): number => {
    const offset = alignUp(end, TABLE_ALIGNMENT);
    parts.push({ offset, bytes });
    end = offset + bytes.length;
    if (hasChecksum) {
      const [file, length] = [ACPI_TABLES_FILE, bytes.length] as const;
      checksums.push({ file, offset: offset + HEADER_CHECKSUM, start: offset, length });
    }
    return offset;
  };
  const point =
    (file: AcpiFile, bytes: Uint8Array, base: number, at: number, target: number) =>
    (size: 4 | 8) => {
      new DataView(bytes.buffer).setUint32(at, target, true);
      pointers.push({ file, offset: base + at, size, target: ACPI_TABLES_FILE });
    };

  const facsOffset = add(facs(), false);
  const dsdtOffset = add(table("DSDT", DSDT_REVISION, dsdtBlock(board)));
  const fixed = fadt(board);
  const fixedOffset = add(fixed);
  point(ACPI_TABLES_FILE, fixed, fixedOffset, FADT_FIRMWARE_CTRL, facsOffset)(4);
  point(ACPI_TABLES_FILE, fixed, fixedOffset, FADT_DSDT, dsdtOffset)(4);
  point(ACPI_TABLES_FILE, fixed, fixedOffset, FADT_X_DSDT, dsdtOffset)(8);
  const listed = [fixedOffset, add(madt(board))];
  if (board.hpetAddress !== undefined) listed.push(add(hpet(board.hpetAddress)));
  const root = (size: 4 | 8) => {
    const bytes = rootTable(size, listed.length);
    const offset = add(bytes);
    for (const [n, target] of listed.entries()) {
      point(ACPI_TABLES_FILE, bytes, offset, rootEntry(size, n), target)(size);
    }
    return offset;
  };
  const rsdtOffset = root(4);
  const xsdtOffset = root(8);

  const rsdp = new TableWriter().text("RSD PTR ").u8(0).text(RSDP_OEM_ID).u8(2).u32(0)
    .u32(RSDP_BYTES).u64(0).u8(0).zeros(3).bytes();
  point(ACPI_RSDP_FILE, rsdp, 0, RSDP_RSDT, rsdtOffset)(4);
  point(ACPI_RSDP_FILE, rsdp, 0, RSDP_XSDT, xsdtOffset)(8);
  const file = ACPI_RSDP_FILE;
  checksums.push({ file, offset: RSDP_CHECKSUM, start: 0, length: RSDP_OLD_BYTES });
  checksums.push({ file, offset: RSDP_EXTENDED_CHECKSUM, start: 0, length: RSDP_BYTES });

  const tables = new Uint8Array(end);
  for (const { offset, bytes } of parts) tables.set(bytes, offset);
  const directory = parts.map(({ offset, bytes }) => ({
    signature: String.fromCharCode(...bytes.subarray(0, 4)),
    offset,
    length: bytes.length,
  }));
  return { tables, rsdp, directory, pointers, checksums };
}

/** The files as they must lie at `tablesAddress` (see `AcpiTables`), pointers and checksums made. */
export function placeAcpi(
  acpi: AcpiTables,
  tablesAddress: number,
): { tables: Uint8Array; rsdp: Uint8Array } {
  const files = {
    [ACPI_TABLES_FILE]: acpi.tables.slice(),
    [ACPI_RSDP_FILE]: acpi.rsdp.slice(),
  };
  // All pointers lead below 4 GiB, so the upper half of long ones stays 0.
  for (const { file, offset } of acpi.pointers) {
    const view = new DataView(files[file].buffer);
    view.setUint32(offset, view.getUint32(offset, true) + tablesAddress, true);
  }
  for (const { file, offset, start, length } of acpi.checksums) {
    const bytes = files[file].subarray(start, start + length);
    bytes[offset - start] = checksumFor(bytes, offset - start);
  }
  return { tables: files[ACPI_TABLES_FILE], rsdp: files[ACPI_RSDP_FILE] };
}

/** Commands of the script: an entry is 128 bytes, the names in it 56. */
const ENTRY_BYTES = 128;
const NAME_BYTES = 56;
const ALLOCATE = 1;
const ADD_POINTER = 2;
const ADD_CHECKSUM = 3;
/** Where to allocate: anywhere below 4 GiB; E0000h-FFFFFh. */
const ZONE_HIGH = 1;
const ZONE_F_SEGMENT = 2;

/** The contents of `etc/table-loader`: what firmware does with the two files. */
export function loaderScript({ pointers, checksums }: AcpiTables): Uint8Array {
  const entries: Uint8Array[] = [];
  const entry = (command: number, names: string[], fill: (out: TableWriter) => void) => {
    const out = new TableWriter().u32(command);
    for (const name of names) out.text(name).zeros(NAME_BYTES - name.length);
    fill(out);
    entries.push(out.zeros(ENTRY_BYTES - out.length).bytes());
  };
  const allocate = (file: AcpiFile, alignment: number, zone: number) =>
    entry(ALLOCATE, [file], (out) => out.u32(alignment).u8(zone));
  allocate(ACPI_RSDP_FILE, TABLE_ALIGNMENT, ZONE_F_SEGMENT);
  allocate(ACPI_TABLES_FILE, FILE_ALIGNMENT, ZONE_HIGH);
  for (const { file, target, offset, size } of pointers) {
    entry(ADD_POINTER, [file, target], (out) => out.u32(offset).u8(size));
  }
  for (const { file, offset, start, length } of checksums) {
    entry(ADD_CHECKSUM, [file], (out) => out.u32(offset).u32(start).u32(length));
  }
  const script = new Uint8Array(entries.length * ENTRY_BYTES);
  for (const [n, bytes] of entries.entries()) script.set(bytes, n * ENTRY_BYTES);
  return script;
}
