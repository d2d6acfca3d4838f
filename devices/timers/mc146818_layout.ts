/**
 * What a PC's firmware expects in CMOS RAM: IBM PC/AT technical reference ("CMOS RAM information") for
 * 0Eh-33h, and above that what Bochs and QEMU's boards tell their firmware (src/hw/rtc.h of SeaBIOS).
 */

import type { Geometry } from "../../hv/core/media/disk_geometry.ts";
import type { DriveKind } from "../../hv/core/media/drive_kind.ts";
import type { FloppyDriveType } from "../../hv/core/media/floppy_formats.ts";

/** What firmware tries to boot from. */
type CmosBootDevice = DriveKind | "network";

/** The machine as CMOS describes it. */
export interface CmosOptions {
  /** RAM from address 0, in bytes. */
  readonly ramBelow4G: number;
  /** RAM from 4 GiB, in bytes (default 0). */
  readonly ramAbove4G?: number;
  /** Floppy drives A and B (default none). */
  readonly floppies?: readonly FloppyDriveType[];
  /**
   * Master and slave of the first IDE channel, as IDENTIFY DEVICE tells their geometry; undefined
   * where there is no hard disk.
   */
  readonly disks?: readonly (Geometry | undefined)[];
  /** At most three, first first (default floppy, disk, cdrom). */
  readonly bootOrder?: readonly CmosBootDevice[];
  /** Processors (default 1). */
  readonly cpus?: number;
}

const BOOT_CODES: Readonly<Record<CmosBootDevice, number>> = {
  floppy: 1,
  disk: 2,
  cdrom: 3,
  network: 4,
};

/** Equipment byte, 14h: a floppy drive is there, a coprocessor, a PS/2 mouse; drives above one. */
const HAS_FLOPPY = 0x01;
const HAS_FPU = 0x02;
const HAS_MOUSE = 0x04;
const SECOND_FLOPPY = 0x40;
/** Disk types above 15 are in 19h and 1Ah; 47 means that the geometry follows. */
const TYPE_EXTENDED = 0x0f;
const TYPE_USER = 47;
const BASE_MEMORY_KIB = 640;
const KIB = 1024;
const MIB = 1024 * 1024;
/** Cylinders that fit into INT 13h's ten bits without translation. */
const MAX_CYLINDERS = 1024;
const TRANSLATE_LBA = 1;
/** Bits 1-0 of 38h: skip the signature check of floppies. */
const NO_FLOPPY_CHECK = 0x01;

/** Contents of CMOS RAM for a machine: value by address, with the checksum of 10h-2Dh in 2Eh. */
export function cmosLayout(options: CmosOptions): Map<number, number> {
  const { ramBelow4G, ramAbove4G = 0, floppies = [], disks = [], cpus = 1 } = options;
  const cmos = new Map<number, number>();
  const put = (address: number, value: number, length = 1) => {
    for (let i = 0; i < length; i++) cmos.set(address + i, Math.floor(value / 256 ** i) & 0xff);
  };
  put(0x0f, 0); // no shutdown: a normal start
  const [a = 0, b = 0] = floppies;
  put(0x10, (a << 4) | b);
  put(
    0x14,
    HAS_FPU | HAS_MOUSE | (floppies.length > 0 ? HAS_FLOPPY : 0) |
      (floppies.length > 1 ? SECOND_FLOPPY : 0),
  );
  putMemory(put, ramBelow4G, ramAbove4G);
  putDisks(put, disks);
  const [first = 0, second = 0, third = 0] = (options.bootOrder ?? ["floppy", "disk", "cdrom"])
    .map((device) => BOOT_CODES[device]);
  put(0x3d, first | (second << 4));
  put(0x38, NO_FLOPPY_CHECK | (third << 4));
  put(0x5f, cpus - 1);
  let sum = 0;
  for (let address = 0x10; address <= 0x2d; address++) sum += cmos.get(address) ?? 0;
  put(0x2e, sum >> 8);
  put(0x2f, sum);
  return cmos;
}

type Put = (address: number, value: number, length?: number) => void;

function putMemory(put: Put, below4G: number, above4G: number): void {
  put(0x15, Math.min(BASE_MEMORY_KIB, below4G / KIB), 2);
  const extendedKib = Math.min(0xffff, Math.max(0, Math.floor((below4G - MIB) / KIB)));
  put(0x17, extendedKib, 2);
  put(0x30, extendedKib, 2);
  put(0x34, Math.min(0xffff, Math.max(0, Math.floor((below4G - 16 * MIB) / (64 * KIB)))), 2);
  put(0x5b, Math.floor(above4G / (64 * KIB)), 3);
}

function putDisks(put: Put, disks: CmosOptions["disks"] & object): void {
  const [first, second] = disks;
  put(0x12, (first ? TYPE_EXTENDED << 4 : 0) | (second ? TYPE_EXTENDED : 0));
  let translation = 0;
  for (const [i, disk] of [first, second].entries()) {
    if (disk === undefined) continue;
    const { cylinders, heads, sectors } = disk;
    put(0x19 + i, TYPE_USER);
    const at = 0x1b + 9 * i;
    put(at, cylinders, 2);
    put(at + 2, heads);
    put(at + 3, 0xffff, 2); // no write precompensation
    put(at + 5, 0xc0 | (heads > 8 ? 0x08 : 0)); // control byte: no retries, more than 8 heads
    put(at + 6, cylinders, 2); // landing zone
    put(at + 8, sectors);
    if (cylinders > MAX_CYLINDERS) translation |= TRANSLATE_LBA << (2 * i);
  }
  put(0x39, translation);
}
