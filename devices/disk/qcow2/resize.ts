/** Another size for the disk in a qcow2 image. A crash leaves the old size or the new one. */

import { DiskError } from "../disk_image.ts";
import { type ImageFile, readPadded, writeZeros } from "../image_file.ts";
import { inMemory } from "./check.ts";
import { l1EntriesFor, MAX_L1_BYTES, type Qcow2Header, readHeader } from "./header.ts";
import { rebuildRefcounts, writeTables } from "./rebuild_refcounts.ts";
import { UsedClusters } from "./used_clusters.ts";

/**
 * Writes the new size into the image. What a smaller disk does not have any more should have been
 * discarded before.
 *
 * @param sizeBytes Whole sectors of 512 bytes.
 * @throws SysError, DiskError
 */
export function resizeQcow2(file: ImageFile, sizeBytes: number): void {
  const header = readHeader(file);
  const refuse = (code: "size" | "format", problem: string): never => {
    throw new DiskError(file.path, code, problem);
  };
  if (header.version < 3 && header.snapshots > 0) {
    refuse("format", "snapshots of version 2 do not know their size; convert it first");
  }
  const { clusterBytes, l1Position } = header;
  const l1Entries = Math.max(header.l1Entries, l1EntriesFor(sizeBytes, clusterBytes));
  if (l1Entries * 8 > MAX_L1_BYTES) {
    refuse("size", `with clusters of ${clusterBytes} bytes a disk cannot be so large`);
  }
  const used = header.l1Entries * 8;
  const room = Math.ceil(used / clusterBytes) * clusterBytes;
  const { refcountTablePosition, refcountTableClusters } = header;
  if (l1Entries * 8 <= room) {
    // Behind its end the table's last cluster may have anything.
    writeZeros(file, l1Position + used, room - used);
    file.sync();
    const resized = { sizeBytes, l1Entries, l1Position };
    return writeTables(file, { refcountTablePosition, refcountTableClusters, resized });
  }
  inMemory(file, () => moveL1(file, header, sizeBytes, l1Entries));
}

function moveL1(file: ImageFile, header: Qcow2Header, sizeBytes: number, l1Entries: number): void {
  const used = new UsedClusters(file, header);

  used.follow();
  const [fault] = used.faults.messages;
  if (fault !== undefined) throw new DiskError(file.path, "corrupt", fault);
  const { clusterBytes, l1Position } = header;
  const old = Math.ceil(header.l1Entries * 8 / clusterBytes);
  for (let i = 0; i < old; i++) {
    const cluster = l1Position / clusterBytes + i;
    used.counts.set(cluster, used.counts.get(cluster) - 1);
  }
  const l1 = new Uint8Array(l1Entries * 8);
  readPadded(file, l1.subarray(0, header.l1Entries * 8), l1Position);
  const { further, ...tables } = rebuildRefcounts(file, header, used, [l1]);
  writeTables(file, { ...tables, resized: { sizeBytes, l1Entries, l1Position: further[0] } });
}
