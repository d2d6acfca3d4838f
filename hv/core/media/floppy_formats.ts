/**
 * Diskettes and the drives that take them: the one table by which the floppy controller, the drive
 * types in CMOS, the firmware's diskette service and the opening of images agree.
 *
 * A 720 KiB diskette goes into a 1.44 MiB drive, here and in all that follows from it (CMOS byte 10h,
 * BL of INT 13h AH=08h): such drives take both, systems that know no 720 KiB drive exist, and nobody
 * misses one.
 *
 * References: IBM PC AT Technical Reference, "CMOS RAM information"; 82077AA data sheet (290166),
 * 2.1.4 and table 3-6 "Data rates".
 */

import type { Geometry } from "./disk_geometry.ts";

/** Bytes in a sector of every PC diskette. */
export const FLOPPY_SECTOR_BYTES = 512;

/** Data rates as bits 1-0 of port 3F7h have them (82077AA, 2.1.4), in kbit/s: 500, 300, 250, 1000. */
export const DataRate = { k500: 0, k300: 1, k250: 2, m1: 3 } as const;
/** One of `DataRate`. */
export type DataRate = typeof DataRate[keyof typeof DataRate];

/** Drive types as in CMOS byte 10h. */
export const FloppyDriveType = {
  /** 5.25 inch, 40 tracks. */
  k360: 1,
  /** 5.25 inch, 80 tracks. */
  m1_2: 2,
  /** 3.5 inch, 80 tracks. */
  k720: 3,
  m1_44: 4,
  m2_88: 5,
} as const;
/** One of `FloppyDriveType`. */
export type FloppyDriveType = typeof FloppyDriveType[keyof typeof FloppyDriveType];

/** How a diskette is laid out. */
export interface FloppyFormat extends Geometry {
  /**
   * The data rates at which it can be read, that of its own drive first: 360 KiB ones turn faster in a
   * 1.2 MiB drive.
   */
  readonly rates: readonly DataRate[];
  /** Smallest drive type that takes it, but see above for 720 KiB. */
  readonly drive: FloppyDriveType;
}

const { k500, k300, k250, m1 } = DataRate;
const { k360, m1_2, m1_44, m2_88 } = FloppyDriveType;

/** Cylinders, heads, sectors, rates, drive. */
const FORMATS: readonly FloppyFormat[] = ([
  [40, 1, 8, [k250, k300], k360],
  [40, 1, 9, [k250, k300], k360],
  [40, 2, 8, [k250, k300], k360],
  [40, 2, 9, [k250, k300], k360],
  [80, 2, 8, [k250], m1_44],
  [80, 2, 9, [k250], m1_44],
  [80, 2, 10, [k250], m1_44],
  [80, 2, 15, [k500], m1_2],
  [80, 2, 18, [k500], m1_44],
  // Microsoft's distribution format and those of fdformat.
  [80, 2, 20, [k500], m1_44],
  [80, 2, 21, [k500], m1_44],
  [82, 2, 21, [k500], m1_44],
  [80, 2, 36, [m1], m2_88],
] as const).map(([cylinders, heads, sectors, rates, drive]) => ({
  cylinders,
  heads,
  sectors,
  rates,
  drive,
}));

/** Size in bytes of a diskette. */
export const floppyBytes = ({ cylinders, heads, sectors }: Geometry): number =>
  cylinders * heads * sectors * FLOPPY_SECTOR_BYTES;

/** The format of a diskette of `sizeBytes`, or undefined for a size that none has. */
export function exactFloppyFormat(sizeBytes: number): FloppyFormat | undefined {
  return FORMATS.find((format) => floppyBytes(format) === sizeBytes);
}

/** 1.44 MiB, the diskette that most images are of. */
export const FLOPPY_1440K = exactFloppyFormat(1440 * 1024)!;
const FLOPPY_2880K = exactFloppyFormat(2880 * 1024)!;

/**
 * The format of an image of `sizeBytes`. Images of no known size count as the beginning of a 1.44 MiB
 * diskette, or of a 2.88 MiB one when they are larger.
 */
export function floppyFormat(sizeBytes: number): FloppyFormat {
  return exactFloppyFormat(sizeBytes) ??
    (sizeBytes <= floppyBytes(FLOPPY_1440K) ? FLOPPY_1440K : FLOPPY_2880K);
}

/** The drive for an image of `sizeBytes`; without a medium a 1.44 MiB drive. */
export const floppyDriveType = (sizeBytes = 0): FloppyDriveType => floppyFormat(sizeBytes).drive;

/** Tracks that a drive's head can reach, a few beyond those used. */
export const driveTracks = (type: FloppyDriveType): number => type === k360 ? 42 : 84;

/** The sizes of diskettes, for an error message: `160K, 180K, …`. */
export const FLOPPY_SIZES: string = FORMATS.map((format) => `${floppyBytes(format) / 1024}K`)
  .join(", ");
