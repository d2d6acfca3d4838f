/**
 * The configuration space of the virtio block device, its feature bits and limits.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.2.3 "Feature bits", 5.2.4 "Device configuration layout".
 */

import type { Geometry } from "../../../hv/core/media/disk_geometry.ts";

/** Feature bits (5.2.3). */
export const BlkFeature = {
  SEG_MAX: 2,
  GEOMETRY: 4,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const;

/** The protocol's unit, whatever the block size. */
export const BLK_SECTOR_BYTES = 512;
/** Entries of each queue. */
export const BLK_QUEUE_SIZE = 256;
/** Descriptors of a request that are not data: header and status. */
const FRAME_DESCRIPTORS = 2;
/** Ranges in one request to discard, or to write zeros. */
export const MAX_RANGES = 16;
/** Sectors of such a range: 2 GiB. */
export const MAX_DISCARD_SECTORS = 1 << 22;
/** Where zeros have to be written one by one they take the host's time: 32 MiB. */
export const MAX_ZEROES_SECTORS = 1 << 16;
/** Sectors of a physical block, as a power of two: a page of the host. */
const PHYSICAL_BLOCK_EXP = 3;

/** Offsets of the fields (5.2.4). */
export const BlkConfig = {
  capacity: 0,
  seg_max: 12,
  cylinders: 16,
  heads: 18,
  sectors: 19,
  blk_size: 20,
  physical_block_exp: 24,
  min_io_size: 26,
  writeback: 32,
  num_queues: 34,
  max_discard_sectors: 36,
  max_discard_seg: 40,
  discard_sector_alignment: 44,
  max_write_zeroes_sectors: 48,
  max_write_zeroes_seg: 52,
  write_zeroes_may_unmap: 56,
} as const;

/** Bytes of the space. */
export const BLK_CONFIG_BYTES = 60;

/** A disk as its driver is told of it. */
export interface BlkIdentity {
  /** Size of the medium in bytes, a whole number of sectors. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly geometry: Geometry;
  /** At most 20 bytes of ASCII, by which the guest tells disks from each other. */
  readonly serial: string;
  /** Queues, e.g. one for each processor. */
  readonly queues: number;
}

/** What the device offers. */
export const blkFeatures = (readOnly: boolean): number[] => [
  BlkFeature.SEG_MAX,
  BlkFeature.GEOMETRY,
  BlkFeature.BLK_SIZE,
  BlkFeature.FLUSH,
  BlkFeature.TOPOLOGY,
  BlkFeature.CONFIG_WCE,
  BlkFeature.MQ,
  ...(readOnly ? [BlkFeature.RO] : [BlkFeature.DISCARD, BlkFeature.WRITE_ZEROES]),
];

/** Fills the space with what it is after a reset: a write-back cache. */
export function resetBlkConfig(bytes: Uint8Array, disk: BlkIdentity): void {
  const config = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { sizeBytes, geometry, queues } = disk;
  const block = 1 << PHYSICAL_BLOCK_EXP;
  bytes.fill(0);
  config.setBigUint64(BlkConfig.capacity, BigInt(Math.floor(sizeBytes / BLK_SECTOR_BYTES)), true);
  config.setUint32(BlkConfig.seg_max, BLK_QUEUE_SIZE - FRAME_DESCRIPTORS, true);
  config.setUint16(BlkConfig.cylinders, geometry.cylinders, true);
  config.setUint8(BlkConfig.heads, geometry.heads);
  config.setUint8(BlkConfig.sectors, geometry.sectors);
  config.setUint32(BlkConfig.blk_size, BLK_SECTOR_BYTES, true);
  config.setUint8(BlkConfig.physical_block_exp, PHYSICAL_BLOCK_EXP);
  config.setUint16(BlkConfig.min_io_size, block, true);
  config.setUint8(BlkConfig.writeback, 1);
  config.setUint16(BlkConfig.num_queues, queues, true);
  config.setUint32(BlkConfig.max_discard_sectors, MAX_DISCARD_SECTORS, true);
  config.setUint32(BlkConfig.max_discard_seg, MAX_RANGES, true);
  config.setUint32(BlkConfig.discard_sector_alignment, block, true);
  config.setUint32(BlkConfig.max_write_zeroes_sectors, MAX_ZEROES_SECTORS, true);
  config.setUint32(BlkConfig.max_write_zeroes_seg, MAX_RANGES, true);
  config.setUint8(BlkConfig.write_zeroes_may_unmap, 1);
}
