/** The table of internal snapshots: which mapping tables an image has besides the active one. */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import { MAX_L1_BYTES, type Qcow2Header } from "./header.ts";

/** An internal snapshot. */
export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly l1Position: number;
  readonly l1Entries: number;
}

/** The snapshots with the length of their table in bytes. */
export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[];
  readonly bytes: number;
}

const FIXED_BYTES = 40;
/** What QEMU limits the table to. */
const MAX_TABLE_BYTES = 64 << 20;

/**
 * Reads the table (QEMU, docs/interop/qcow2.txt, "Snapshots").
 *
 * @throws DiskError when it is no such table
 */
export function readSnapshots(file: ImageFile, header: Qcow2Header): SnapshotTable {
  const { snapshots: count, snapshotsPosition: start } = header;
  const broken = (why: string) => new DiskError(file.path, "corrupt", `its snapshot table ${why}`);
  const snapshots: Snapshot[] = [];
  const fixed = new DataView(new ArrayBuffer(FIXED_BYTES));
  let at = start;
  for (let i = 0; i < count; i++) {
    if (file.read(new Uint8Array(fixed.buffer), at) < FIXED_BYTES) throw broken("is cut off");
    const l1Position = Number(fixed.getBigUint64(0));
    const l1Entries = fixed.getUint32(8);
    const idBytes = fixed.getUint16(12);
    const nameBytes = fixed.getUint16(14);
    const extraBytes = fixed.getUint32(36);
    if (l1Entries * 8 > MAX_L1_BYTES) throw broken(`names an L1 table of ${l1Entries} entries`);
    if (l1Entries > 0 && (l1Position === 0 || l1Position % header.clusterBytes !== 0)) {
      throw broken(`names an L1 table at byte ${l1Position}`);
    }
    if (l1Position + l1Entries * 8 > file.size) {
      throw broken("names an L1 table beyond the end of the file");
    }
    const strings = new Uint8Array(idBytes + nameBytes);
    if (file.read(strings, at + FIXED_BYTES + extraBytes) < strings.length) {
      throw broken("is cut off");
    }
    const text = (from: number, to: number) =>
      new TextDecoder().decode(strings.subarray(from, to)).replaceAll(/\p{Cc}/gu, "?");
    const id = text(0, idBytes);
    snapshots.push({ id, name: text(idBytes, strings.length), l1Position, l1Entries });
    at += Math.ceil((FIXED_BYTES + extraBytes + strings.length) / 8) * 8;
    if (at - start > MAX_TABLE_BYTES) throw broken("is too long");
  }
  return { snapshots, bytes: at - start };
}
