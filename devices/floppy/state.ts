/**
 * 82077AA: the bits of its status registers, its commands and its state, shared by the register side
 * (i82077.ts), the control commands (control.ts) and the execution phase (execution.ts).
 */

import { bytes, flag, record, u16, u32, u8 } from "../../hv/core/state/record.ts";

/** Status register 0 (82077AA, 4.4.1), without head (bit 2) and drive (bits 1-0). */
export const ST0_ABNORMAL = 0x40;
export const ST0_INVALID = 0x80;
export const ST0_POLLING = 0xc0;
export const ST0_SEEK_END = 0x20;
export const ST0_EQUIPMENT_CHECK = 0x10;

/** Status register 1 (4.4.2). */
export const ST1_END_OF_CYLINDER = 0x80;
export const ST1_DATA_ERROR = 0x20;
export const ST1_OVERRUN = 0x10;
export const ST1_NO_DATA = 0x04;
export const ST1_NOT_WRITABLE = 0x02;
export const ST1_MISSING_ADDRESS_MARK = 0x01;

/** Status register 2 (4.4.3). */
export const ST2_CONTROL_MARK = 0x40;
export const ST2_DATA_ERROR = 0x20;
export const ST2_WRONG_CYLINDER = 0x10;

/** Status register 3 (4.4.4); bits 5 and 3 are always set. */
export const ST3_WRITE_PROTECTED = 0x40;
export const ST3_TRACK_0 = 0x10;
export const ST3_ALWAYS = 0x28;

/** Bits of the first byte of a data command. */
export const COMMAND_MULTI_TRACK = 0x80;
export const COMMAND_MFM = 0x40;
export const COMMAND_SKIP = 0x20;
/** Of the second byte of VERIFY: the last byte says how many sectors. */
export const VERIFY_ENABLE_COUNT = 0x80;

/** Of CONFIGURE (5.2.7). */
export const CONFIGURE_IMPLIED_SEEK = 0x40;
export const CONFIGURE_NO_FIFO = 0x20;
export const CONFIGURE_NO_POLLING = 0x10;
/** Of PERPENDICULAR MODE (5.2.11). */
export const PERPENDICULAR_OVERWRITE = 0x80;
export const PERPENDICULAR_DRIVES = 0x3c;

/** Command codes without their option bits (table 5-1). */
export const Command = {
  readTrack: 0x02,
  specify: 0x03,
  senseDriveStatus: 0x04,
  writeData: 0x05,
  readData: 0x06,
  recalibrate: 0x07,
  senseInterruptStatus: 0x08,
  writeDeletedData: 0x09,
  readId: 0x0a,
  readDeletedData: 0x0c,
  formatTrack: 0x0d,
  dumpreg: 0x0e,
  seek: 0x0f,
  version: 0x10,
  perpendicularMode: 0x12,
  configure: 0x13,
  lock: 0x14,
  verify: 0x16,
  relativeSeek: 0x8f,
} as const;
/** One of `Command`. */
export type Command = typeof Command[keyof typeof Command];

/** Command, the bits of the first byte that tell it, and the bytes of its command phase. */
const FORMS: readonly (readonly [Command, number, number])[] = [
  [Command.readTrack, 0x9f, 9],
  [Command.specify, 0xff, 3],
  [Command.senseDriveStatus, 0xff, 2],
  [Command.writeData, 0x3f, 9],
  [Command.readData, 0x1f, 9],
  [Command.recalibrate, 0xff, 2],
  [Command.senseInterruptStatus, 0xff, 1],
  [Command.writeDeletedData, 0x3f, 9],
  [Command.readId, 0xbf, 2],
  [Command.readDeletedData, 0x1f, 9],
  [Command.formatTrack, 0xbf, 6],
  [Command.dumpreg, 0xff, 1],
  [Command.seek, 0xff, 3],
  [Command.version, 0xff, 1],
  [Command.perpendicularMode, 0xff, 2],
  [Command.configure, 0xff, 4],
  [Command.lock, 0x7f, 1],
  [Command.verify, 0x1f, 9],
  [Command.relativeSeek, 0xbf, 3],
];

/** The command that begins with `byte`, and its length in bytes; undefined when it is invalid. */
export function decode(byte: number): { command: Command; length: number } | undefined {
  const form = FORMS.find(([code, mask]) => (byte & mask) === code);
  return form === undefined ? undefined : { command: form[0], length: form[2] };
}

/** The three phases of a command (section 5.0). */
export const Phase = { command: 0, execution: 1, result: 2 } as const;

/** What the execution phase waits for. */
export const Stage = {
  none: 0,
  /** The timer, with the result already there. */
  result: 1,
  /** A request of before a reset that the medium has not yet ended. */
  oldRequest: 2,
  /** The medium. */
  medium: 3,
  /** The DMA controller. */
  dma: 4,
  /** The processor, at the FIFO (non-DMA mode). */
  fifo: 5,
} as const;

/** Why no further sector follows. */
export const End = { none: 0, terminalCount: 1, overrun: 2 } as const;

/** Everything that the controller and its drives hold. */
export const I82077State = record("i82077", 1, {
  /** Digital output register. */
  dor: u8,
  /** Tape drive register. */
  tdr: u8,
  /** Data rate select register, bits 7 and 5 clear; CCR changes its bits 1-0. */
  dsr: u8,
  /** One of `Phase`. */
  phase: u8,
  /** Bytes of the command so far. */
  command: bytes(9),
  commandLength: u8,
  result: bytes(10),
  resultLength: u8,
  resultIndex: u8,
  /** The INT pin. */
  interrupt: flag,
  /** A reset has just ended: the polling interrupt is to come. */
  resetting: flag,
  /** Drives, of the four after a reset, whose status SENSE INTERRUPT has still to tell. */
  polls: u8,
  /** Bit n: the head of drive n moves. */
  seeking: u8,
  /** Bit n: its seek has ended, and SENSE INTERRUPT has not told. */
  seekEnd: u8,
  /** ST0 for each of these. */
  seekStatus: bytes(4),
  /** Present cylinder number of each drive, as the controller counts. */
  pcn: bytes(4),
  /** Where the head of each drive really is. */
  track: bytes(4),
  /** SPECIFY's two bytes: SRT, HUT; HLT, ND. */
  specify: bytes(2),
  /** CONFIGURE's second byte: EIS, EFIFO, POLL, FIFOTHR. */
  configuration: u8,
  precompensationTrack: u8,
  locked: flag,
  /** PERPENDICULAR MODE: D3-D0, GAP, WGATE. */
  perpendicular: u8,
  /** EOT of the last read or write, SC of the last FORMAT. */
  lastEot: u8,

  /** One of `Stage`. */
  stage: u8,
  /** The next sector: head that reads, and C, H, R as the command counts. */
  head: u8,
  cylinder: u8,
  idHead: u8,
  sector: u8,
  /** Sectors of the request under way, and its bytes. */
  runSectors: u8,
  runBytes: u32,
  /** Bytes of the run that have passed between controller and host. */
  position: u32,
  /** Sectors still to do: of VERIFY with EC, READ TRACK or FORMAT. */
  sectorsLeft: u16,
  /** After an error: read one sector at a time, to find which. */
  single: flag,
  /** One of `End`. */
  end: u8,
  /** Status bits gathered for the result. */
  st1: u8,
  st2: u8,
  /** How often in a row the DMA controller was not ready. */
  stalls: u16,
  /** C, H, R, N of the sector that FORMAT writes. */
  id: bytes(4),
});
/** A view of `I82077State`. */
export type I82077State = InstanceType<typeof I82077State>;
