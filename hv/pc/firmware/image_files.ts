/** What a firmware image such as SeaBIOS or OVMF asks fw_cfg for. */

import {
  ACPI_LOADER_FILE,
  ACPI_RSDP_FILE,
  ACPI_TABLES_FILE,
  buildAcpi,
  loaderScript,
} from "../../../bios/tables/acpi/acpi.ts";
import { buildSmbios } from "../../../bios/tables/smbios.ts";
import { e820Bytes, ramRanges } from "../../core/memory/e820.ts";
import type { BoardConfig } from "../board_config.ts";
import { boardOf, IDENTITY } from "./firmware_tables.ts";

/** The files by name. */
export function imageFiles(config: BoardConfig): Map<string, Uint8Array> {
  const board = boardOf(config);
  const { lowRamBytes: lowBytes, highRamBytes: highBytes } = board;
  const acpi = buildAcpi(board);
  const { entryPoint, structures } = buildSmbios(board, IDENTITY);
  const files = new Map([
    ["etc/e820", e820Bytes(ramRanges({ lowBytes, highBytes }))],
    [ACPI_TABLES_FILE, acpi.tables],
    [ACPI_RSDP_FILE, acpi.rsdp],
    [ACPI_LOADER_FILE, loaderScript(acpi)],
    ["etc/smbios/smbios-anchor", entryPoint],
    ["etc/smbios/smbios-tables", structures],
  ]);
  if (config.vgaRom !== undefined) files.set("vgaroms/vgabios.bin", config.vgaRom);
  return files;
}
