/**
 * Looks for what is wrong in a qcow2 image, and mends its refcounts: they are made anew from what is
 * used, behind the end of the file, and the header changes over to them. A crash at any moment leaves
 * either the old or the new ones.
 */

import { DiskError } from "../disk_image.ts";
import { type ImageFile, readPadded } from "../image_file.ts";
import { Field, Incompatible, type Qcow2Header, readHeader } from "./header.ts";
import { COPIED, Kind, kindOf, positionOf } from "./l2_entry.ts";
import { rebuildRefcounts, writeTables } from "./rebuild_refcounts.ts";
import { readCount } from "./refcount_width.ts";
import { Faults, UsedClusters } from "./used_clusters.ts";

/** What a check has found. */
export interface Qcow2Report {
  /** What is wrong, the first twenty in words. */
  readonly errors: readonly string[];
  readonly errorCount: number;
  /** Clusters that are counted more often than they are used: room that is lost, nothing else. */
  readonly leaks: number;
  /** Errors among them that no count can mend. */
  readonly unmendable: number;
  readonly dataClusters: number;
  readonly compressedClusters: number;
  /** Clusters of the disk. */
  readonly totalClusters: number;
  /** Was it marked as not closed, or as corrupt? */
  readonly isDirty: boolean;
  readonly isCorrupt: boolean;
}

/**
 * Checks the image in `file`.
 *
 * @throws DiskError when it cannot even be followed
 */
export function checkQcow2(
  file: ImageFile,
  onProgress: (done: number) => void = () => {},
): Qcow2Report {
  return inMemory(file, () => {
    const header = readHeader(file);
    const used = new UsedClusters(file, header);
    used.onProgress = onProgress;
    used.follow();
    const unmendable = used.faults.count;
    const blocks = used.followRefcounts();
    const { faults } = used;
    const leaks = compareCounts(file, header, used, blocks);
    checkCopied(header, used, faults);
    return {
      errors: faults.messages,
      errorCount: faults.count,
      leaks,
      unmendable,
      dataClusters: used.dataClusters,
      compressedClusters: used.compressedClusters,
      totalClusters: Math.ceil(header.sizeBytes / header.clusterBytes),
      isDirty: (header.incompatible & Incompatible.dirty) !== 0,
      isCorrupt: (header.incompatible & Incompatible.corrupt) !== 0,
    };
  });
}

/**
 * Makes refcounts and what follows from them right, and takes the marks from the header if nothing else
 * is wrong.
 *
 * @throws SysError, DiskError
 */
export function repairQcow2(
  file: ImageFile,
  onProgress: (done: number) => void = () => {},
): void {
  inMemory(file, () => {
    const header = readHeader(file);
    const used = new UsedClusters(file, header);
    used.onProgress = onProgress;
    used.follow();
    // What is wrongly said to be used once would be written in place: first.
    setCopied(file, header, used, false);
    file.sync();
    writeTables(file, rebuildRefcounts(file, header, used, []));
    setCopied(file, header, used, true);
    file.sync();
    if (header.version < 3 || used.faults.count > 0) return;
    const marks = Incompatible.dirty | Incompatible.corrupt;
    const low = new DataView(new ArrayBuffer(4));
    low.setUint32(0, header.incompatible & ~marks);
    file.write(new Uint8Array(low.buffer), Field.incompatible + 4);
    file.sync();
  });
}

/** An image can name clusters all over a file of any size: that is its fault, not ours. */
export function inMemory<T>({ path }: ImageFile, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new DiskError(path, "corrupt", cause.message, { cause });
  }
}

/** Errors are added to the faults; the result is the leaks. */
function compareCounts(
  file: ImageFile,
  { clusterBytes, refcountOrder }: Qcow2Header,
  { counts, faults }: UsedClusters,
  blocks: readonly number[],
): number {
  const bits = 2 ** refcountOrder;
  const inBlock = clusterBytes * 8 / bits;
  let leaks = 0;
  const bytes = new Uint8Array(clusterBytes);
  const block = new DataView(bytes.buffer);
  for (const [range, position] of blocks.entries()) {
    if (position === 0) continue;
    readPadded(file, bytes, position);
    for (let i = 0; i < inBlock; i++) {
      const said = readCount(block, i, bits);
      const cluster = range * inBlock + i;
      const is = counts.get(cluster);
      if (said === is) continue;
      if (said > is) leaks++;
      else faults.add(`cluster ${cluster} has refcount ${said} and is used ${is} times`);
    }
  }
  for (const [cluster, count] of counts.entries()) {
    const range = Math.floor(cluster / inBlock);
    if (range < blocks.length && blocks[range] !== 0) continue;
    faults.add(`cluster ${cluster} has no refcount and is used ${count} times`);
  }
  return leaks;
}

/** Whether an entry that may be marked as used once is marked wrongly. */
function isMarkedWrongly(
  { counts }: UsedClusters,
  { clusterBytes, version }: Qcow2Header,
  high: number,
  low: number,
): boolean {
  const kind = kindOf(high, low, version);
  if (kind !== Kind.data && kind !== Kind.zeroAllocated) return false;
  const count = counts.get(positionOf(high, low) / clusterBytes);
  return count > 0 && (count === 1) !== ((high & COPIED) !== 0);
}

function checkCopied(header: Qcow2Header, used: UsedClusters, faults: Faults): void {
  const { l1 } = used.readL1(header.l1Position, header.l1Entries);
  used.eachActiveTable((l2, position, l1Index) => {
    const once = used.counts.get(position / header.clusterBytes) === 1;
    if (once !== ((l1.getUint32(l1Index * 8) & COPIED) !== 0)) {
      faults.add(`the mark of the L2 table at ${position}, used once or not, is wrong`);
    }
    for (let at = 0; at < l2.byteLength; at += 8) {
      if (isMarkedWrongly(used, header, l2.getUint32(at), l2.getUint32(at + 4))) {
        faults.add(`the mark of a cluster, used once or not, is wrong in the table at ${position}`);
      }
    }
  });
}

/** Sets the marks of what is used once, or takes them from what is not. */
function setCopied(file: ImageFile, header: Qcow2Header, used: UsedClusters, set: boolean): void {
  const { l1, l1Position } = used.readL1(header.l1Position, header.l1Entries);
  let l1Changed = false;
  used.eachActiveTable((l2, position, l1Index) => {
    const once = used.counts.get(position / header.clusterBytes) === 1;
    const high = l1.getUint32(l1Index * 8);
    if (once === set && once !== ((high & COPIED) !== 0)) {
      l1.setUint32(l1Index * 8, high ^ COPIED);
      l1Changed = true;
    }
    let changed = false;
    for (let at = 0; at < l2.byteLength; at += 8) {
      const high = l2.getUint32(at);
      if (!isMarkedWrongly(used, header, high, l2.getUint32(at + 4))) continue;
      if (((high & COPIED) === 0) !== set) continue;
      l2.setUint32(at, high ^ COPIED);
      changed = true;
    }
    if (changed) file.write(new Uint8Array(l2.buffer), position);
  });
  if (l1Changed) file.write(new Uint8Array(l1.buffer), l1Position);
}
