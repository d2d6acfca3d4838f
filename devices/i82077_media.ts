/**
 * Diskettes and the drives that take them: what a floppy controller, the CMOS byte for the drive types
 * and the firmware's diskette service must agree on.
 *
 * References: IBM PC AT Technical Reference; 82077AA data sheet, table 3-6 "Data rates".
 */

/** Bytes in a sector of every PC diskette. */
export const SECTOR_BYTES = 512;

/** Data rate select bits of DSR and CCR (82077AA, 2.1.4). */
export const DataRate = { k500: 0, k300: 1, k250: 2, m1: 3 } as const;

/** How a diskette is laid out. */
export interface FloppyGeometry {
  readonly cylinders: number;
  readonly heads: number;
  /** Sectors a track, numbered from 1. */
  readonly sectors: number;
  /** The data rates at which it can be read; 360 KiB ones turn faster in a 1.2 MiB drive. */
  readonly rates: readonly number[];
  /** Smallest drive type that takes it. */
  readonly drive: FloppyDriveType;
}

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

const { k500, k300, k250, m1 } = DataRate;
const { k360, m1_2, m1_44, m2_88 } = FloppyDriveType;

// Cylinders, heads, sectors, rates, drive. 720 KiB goes into a 1.44 MiB drive as nobody misses an
// older one.
const FORMATS: readonly FloppyGeometry[] = ([
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
export const floppyBytes = ({ cylinders, heads, sectors }: FloppyGeometry): number =>
  cylinders * heads * sectors * SECTOR_BYTES;

const M1_44 = FORMATS.find((format) => floppyBytes(format) === 1_474_560)!;
const M2_88 = FORMATS.find((format) => floppyBytes(format) === 2_949_120)!;

/**
 * The layout of an image of `sizeBytes`. Images of no known size count as the beginning of a 1.44 MiB
 * diskette, or of a 2.88 MiB one when they are larger.
 */
export function floppyGeometry(sizeBytes: number): FloppyGeometry {
  return FORMATS.find((format) => floppyBytes(format) === sizeBytes) ??
    (sizeBytes <= floppyBytes(M1_44) ? M1_44 : M2_88);
}

/** The drive for an image of `sizeBytes`; with 0, no medium: a 1.44 MiB drive. */
export function floppyDriveType(sizeBytes: number): FloppyDriveType {
  return sizeBytes === 0 ? m1_44 : floppyGeometry(sizeBytes).drive;
}

/** Tracks that a drive's head can reach, a few beyond those used. */
export const driveTracks = (type: FloppyDriveType): number => type === k360 ? 42 : 84;
