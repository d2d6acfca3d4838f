/**
 * Where on the disk a command points: 28-bit and 48-bit LBA, and cylinder, head and sector
 * (ATA/ATAPI-6, 6.2 and 6.20).
 */

import { DeviceBit, type IdeRegisters } from "./ide_registers.ts";

/** The translation in force, as INITIALIZE DEVICE PARAMETERS set it. */
export interface Translation {
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** How an address is written. */
export type AddressForm = "lba48" | "lba28" | "chs";

/** The form that a command's registers use. */
export function addressForm(registers: IdeRegisters, ext: boolean): AddressForm {
  if (ext) return "lba48";
  return (registers.device & DeviceBit.LBA) !== 0 ? "lba28" : "chs";
}

/** The sector that the registers point at, or -1 for a head or sector that the translation lacks. */
export function readAddress(
  registers: IdeRegisters,
  form: AddressForm,
  { heads, sectorsPerTrack }: Translation,
): number {
  const low24 = registers.lbaLow | (registers.lbaMid << 8) | (registers.lbaHigh << 16);
  if (form === "lba48") {
    return low24 + registers.hobLbaLow * 2 ** 24 +
      (registers.hobLbaMid | (registers.hobLbaHigh << 8)) * 2 ** 32;
  }
  const head = registers.device & DeviceBit.HEAD;
  if (form === "lba28") return low24 + head * 2 ** 24;
  const cylinder = registers.lbaMid | (registers.lbaHigh << 8);
  const sector = registers.lbaLow;
  if (head >= heads || sector === 0 || sector > sectorsPerTrack) return -1;
  return (cylinder * heads + head) * sectorsPerTrack + sector - 1;
}

/** Shows sector `lba` in the registers, as after an error. */
export function writeAddress(
  registers: IdeRegisters,
  form: AddressForm,
  lba: number,
  { heads, sectorsPerTrack }: Translation,
): void {
  if (form === "chs") {
    const track = Math.floor(lba / sectorsPerTrack);
    const cylinder = Math.floor(track / heads);
    registers.lbaLow = lba % sectorsPerTrack + 1;
    registers.lbaMid = cylinder;
    registers.lbaHigh = cylinder >> 8;
    registers.device = (registers.device & ~DeviceBit.HEAD) | (track % heads);
    return;
  }
  const byte = (n: number) => Math.floor(lba / 2 ** (8 * n)) & 0xff;
  registers.lbaLow = byte(0);
  registers.lbaMid = byte(1);
  registers.lbaHigh = byte(2);
  if (form === "lba28") {
    registers.device = (registers.device & ~DeviceBit.HEAD) | (byte(3) & DeviceBit.HEAD);
  } else {
    registers.hobLbaLow = byte(3);
    registers.hobLbaMid = byte(4);
    registers.hobLbaHigh = byte(5);
  }
}

/** Sectors that a command is to move: 0 stands for the most, 256 or 65536. */
export function readCount(registers: IdeRegisters, ext: boolean): number {
  if (ext) return (registers.count | (registers.hobCount << 8)) || 65536;
  return registers.count || 256;
}
