/**
 * Cylinders, heads and sectors: for a drive that is asked, and for firmware that must guess. Those of
 * diskettes are in floppy_formats.ts.
 */

/** How a disk is laid out. */
export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  /** Sectors a track, counted from 1. */
  readonly sectors: number;
}

const SECTOR_BYTES = 512;
const ATA_HEADS = 16;
const ATA_SECTORS = 63;
/** The most cylinders that an ATA drive reports (ATA/ATAPI-6, annex B). */
const ATA_MAX_CYLINDERS = 16383;
/** The most cylinders that INT 13h can address in ten bits. */
const BIOS_MAX_CYLINDERS = 1024;
/** From here on a partition table cannot tell where a partition ends. */
const CLAMPED_CYLINDER = 1022;
const PARTITION_TABLE = 0x1be;
const PARTITION_ENTRIES = 4;
const ENTRY_BYTES = 16;

/** What an ATA disk of `sizeBytes` reports: 16 heads and 63 sectors a track. */
export function ataGeometry(sizeBytes: number): Geometry {
  const total = Math.floor(sizeBytes / SECTOR_BYTES);
  const cylinders = Math.floor(total / (ATA_HEADS * ATA_SECTORS));
  return {
    cylinders: Math.min(Math.max(cylinders, 1), ATA_MAX_CYLINDERS),
    heads: ATA_HEADS,
    sectors: ATA_SECTORS,
  };
}

function withCylinders(total: number, heads: number, sectors: number): Geometry {
  const cylinders = Math.floor(total / (heads * sectors));
  return { cylinders: Math.min(Math.max(cylinders, 1), BIOS_MAX_CYLINDERS), heads, sectors };
}

/**
 * Heads and sectors a track that the system which made the partition table used, or undefined. A
 * partition ends at a cylinder's end, so the end's head and sector are the last ones (an entry whose
 * end lies beyond 1024 cylinders is clamped to the last head and sector too). The guess must agree
 * with where the table says in sectors that the partition begins and ends.
 */
function geometryOfPartitions(boot: Uint8Array, total: number): Geometry | undefined {
  if (boot.length < SECTOR_BYTES || boot[510] !== 0x55 || boot[511] !== 0xaa) return undefined;
  const view = new DataView(boot.buffer, boot.byteOffset, boot.length);
  for (let i = 0; i < PARTITION_ENTRIES; i++) {
    const entry = PARTITION_TABLE + i * ENTRY_BYTES;
    const type = boot[entry + 4];
    const startLba = view.getUint32(entry + 8, true);
    const length = view.getUint32(entry + 12, true);
    // EEh protects a GPT and says nothing of geometry.
    if (type === 0 || type === 0xee || length === 0 || (boot[entry] & 0x7f) !== 0) continue;
    const heads = boot[entry + 5] + 1;
    const sectors = boot[entry + 6] & 0x3f;
    // INT 13h's tables have a byte for the heads.
    if (heads < 2 || heads > 255 || sectors === 0) continue;
    const startHead = boot[entry + 1];
    const startSector = boot[entry + 2] & 0x3f;
    const startCylinder = boot[entry + 3] | ((boot[entry + 2] & 0xc0) << 2);
    const start = (startCylinder * heads + startHead) * sectors + startSector - 1;
    const endCylinder = boot[entry + 7] | ((boot[entry + 6] & 0xc0) << 2);
    const end = (endCylinder + 1) * heads * sectors;
    const endAgrees = endCylinder >= CLAMPED_CYLINDER || end === startLba + length;
    if (start === startLba && start < total && endAgrees) {
      return withCylinders(total, heads, sectors);
    }
  }
  return undefined;
}

/**
 * What INT 13h should report for a hard disk: the geometry of its partition table where that gives
 * one, else that of the drive if 1024 cylinders reach, else the "LBA assist" translation: 63 sectors
 * and as few of 16, 32, 64, 128 or 255 heads as keep the cylinders at 1024 or below.
 *
 * @param bootSector The first 512 bytes of the disk, as far as they are known.
 */
export function diskGeometry(
  sizeBytes: number,
  bootSector: Uint8Array = new Uint8Array(0),
): Geometry {
  const total = Math.floor(sizeBytes / SECTOR_BYTES);
  const partitioned = geometryOfPartitions(bootSector, total);
  if (partitioned !== undefined) return partitioned;
  const most = (heads: number) => heads * ATA_SECTORS * BIOS_MAX_CYLINDERS;
  const heads = [16, 32, 64, 128].find((heads) => total <= most(heads)) ?? 255;
  return withCylinders(total, heads, ATA_SECTORS);
}
