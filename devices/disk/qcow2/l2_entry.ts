/**
 * The entries of L2 tables: where a cluster of the disk is. Reference: QEMU, docs/interop/qcow2.txt,
 * "Cluster mapping". An entry is 64 bits, here as two halves, so that nothing makes a bigint.
 */

/** What a cluster of the disk is. */
export const Kind = {
  /** Not in this image: the backing file has it, else it is zeros. */
  unallocated: 0,
  zero: 1,
  /** Zeros, with a cluster of the file kept for what may be written. */
  zeroAllocated: 2,
  data: 3,
  compressed: 4,
} as const;
/** One of `Kind`. */
export type Kind = typeof Kind[keyof typeof Kind];

/** Bit 63: the cluster has a refcount of exactly 1, so it may be written in place. */
export const COPIED = 0x8000_0000;
const COMPRESSED = 0x4000_0000;
/** Bits 9 to 55, the high half of them. */
const POSITION_HIGH = 0x00ff_ffff;
const POSITION_LOW = 0xffff_fe00;
/** Bit 0, version 3. */
export const ZERO = 1;

export function kindOf(high: number, low: number, version: number): Kind {
  if (high & COMPRESSED) return Kind.compressed;
  const allocated = (high & POSITION_HIGH) !== 0 || (low & POSITION_LOW) !== 0;
  if (version >= 3 && (low & ZERO) !== 0) return allocated ? Kind.zeroAllocated : Kind.zero;
  return allocated ? Kind.data : Kind.unallocated;
}

/** Position in the file of a cluster or table, bytes; may be beyond any file. */
export function positionOf(high: number, low: number): number {
  return (high & POSITION_HIGH) * 2 ** 32 + ((low & POSITION_LOW) >>> 0);
}

/** Where a compressed cluster's stream is: it begins at any byte and may lie in several clusters. */
export interface CompressedRange {
  readonly position: number;
  /** As long as it can be: whole sectors of 512 bytes to the end. */
  readonly length: number;
}

/** "Compressed Clusters Descriptor": bits 0 to x-1 position, x to 61 further sectors. */
export function compressedRange(high: number, low: number, clusterBits: number): CompressedRange {
  const positionBits = 62 - (clusterBits - 8) - 32;
  const position = (high & (2 ** positionBits - 1)) * 2 ** 32 + (low >>> 0);
  const sectors = ((high & 0x3fff_ffff) >>> positionBits) + 1;
  return { position, length: sectors * 512 - position % 512 };
}

/** The high half of the descriptor of a stream; the low one is that of `position`. */
export function compressedHigh(position: number, length: number, clusterBits: number): number {
  const positionBits = 62 - (clusterBits - 8) - 32;
  const sectors = Math.floor((position + length - 1) / 512) - Math.floor(position / 512);
  return (COMPRESSED | sectors << positionBits | Math.floor(position / 2 ** 32)) >>> 0;
}
