/**
 * From clusters of the disk to those of the file: the L1 table in memory (at most 32 MiB), L2 tables in
 * a cache. Reference: QEMU, docs/interop/qcow2.txt, "Cluster mapping".
 */

import { readPadded, writeZeros } from "../image_file.ts";
import type { GrowingFile } from "./growing_file.ts";
import type { Qcow2Header } from "./header.ts";
import { COPIED, Kind, kindOf, positionOf } from "./l2_entry.ts";
import type { Refcounts } from "./refcounts.ts";
import type { ReservedClusters } from "./reserved_clusters.ts";
import { type Slice, TableCache } from "../table_cache.ts";

/** Memory for L2 tables, bytes: the map of 128 GiB of disk with clusters of 64 KiB. */
const CACHE_BYTES = 16 << 20;
/** Sectors in which L1 is written. */
const SECTOR = 512;

/** What the map needs for writing, which a read-only image does not have. */
export interface MapWriter {
  readonly refcounts: Refcounts;
  readonly reserved: ReservedClusters;
  /** A cluster that is used once less when the map is on the medium. */
  unused(cluster: number): void;
}

/** See above. */
export class ClusterMap {
  /** Result of `find`. */
  kind: Kind = Kind.unallocated;
  /** Result of `find`: where it begins in the file; of compressed clusters the two halves instead. */
  position = 0;
  /** Result of `find`: bytes from the offset on that are of the same kind and follow each other. */
  length = 0;
  /** Result of `find`: may be written in place. */
  copied = false;
  /** Result of `find`, of a compressed cluster. */
  high = 0;
  low = 0;

  readonly #file: GrowingFile;
  readonly #version: number;
  readonly #clusterBytes: number;
  readonly #l2Entries: number;
  readonly #sliceBytes: number;
  readonly #cache: TableCache;
  readonly #corrupt: (problem: string) => Error;
  readonly #dirtyL1 = new Set<number>();
  #l1Position: number;
  #l1: DataView<ArrayBuffer>;

  /**
   * @param commit Brings everything onto the medium, in order; called when the cache is full of what
   * has not been written.
   * @param corrupt Notes that the image contradicts itself, and gives the error to throw.
   */
  constructor(
    file: GrowingFile,
    header: Qcow2Header,
    commit: () => void,
    corrupt: (problem: string) => Error,
  ) {
    this.#file = file;
    this.#version = header.version;
    this.#clusterBytes = header.clusterBytes;
    this.#l2Entries = header.clusterBytes / 8;
    this.#sliceBytes = Math.min(4096, header.clusterBytes);
    this.#cache = new TableCache(file, this.#sliceBytes, CACHE_BYTES / this.#sliceBytes, commit);
    this.#corrupt = corrupt;
    this.#l1Position = header.l1Position;
    const l1 = new Uint8Array(header.l1Entries * 8);
    readPadded(file, l1, header.l1Position);
    this.#l1 = new DataView(l1.buffer);
  }

  /** Is there anything that has not been written? */
  get dirty(): boolean {
    return this.#cache.dirty || this.#dirtyL1.size > 0;
  }

  /** Entries of L1. */
  get l1Entries(): number {
    return this.#l1.byteLength / 8;
  }

  /** Bytes of disk that an L2 table maps. */
  get tableSpan(): number {
    return this.#clusterBytes * this.#l2Entries;
  }

  /** Says in the fields above what is at `offset` of the disk, for at most `most` bytes. */
  find(offset: number, most: number): void {
    const size = this.#clusterBytes;
    const cluster = Math.floor(offset / size);
    const inCluster = offset - cluster * size;
    const table = this.tablePosition(Math.floor(cluster / this.#l2Entries));
    const index = cluster % this.#l2Entries;
    if (table === 0) {
      this.kind = Kind.unallocated;
      this.copied = false;
      this.length = Math.min(most, (this.#l2Entries - index) * size - inCluster);
      return;
    }
    const at = index * 8 % this.#sliceBytes;
    const { view } = this.#cache.get(table + index * 8 - at);
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    const kind = kindOf(high, low, this.#version);
    this.kind = kind;
    this.copied = (high & COPIED) !== 0;
    this.length = Math.min(most, size - inCluster);
    if (kind === Kind.compressed) {
      this.high = high;
      this.low = low;
      return;
    }
    const start = positionOf(high, low);
    if (start % size !== 0) throw this.#corrupt(`a cluster of data is at byte ${start}`);
    this.position = start + inCluster;
    // As far as entries of the same slice go on like this.
    const step = kind === Kind.data ? size : 0;
    let end = start;
    for (let next = at + 8; this.length < most && next < this.#sliceBytes; next += 8) {
      const nextHigh = view.getUint32(next);
      const nextLow = view.getUint32(next + 4);
      if (kindOf(nextHigh, nextLow, this.#version) !== kind) break;
      if (((nextHigh ^ high) & COPIED) !== 0) break;
      if (step !== 0 && positionOf(nextHigh, nextLow) !== end + step) break;
      if (kind === Kind.zeroAllocated) break;
      end += step;
      this.length = Math.min(most, this.length + size);
    }
    if (kind === Kind.data && end >= this.#file.end) {
      throw this.#corrupt(`a cluster of data is at byte ${end}, beyond the end of the file`);
    }
  }

  /** Position of the L2 table of an entry of L1, 0 if it has none. */
  tablePosition(l1Index: number): number {
    if (l1Index >= this.l1Entries) return 0;
    const position = positionOf(
      this.#l1.getUint32(l1Index * 8),
      this.#l1.getUint32(l1Index * 8 + 4),
    );
    if (position % this.#clusterBytes !== 0 || position >= this.#file.end) {
      if (position === 0) return 0;
      throw this.#corrupt(`an L2 table is at byte ${position}`);
    }
    return position;
  }

  /** The slice with the entry of `cluster`, and where in it; its L2 table has to be there. */
  entry(cluster: number): { slice: Slice; at: number } {
    const index = cluster % this.#l2Entries;
    const at = index * 8 % this.#sliceBytes;
    const l1Index = Math.floor(cluster / this.#l2Entries);
    const table = this.tablePosition(l1Index);
    return { slice: this.#cache.get(table + index * 8 - at), at };
  }

  /** Clusters from `cluster` on whose entries are in the same slice. */
  clustersInSlice(cluster: number): number {
    const inSlice = this.#sliceBytes / 8;
    return inSlice - cluster % inSlice;
  }

  /** Notes that entries of a slice have been changed. */
  changed(slice: Slice): void {
    this.#cache.changed(slice);
  }

  /**
   * Makes the L2 table of `cluster` one that may be changed: a new one, or a copy of one that a
   * snapshot shares.
   *
   * @throws SysError when the host has no room
   */
  ownTable(cluster: number, writer: MapWriter): void {
    const l1Index = Math.floor(cluster / this.#l2Entries);
    if (l1Index >= this.l1Entries) throw this.#corrupt("its L1 table is too short");
    const old = this.tablePosition(l1Index);
    if (old !== 0 && (this.#l1.getUint32(l1Index * 8) & COPIED) !== 0) return;
    const { first } = writer.refcounts.allocate(1);
    const position = first * this.#clusterBytes;
    try {
      if (old === 0) {
        writeZeros(this.#file, position, this.#clusterBytes);
      } else {
        const copy = new Uint8Array(this.#clusterBytes);
        readPadded(this.#file, copy, old);
        this.#file.write(copy, position);
      }
    } catch (error) {
      writer.refcounts.release(first);
      throw error;
    }
    this.#cache.forget(position, this.#clusterBytes);
    this.#l1.setBigUint64(l1Index * 8, BigInt(position));
    this.#l1.setUint32(l1Index * 8, this.#l1.getUint32(l1Index * 8) | COPIED);
    this.#dirtyL1.add(Math.floor(l1Index * 8 / SECTOR));
    writer.reserved.add(position, 1);
    if (old !== 0) writer.unused(old / this.#clusterBytes);
  }

  /** Reserves the clusters of L1 and of every L2 table. */
  reserve(reserved: ReservedClusters): void {
    const bytes = this.#l1.byteLength;
    reserved.add(this.#l1Position, Math.ceil(bytes / this.#clusterBytes));
    for (let i = 0; i < this.l1Entries; i++) {
      const table = this.tablePosition(i);
      if (table !== 0) reserved.add(table, 1);
    }
  }

  /** Writes what has been changed of L2 tables. */
  writeL2(): void {
    this.#cache.write();
  }

  /** Writes what has been changed of L1. */
  writeL1(): void {
    const bytes = new Uint8Array(this.#l1.buffer);
    for (const sector of this.#dirtyL1) {
      const at = sector * SECTOR;
      this.#file.write(bytes.subarray(at, at + SECTOR), this.#l1Position + at);
    }
  }

  /** What was written is where it has to be. */
  settle(): void {
    this.#cache.settle();
    this.#dirtyL1.clear();
  }
}
