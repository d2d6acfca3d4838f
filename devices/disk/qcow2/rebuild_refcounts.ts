/** Refcounts made anew behind the end of a file, for the header to change over to in one write. */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import { Field, MAX_REFCOUNT_TABLE_BYTES, type Qcow2Header } from "./header.ts";
import { writeCount } from "./refcount_width.ts";
import type { UsedClusters } from "./used_clusters.ts";

/** Where the header's tables are to be. */
export interface NewTables {
  readonly refcountTablePosition: number;
  readonly refcountTableClusters: number;
  /** Positions of the further tables that were asked for, in their order. */
  readonly further: readonly number[];
}

/**
 * Writes blocks and a table of refcounts for what is used, for themselves, and for `further` tables
 * that are written along, and brings them onto the medium.
 *
 * @throws SysError, and DiskError when there are counts that do not fit
 */
export function rebuildRefcounts(
  file: ImageFile,
  { clusterBytes, refcountOrder }: Qcow2Header,
  { counts }: UsedClusters,
  further: readonly Uint8Array[],
): NewTables {
  const bits = 2 ** refcountOrder;
  const inBlock = clusterBytes * 8 / bits;
  const refuse = (problem: string): never => {
    throw new DiskError(file.path, "corrupt", problem);
  };
  const ranges = new Set<number>();
  for (const [cluster, count] of counts.entries()) {
    ranges.add(Math.floor(cluster / inBlock));
    if (count > 2 ** bits - 1) {
      refuse(`cluster ${cluster} is used ${count} times, more than ${bits} bits can count`);
    }
  }
  const clustersOf = (bytes: number) => Math.ceil(bytes / clusterBytes);
  const first = clustersOf(file.size);
  const furtherClusters = further.reduce((sum, { length }) => sum + clustersOf(length), 0);
  let tableClusters = 1;
  // Blocks for the new clusters may need blocks themselves.
  for (let known = -1; known !== ranges.size;) {
    known = ranges.size;
    const most = [...ranges].reduce((a, b) => Math.max(a, b), 0);
    tableClusters = clustersOf((most + 1) * 8);
    const clusters = furtherClusters + known + tableClusters;
    for (let i = 0; i < clusters; i++) ranges.add(Math.floor((first + i) / inBlock));
  }
  if (tableClusters * clusterBytes > MAX_REFCOUNT_TABLE_BYTES) refuse("its file is too large");
  const clusters = furtherClusters + ranges.size + tableClusters;
  for (let i = 0; i < clusters; i++) counts.add(first + i);

  let at = first * clusterBytes;
  const put = (bytes: Uint8Array): number => {
    const position = at;
    const whole = new Uint8Array(clustersOf(bytes.length) * clusterBytes);
    whole.set(bytes);
    file.write(whole, position);
    at += whole.length;
    return position;
  };
  const positions = further.map(put);
  const table = new DataView(new ArrayBuffer(tableClusters * clusterBytes));
  for (const range of ranges) {
    const block = new DataView(new ArrayBuffer(clusterBytes));
    for (let i = 0; i < inBlock; i++) {
      const count = counts.get(range * inBlock + i);
      if (count !== 0) writeCount(block, i, bits, count);
    }
    table.setBigUint64(range * 8, BigInt(put(new Uint8Array(block.buffer))));
  }
  const refcountTablePosition = put(new Uint8Array(table.buffer));
  file.sync();
  return { refcountTablePosition, refcountTableClusters: tableClusters, further: positions };
}

/** What of the header changes over. */
export interface HeaderChange extends Omit<NewTables, "further"> {
  /** The disk's size, and the L1 table for it. */
  readonly resized?: {
    readonly sizeBytes: number;
    readonly l1Entries: number;
    readonly l1Position: number;
  };
}

/** Lets the header name other tables: one write, all of it in one sector, and onto the medium. */
export function writeTables(file: ImageFile, change: HeaderChange): void {
  const bytes = new Uint8Array(512);
  file.read(bytes, 0);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(Field.refcountTablePosition, BigInt(change.refcountTablePosition));
  view.setUint32(Field.refcountTableClusters, change.refcountTableClusters);
  if (change.resized !== undefined) {
    view.setBigUint64(Field.size, BigInt(change.resized.sizeBytes));
    view.setUint32(Field.l1Entries, change.resized.l1Entries);
    view.setBigUint64(Field.l1Position, BigInt(change.resized.l1Position));
  }
  file.write(bytes, 0);
  file.sync();
}
