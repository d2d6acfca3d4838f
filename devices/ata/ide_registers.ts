/**
 * The registers of an IDE channel and their bits: ATA/ATAPI-6 (T13 1410D), section 7, and ATA/ATAPI-7
 * (T13 1532D) volume 2. Names are the standard's.
 */

import { flag, record, u8 } from "../../hv/core/state/record.ts";

/** Offsets in the command block (1F0h or 170h); two registers share the offsets 1 and 7. */
export const Reg = {
  /** R/W, 16 or 32 bits. */
  data: 0,
  /** Error when read, Features when written. */
  error: 1,
  features: 1,
  /** Sector Count; Interrupt Reason of a PACKET command. */
  count: 2,
  lbaLow: 3,
  /** LBA Mid, formerly Cylinder Low; Byte Count Low of a PACKET command. */
  lbaMid: 4,
  /** LBA High, formerly Cylinder High; Byte Count High of a PACKET command. */
  lbaHigh: 5,
  device: 6,
  /** Status when read (which takes the interrupt back), Command when written. */
  status: 7,
  command: 7,
} as const;

/** Status register (7.15.6). */
export const Status = {
  BSY: 0x80,
  DRDY: 0x40,
  /** Device fault. */
  DF: 0x20,
  /** Seek complete, as ATA-3 had it; firmware still looks for it. */
  DSC: 0x10,
  DRQ: 0x08,
  ERR: 0x01,
} as const;
/** What an idle drive shows. */
export const READY = Status.DRDY | Status.DSC;

/** Error register (7.7.6). */
export const ErrorBit = {
  /** Uncorrectable data. */
  UNC: 0x40,
  /** Address not found. */
  IDNF: 0x10,
  /** Command aborted. */
  ABRT: 0x04,
} as const;
/** Error register after a reset or diagnosis: device passed. */
export const DIAGNOSTIC_PASSED = 0x01;

/** Device register (7.6). */
export const DeviceBit = {
  /** Address is an LBA, not cylinder, head and sector. */
  LBA: 0x40,
  /** Device 1 is selected. */
  DEV: 0x10,
  /** Head number, or bits 27:24 of a 28-bit LBA. */
  HEAD: 0x0f,
  /** Obsolete bits that read as ones. */
  FIXED: 0xa0,
} as const;

/** Device Control register (7.5), 3F6h or 376h when written; Alternate Status when read. */
export const Control = {
  /** Reads give the earlier of the two bytes last written to a register. */
  HOB: 0x80,
  /** Software reset. */
  SRST: 0x04,
  /** No interrupts. */
  nIEN: 0x02,
} as const;

/** Interrupt Reason in the Sector Count register of a PACKET command. */
export const InterruptReason = {
  /** Command or status rather than data. */
  CD: 0x01,
  /** To the host. */
  IO: 0x02,
} as const;

/** A drive's copy of the registers; "hob" is what a register held before it was last written. */
export const IdeRegisters = record("ide.registers", 1, {
  features: u8,
  hobFeatures: u8,
  count: u8,
  hobCount: u8,
  lbaLow: u8,
  hobLbaLow: u8,
  lbaMid: u8,
  hobLbaMid: u8,
  lbaHigh: u8,
  hobLbaHigh: u8,
  device: u8,
  status: u8,
  error: u8,
  /** Waits for the host: shown on the line while the drive is selected. */
  interrupt: flag,
});
/** A view of `IdeRegisters`. */
export type IdeRegisters = InstanceType<typeof IdeRegisters>;

/** Writes a register of the command block other than Data and Command. */
export function writeRegister(registers: IdeRegisters, offset: number, value: number): void {
  switch (offset) {
    case Reg.features:
      registers.hobFeatures = registers.features;
      registers.features = value;
      return;
    case Reg.count:
      registers.hobCount = registers.count;
      registers.count = value;
      return;
    case Reg.lbaLow:
      registers.hobLbaLow = registers.lbaLow;
      registers.lbaLow = value;
      return;
    case Reg.lbaMid:
      registers.hobLbaMid = registers.lbaMid;
      registers.lbaMid = value;
      return;
    case Reg.lbaHigh:
      registers.hobLbaHigh = registers.lbaHigh;
      registers.lbaHigh = value;
      return;
    default:
      registers.device = value;
  }
}

/** Reads a register of the command block other than Data and Status. */
export function readRegister(registers: IdeRegisters, offset: number, hob: boolean): number {
  switch (offset) {
    case Reg.error:
      return registers.error;
    case Reg.count:
      return hob ? registers.hobCount : registers.count;
    case Reg.lbaLow:
      return hob ? registers.hobLbaLow : registers.lbaLow;
    case Reg.lbaMid:
      return hob ? registers.hobLbaMid : registers.lbaMid;
    case Reg.lbaHigh:
      return hob ? registers.hobLbaHigh : registers.lbaHigh;
    default:
      return registers.device;
  }
}

/**
 * What the registers hold after a reset (9.12, "signature"): by LBA Mid and High the host tells a disk
 * (00h 00h) from a PACKET device (14h EBh).
 */
export function setSignature(registers: IdeRegisters, lbaMid: number, lbaHigh: number): void {
  registers.hobCount =
    registers.hobLbaLow =
    registers.hobLbaMid =
    registers.hobLbaHigh =
      0;
  registers.count = 1;
  registers.lbaLow = 1;
  registers.lbaMid = lbaMid;
  registers.lbaHigh = lbaHigh;
  registers.device &= DeviceBit.DEV;
}
