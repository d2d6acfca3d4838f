/**
 * Packet commands of a CD-ROM drive and the sense codes by which they fail: MMC-4 (T10 1545D), SPC-3
 * (T10 1416D), and SFF-8020i, which first described ATAPI.
 */

/** Operation codes. */
export const Packet = {
  TEST_UNIT_READY: 0x00,
  REQUEST_SENSE: 0x03,
  INQUIRY: 0x12,
  MODE_SENSE_6: 0x1a,
  START_STOP_UNIT: 0x1b,
  PREVENT_ALLOW_MEDIUM_REMOVAL: 0x1e,
  READ_CAPACITY: 0x25,
  READ_10: 0x28,
  SEEK_10: 0x2b,
  READ_SUB_CHANNEL: 0x42,
  READ_TOC: 0x43,
  GET_CONFIGURATION: 0x46,
  GET_EVENT_STATUS_NOTIFICATION: 0x4a,
  STOP_PLAY: 0x4e,
  READ_DISC_INFORMATION: 0x51,
  MODE_SENSE_10: 0x5a,
  READ_12: 0xa8,
  READ_CD_MSF: 0xb9,
  SET_CD_SPEED: 0xbb,
  MECHANISM_STATUS: 0xbd,
  READ_CD: 0xbe,
} as const;

/** Commands that fail without a medium. */
export const NEEDS_MEDIUM: ReadonlySet<number> = new Set([
  Packet.TEST_UNIT_READY,
  Packet.READ_CAPACITY,
  Packet.READ_10,
  Packet.SEEK_10,
  Packet.READ_SUB_CHANNEL,
  Packet.READ_TOC,
  Packet.READ_DISC_INFORMATION,
  Packet.READ_12,
  Packet.READ_CD_MSF,
  Packet.READ_CD,
]);

/** Commands that are carried out although a unit attention waits (MMC-4, 4.1.6.1). */
export const IGNORES_ATTENTION: ReadonlySet<number> = new Set([
  Packet.REQUEST_SENSE,
  Packet.INQUIRY,
  Packet.GET_CONFIGURATION,
  Packet.GET_EVENT_STATUS_NOTIFICATION,
]);

/** Why a command failed. */
export interface Sense {
  readonly key: number;
  /** Additional sense code and its qualifier. */
  readonly asc: number;
  readonly ascq: number;
}

const sense = (key: number, asc: number, ascq = 0): Sense => ({ key, asc, ascq });

const NOT_READY = 2;
const MEDIUM_ERROR = 3;
const ILLEGAL_REQUEST = 5;
const UNIT_ATTENTION = 6;

/** Sense data by name (SPC-3, table 28). */
export const SENSE = {
  none: sense(0, 0),
  noMediumTrayClosed: sense(NOT_READY, 0x3a, 0x01),
  noMediumTrayOpen: sense(NOT_READY, 0x3a, 0x02),
  unrecoveredRead: sense(MEDIUM_ERROR, 0x11),
  invalidCommand: sense(ILLEGAL_REQUEST, 0x20),
  addressOutOfRange: sense(ILLEGAL_REQUEST, 0x21),
  invalidField: sense(ILLEGAL_REQUEST, 0x24),
  savingNotSupported: sense(ILLEGAL_REQUEST, 0x39),
  removalPrevented: sense(ILLEGAL_REQUEST, 0x53, 0x02),
  wrongTrackMode: sense(ILLEGAL_REQUEST, 0x64),
  mediumChanged: sense(UNIT_ATTENTION, 0x28),
} as const satisfies Record<string, Sense>;

/** Frames (sectors) of an address in minutes, seconds and frames, of which the first 150 are lead-in. */
export function msfToLba(minute: number, second: number, frame: number): number {
  return (minute * 60 + second) * 75 + frame - 150;
}

/** Minutes, seconds and frames of a sector. */
export function lbaToMsf(lba: number): [minute: number, second: number, frame: number] {
  const frames = lba + 150;
  return [Math.floor(frames / 4500) & 0xff, Math.floor(frames / 75) % 60, frames % 75];
}
