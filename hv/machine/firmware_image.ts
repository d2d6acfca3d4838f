/** The firmware's ROM image: our own, or a file such as SeaBIOS or OVMF. */

import { readUserFile } from "../options/user_file.ts";

const KIB = 1024;
/** What fits below the top of 4 GiB without touching the I/O APIC's neighbourhood. */
const MAX_BYTES = 4096 * KIB;

/**
 * Reads a firmware image.
 *
 * @throws {UsageError} When it is missing, or not 64 KiB to 4 MiB in steps of 64 KiB.
 * @throws {HostError} When it cannot be read.
 */
export function readFirmware(path: string): Uint8Array {
  return readUserFile(
    path,
    "firmware",
    (size) =>
      size === 0 || size % (64 * KIB) !== 0 || size > MAX_BYTES
        ? `${size} bytes, where a multiple of 64 KiB up to 4 MiB is needed`
        : undefined,
  );
}

/** The display's ROM as distributions name it beside SeaBIOS: for a VGA on the ISA bus. */
const VGA_ROM = "vgabios-isavga.bin";
/** Longest ROM between the display's window and other option ROMs. */
const MAX_VGA_ROM_BYTES = 64 * KIB;

/**
 * The display's ROM from the directory of the firmware `biosPath`: SeaBIOS has no INT 10h itself, and
 * asks the board for one. Undefined when there is none: such a machine shows nothing but runs.
 */
export function readVgaRom(biosPath: string): Uint8Array | undefined {
  const directory = biosPath.includes("/") ? biosPath.slice(0, biosPath.lastIndexOf("/")) : ".";
  try {
    const rom = Deno.readFileSync(`${directory}/${VGA_ROM}`);
    const isRom = rom[0] === 0x55 && rom[1] === 0xaa && rom.length <= MAX_VGA_ROM_BYTES;
    return isRom ? rom : undefined;
  } catch {
    return undefined;
  }
}
