/**
 * What a CD-ROM drive with a disc of one data track answers: each function writes its answer to `out`
 * and returns its length in bytes, or undefined when a field of the command asks for what there is
 * not. MMC-4 (T10 1545D); SPC-3 (T10 1416D) for INQUIRY and sense data. Numbers are big-endian.
 */

import { lbaToMsf, type Sense } from "./commands.ts";
import type { DriveIdentity } from "../ata_identify.ts";

/** Most sectors of a CD, 80 minutes: a larger medium is a DVD. */
const CD_MAX_SECTORS = 360_000;
const LEAD_OUT = 0xaa;
/** Position data in Q, data track. */
const ADR_CONTROL = 0x14;
/** 40 times 176.4 kB/s. */
const SPEED_KBPS = 7056;
const BUFFER_KIB = 128;

const put16 = (out: Uint8Array, at: number, value: number): void => {
  out[at] = value >> 8;
  out[at + 1] = value;
};
const put32 = (out: Uint8Array, at: number, value: number): void => {
  put16(out, at, value >>> 16);
  put16(out, at + 2, value);
};

/** INQUIRY (SPC-3, 6.4). */
export function inquiry(out: Uint8Array, { model, firmware }: DriveIdentity): number {
  const text = (at: number, length: number, value: string) => {
    for (let i = 0; i < length; i++) out[at + i] = i < value.length ? value.charCodeAt(i) : 0x20;
  };
  // CD/DVD device, removable, version as ATAPI has it, response format 2 by ATAPI.
  out.set([0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0]);
  text(8, 8, "HV");
  text(16, 16, model);
  text(32, 4, firmware);
  return 36;
}

/** REQUEST SENSE, fixed format (SPC-3, 4.5.3). */
export function senseData(out: Uint8Array, { key, asc, ascq }: Sense): number {
  out.fill(0, 0, 18);
  out[0] = 0x70;
  out[2] = key;
  out[7] = 10;
  out[12] = asc;
  out[13] = ascq;
  return 18;
}

/** READ CAPACITY (MMC-4, 6.28). */
export function capacity(out: Uint8Array, sectors: number): number {
  put32(out, 0, sectors - 1);
  put32(out, 4, 2048);
  return 8;
}

function putAddress(out: Uint8Array, at: number, lba: number, msf: boolean): void {
  if (msf) out.set([0, ...lbaToMsf(lba)], at);
  else put32(out, at, lba);
}

/** READ TOC/PMA/ATIP, formats 0, 1 and 2 (MMC-4, 6.30). */
export function toc(
  out: Uint8Array,
  { format, msf, start, sectors }: {
    format: number;
    msf: boolean;
    /** First track (format 0) or session (format 2) to be told. */
    start: number;
    sectors: number;
  },
): number | undefined {
  let length = 4;
  const entry = (track: number, lba: number) => {
    out.set([0, ADR_CONTROL, track, 0], length);
    putAddress(out, length + 4, lba, msf);
    length += 8;
  };
  const rawEntry = (point: number, position: readonly number[]) => {
    out.set([1, ADR_CONTROL, 0, point, 0, 0, 0, 0, ...position], length);
    length += 11;
  };
  if (format === 0) {
    if (start > 1 && start !== LEAD_OUT) return undefined;
    if (start <= 1) entry(1, 0);
    entry(LEAD_OUT, sectors);
  } else if (format === 1) {
    entry(1, 0);
  } else if (format === 2) {
    if (start > 1) return undefined;
    rawEntry(0xa0, [1, 0, 0]);
    rawEntry(0xa1, [1, 0, 0]);
    rawEntry(0xa2, lbaToMsf(sectors));
    rawEntry(1, lbaToMsf(0));
  } else {
    return undefined;
  }
  put16(out, 0, length - 2);
  // First and last track, or session.
  out[2] = out[3] = 1;
  return length;
}

/** READ SUB-CHANNEL: nothing plays (MMC-4, 6.29). */
export function subChannel(out: Uint8Array, { q, format }: { q: boolean; format: number }) {
  out.fill(0, 0, 24);
  // Audio status: none.
  out[1] = 0x15;
  if (!q) return 4;
  if (format === 1) {
    // Position: at the beginning of track 1.
    put16(out, 2, 12);
    out.set([1, ADR_CONTROL, 1, 1], 4);
    return 16;
  }
  if (format !== 2 && format !== 3) return undefined;
  // No catalogue number and no recording code.
  put16(out, 2, 20);
  out[4] = format;
  return 24;
}

const PROFILE_DVD_ROM = 0x0010;
const PROFILE_CD_ROM = 0x0008;

/** GET CONFIGURATION (MMC-4, 6.6 and 5.3). `sectors` is 0 without a medium. */
export function configuration(
  out: Uint8Array,
  { requestType, start, sectors }: { requestType: number; start: number; sectors: number },
): number | undefined {
  if (requestType > 2) return undefined;
  const profile = sectors === 0 ? 0 : sectors > CD_MAX_SECTORS ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
  const isCd = profile === PROFILE_CD_ROM;
  const isDvd = profile === PROFILE_DVD_ROM;
  const profiles = [
    [0, PROFILE_DVD_ROM, isDvd ? 1 : 0, 0],
    [0, PROFILE_CD_ROM, isCd ? 1 : 0, 0],
  ];
  const features: [code: number, version: number, current: boolean, data: number[]][] = [
    [0x0000, 0, true, profiles.flat()],
    // Core: ATAPI, device busy events. Removable medium: tray that loads, ejects and locks.
    [0x0001, 2, true, [0, 0, 0, 2, 1, 0, 0, 0]],
    [0x0003, 0, true, [0x39, 0, 0, 0]],
    // Random readable: blocks of 2048 bytes, one (CD) or sixteen (DVD) an error-correction unit.
    [0x0010, 0, sectors > 0, [0, 0, 8, 0, 0, isDvd ? 16 : 1, 0, 0]],
    [0x001e, 2, isCd, [0, 0, 0, 0]],
    [0x001f, 0, isDvd, []],
    [0x0100, 0, true, []],
    [0x0105, 0, true, []],
  ];
  const persistent = new Set([0x0000, 0x0001, 0x0003, 0x0100, 0x0105]);
  let length = 8;
  for (const [code, version, current, data] of features) {
    const wanted = requestType === 2 ? code === start : code >= start;
    if (!wanted || (requestType === 1 && !current)) continue;
    put16(out, length, code);
    out[length + 2] = (version << 2) | (persistent.has(code) ? 2 : 0) | (current ? 1 : 0);
    out[length + 3] = data.length;
    out.set(data, length + 4);
    length += 4 + data.length;
  }
  put32(out, 0, length - 4);
  out[4] = out[5] = 0;
  put16(out, 6, profile);
  return length;
}

/** Media events of GET EVENT STATUS NOTIFICATION (MMC-4, table 100). */
export const MediaEvent = { none: 0, ejectRequest: 1, newMedia: 2, mediaRemoval: 3 } as const;
const MEDIA_CLASS = 4;

/** GET EVENT STATUS NOTIFICATION, polled (MMC-4, 6.7). */
export function eventStatus(
  out: Uint8Array,
  { wanted, event, present, trayOpen }: {
    /** Classes asked for, a bit each. */
    wanted: number;
    event: number;
    present: boolean;
    trayOpen: boolean;
  },
): number {
  const supported = 1 << MEDIA_CLASS;
  if ((wanted & supported) === 0) {
    // No event available.
    out.set([0, 0, 0x80, supported]);
    return 4;
  }
  const status = (present ? 2 : 0) | (trayOpen ? 1 : 0);
  out.set([0, 4, MEDIA_CLASS, supported, event, status, 0, 0]);
  return 8;
}

/** READ DISC INFORMATION: one complete session with one track (MMC-4, 6.26). */
export function discInformation(out: Uint8Array): number {
  out.fill(0, 0, 34);
  out[1] = 32;
  out[2] = 0x0e;
  // First track, sessions, first and last track in the last session.
  out[3] =
    out[4] =
    out[5] =
    out[6] =
      1;
  // Unrestricted use.
  out[7] = 0x20;
  return 34;
}

/** MECHANISM STATUS (MMC-4, 6.9): no changer. */
export function mechanismStatus(out: Uint8Array, trayOpen: boolean): number {
  out.fill(0, 0, 8);
  out[1] = trayOpen ? 0x10 : 0;
  return 8;
}

/** MODE SENSE (MMC-4, 6.10 and 7; SFF-8020i, 10.8.6). */
export function modeSense(
  out: Uint8Array,
  { page, changeable, six, present, trayOpen, locked }: {
    page: number;
    /** Ask which bits can be changed: none. */
    changeable: boolean;
    /** MODE SENSE(6), whose header is shorter. */
    six: boolean;
    present: boolean;
    trayOpen: boolean;
    locked: boolean;
  },
): number | undefined {
  const high = SPEED_KBPS >> 8;
  const low = SPEED_KBPS & 0xff;
  const pages: Record<number, number[]> = {
    // Error recovery: five retries.
    0x01: [0, 5, 0, 0, 0, 0],
    // CD parameters: seconds a minute, frames a second.
    0x0d: [0, 0x0d, 0, 60, 0, 75],
    // Audio control: both ports at full volume.
    0x0e: [4, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff, 0, 0, 0, 0],
    // Capabilities: reads CD-R, CD-RW, DVD-ROM; mode 2, sessions; tray that locks and ejects.
    0x2a: [
      ...[0x0b, 0, 0x70, 0, 0x29 | (locked ? 2 : 0), 0, high, low, 0, 0, 0, BUFFER_KIB],
      ...[high, low, 0, 0, 0, 0, 0, 0],
    ],
  };
  const ALL = 0x3f;
  if (page !== ALL && pages[page] === undefined) return undefined;
  const header = six ? 4 : 8;
  let length = header;
  for (const code of page === ALL ? [0x01, 0x0d, 0x0e, 0x2a] : [page]) {
    const data = pages[code];
    out.set([code, data.length, ...(changeable ? data.map(() => 0) : data)], length);
    length += 2 + data.length;
  }
  out.fill(0, 0, header);
  // Medium: door open, no disc, or a data disc of 120 mm.
  const type = trayOpen ? 0x71 : present ? 0x01 : 0x70;
  if (six) {
    out[0] = length - 1;
    out[1] = type;
  } else {
    put16(out, 0, length - 2);
    out[2] = type;
  }
  return length;
}
