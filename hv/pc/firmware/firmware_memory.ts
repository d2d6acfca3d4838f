/** Memory that the built-in firmware takes, and the memory map that it reports. */

import { ROM_BASE, ROM_BYTES } from "../../../bios/rom/rom_area.ts";
import { e820, type MemoryRange } from "../../core/memory/e820.ts";
import { LOW_RAM_LIMIT } from "../../core/memory/guest_memory.ts";

/** Length of the built-in firmware's ROM, bytes. */
export const BUILTIN_ROM_BYTES = ROM_BYTES;
/** Where the built-in firmware's ROM has the ACPI root pointer. */
export const RSDP_ADDRESS = ROM_BASE;
/** RAM at the end of low RAM that holds the ACPI tables of the built-in firmware. */
export const ACPI_BYTES = 0x1_0000;

/** The memory map that the built-in firmware reports, for a machine with `ramBytes` of RAM. */
export function firmwareMemoryMap(ramBytes: number): MemoryRange[] {
  const lowBytes = Math.min(ramBytes, LOW_RAM_LIMIT);
  return e820({
    lowBytes,
    highBytes: ramBytes - lowBytes,
    acpiBytes: ACPI_BYTES,
    romBytes: BUILTIN_ROM_BYTES,
  });
}
