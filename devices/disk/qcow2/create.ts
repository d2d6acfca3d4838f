/** A new qcow2 image, version 3, that has nothing in it yet. */

import { type ImageFile, writeZeros } from "../image_file.ts";
import {
  Extension,
  Field,
  Incompatible,
  l1EntriesFor,
  LAZY_REFCOUNTS,
  MAGIC,
  MAX_L1_BYTES,
} from "./header.ts";
import { writeCount } from "./refcount_width.ts";

/** What the image is to be. */
export interface NewQcow2 {
  /** Of the disk, a whole number of sectors of 512 bytes. */
  readonly sizeBytes: number;
  /** A power of two from 512 to 2 MiB; default 64 KiB. */
  readonly clusterBytes?: number;
  /** Bits of a refcount, a power of two from 1 to 64; default 16. */
  readonly refcountBits?: number;
  readonly lazyRefcounts?: boolean;
  /** How clusters will be compressed, if any will; default zlib. */
  readonly compression?: "zlib" | "zstd";
  /** Read where the image has nothing: as its name is to be in the header, and its format. */
  readonly backing?: { readonly file: string; readonly format: string };
}

export const DEFAULT_CLUSTER_BYTES = 65536;
const HEADER_BYTES = 112;

/** Largest disk that clusters of this size can map, bytes. */
export function maxSizeBytes(clusterBytes: number): number {
  return MAX_L1_BYTES / 8 * clusterBytes * (clusterBytes / 8);
}

/**
 * Writes the image into `file`, which is empty, and brings it onto the medium: clusters 0 header, then
 * refcount table, refcount blocks, L1 table.
 *
 * @throws SysError
 */
export function createQcow2(file: ImageFile, options: NewQcow2): void {
  const { sizeBytes, clusterBytes = DEFAULT_CLUSTER_BYTES, refcountBits = 16 } = options;
  const inBlock = clusterBytes * 8 / refcountBits;
  const l1Entries = l1EntriesFor(sizeBytes, clusterBytes);
  const l1Clusters = Math.max(1, Math.ceil(l1Entries * 8 / clusterBytes));
  let blocks = 1;
  let tableClusters = 1;
  for (;;) {
    const total = 1 + tableClusters + blocks + l1Clusters;
    const needed = Math.ceil(total / inBlock);
    const neededTable = Math.ceil(needed * 8 / clusterBytes);
    if (needed <= blocks && neededTable <= tableClusters) break;
    blocks = needed;
    tableClusters = neededTable;
  }
  const firstBlock = 1 + tableClusters;
  const l1 = firstBlock + blocks;

  const table = new DataView(new ArrayBuffer(tableClusters * clusterBytes));
  for (let i = 0; i < blocks; i++) {
    table.setBigUint64(i * 8, BigInt((firstBlock + i) * clusterBytes));
  }
  file.write(new Uint8Array(table.buffer), clusterBytes);
  const counts = new DataView(new ArrayBuffer(blocks * clusterBytes));
  for (let i = 0; i < l1 + l1Clusters; i++) writeCount(counts, i, refcountBits, 1);
  file.write(new Uint8Array(counts.buffer), firstBlock * clusterBytes);
  writeZeros(file, l1 * clusterBytes, l1Clusters * clusterBytes);
  file.sync();
  const header = headerCluster(options, clusterBytes, {
    l1Entries,
    l1Position: l1 * clusterBytes,
    tableClusters,
    refcountBits,
  });
  file.write(header, 0);
  file.sync();
}

function headerCluster(
  options: NewQcow2,
  clusterBytes: number,
  tables: { l1Entries: number; l1Position: number; tableClusters: number; refcountBits: number },
): Uint8Array {
  const bytes = new Uint8Array(clusterBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(Field.magic, MAGIC);
  view.setUint32(Field.version, 3);
  view.setUint32(Field.clusterBits, Math.log2(clusterBytes));
  view.setBigUint64(Field.size, BigInt(options.sizeBytes));
  view.setUint32(Field.l1Entries, tables.l1Entries);
  view.setBigUint64(Field.l1Position, BigInt(tables.l1Position));
  view.setBigUint64(Field.refcountTablePosition, BigInt(clusterBytes));
  view.setUint32(Field.refcountTableClusters, tables.tableClusters);
  if (options.compression === "zstd") {
    view.setUint32(Field.incompatible + 4, Incompatible.compressionType);
    view.setUint8(Field.compressionType, 1);
  }
  if (options.lazyRefcounts) view.setUint32(Field.compatible + 4, LAZY_REFCOUNTS);
  view.setUint32(Field.refcountOrder, Math.log2(tables.refcountBits));
  view.setUint32(Field.headerLength, HEADER_BYTES);
  if (options.backing === undefined) return bytes;
  const encoder = new TextEncoder();
  const format = encoder.encode(options.backing.format);
  const name = encoder.encode(options.backing.file);
  view.setUint32(HEADER_BYTES, Extension.backingFormat);
  view.setUint32(HEADER_BYTES + 4, format.length);
  bytes.set(format, HEADER_BYTES + 8);
  // Behind the end of the extensions, which is 8 bytes of zeros.
  const at = HEADER_BYTES + 8 + Math.ceil(format.length / 8) * 8 + 8;
  if (at + name.length > clusterBytes || name.length > 1023) {
    throw new RangeError(`the name of the backing file is too long: ${name.length} bytes`);
  }
  bytes.set(name, at);
  view.setBigUint64(Field.backingOffset, BigInt(at));
  view.setUint32(Field.backingLength, name.length);
  return bytes;
}
