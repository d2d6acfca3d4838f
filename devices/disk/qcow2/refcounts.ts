/**
 * How often each cluster of a qcow2 file is used, and the finding of free ones.
 *
 * Reference: QEMU, docs/interop/qcow2.txt, "Host cluster management". A table of blocks is kept in
 * memory (at most 8 MiB), the blocks in a cache. Written too early, a count can only be too high, which
 * is a leak: so blocks may be written whenever the cache likes, as long as counts go down only when
 * nothing on the medium refers to the cluster any more. That is for the image to see to.
 */

import { readPadded, writeZeros } from "../image_file.ts";
import type { GrowingFile } from "./growing_file.ts";
import { Field, type Qcow2Header } from "./header.ts";
import { readCount, writeCount } from "./refcount_width.ts";
import type { ReservedClusters } from "./reserved_clusters.ts";
import { TableCache } from "../table_cache.ts";

/** Memory for blocks, bytes: the counts of 64 GiB of file with clusters of 64 KiB. */
const CACHE_BYTES = 2 << 20;
/** Sectors in which the table is written. */
const SECTOR = 512;

/** Clusters that follow each other. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

/** See above. Clusters are numbers: position in the file / size of a cluster. */
export class Refcounts {
  readonly #file: GrowingFile;
  readonly #clusterBytes: number;
  readonly #bits: number;
  readonly #blockEntries: number;
  readonly #sliceBytes: number;
  readonly #cache: TableCache;
  readonly #reserved: ReservedClusters;
  readonly #dirtySectors = new Set<number>();
  readonly #corrupt: (problem: string) => Error;
  #position: number;
  #table: DataView<ArrayBuffer>;
  /** Below it nothing is free. */
  #hint = 0;

  /** @param corrupt Notes that the image contradicts itself, and gives the error to throw. */
  constructor(
    file: GrowingFile,
    header: Qcow2Header,
    reserved: ReservedClusters,
    corrupt: (problem: string) => Error,
  ) {
    this.#file = file;
    this.#clusterBytes = header.clusterBytes;
    this.#bits = 2 ** header.refcountOrder;
    this.#blockEntries = header.clusterBytes * 8 / this.#bits;
    this.#sliceBytes = Math.min(4096, header.clusterBytes);
    this.#cache = new TableCache(file, this.#sliceBytes, CACHE_BYTES / this.#sliceBytes, () => {
      this.#cache.write();
      this.#cache.settle();
    });
    this.#reserved = reserved;
    this.#corrupt = corrupt;
    this.#position = header.refcountTablePosition;
    const bytes = new Uint8Array(header.refcountTableClusters * header.clusterBytes);
    readPadded(file, bytes, this.#position);
    this.#table = new DataView(bytes.buffer);
    const end = file.end;
    for (let i = 0; i < this.#entries; i++) {
      const block = this.#blockAt(i);
      if (block === 0) continue;
      if (block % this.#clusterBytes !== 0 || block >= end) {
        throw corrupt(`a block of refcounts is at byte ${block}`);
      }
      reserved.add(block, 1);
    }
  }

  get #entries(): number {
    return this.#table.byteLength / 8;
  }

  /** Are there entries of the table that have not been written? */
  get tableIsDirty(): boolean {
    return this.#dirtySectors.size > 0;
  }

  /** Position of the block of a range, 0 if it has none. */
  #blockAt(range: number): number {
    if (range >= this.#entries) return 0;
    return this.#table.getUint32(range * 8) * 2 ** 32 + this.#table.getUint32(range * 8 + 4);
  }

  /** How often `cluster` is used. */
  get(cluster: number): number {
    const block = this.#blockAt(Math.floor(cluster / this.#blockEntries));
    return block === 0 ? 0 : this.#read(block, cluster % this.#blockEntries);
  }

  /** One use less. @returns How many are left. */
  release(cluster: number): number {
    const count = this.get(cluster);
    if (count === 0) throw this.#corrupt(`cluster ${cluster} is used and has a refcount of 0`);
    this.#set(cluster, count - 1);
    if (count === 1) this.#hint = Math.min(this.#hint, cluster);
    return count - 1;
  }

  /**
   * Takes free clusters that follow each other: `wanted`, or fewer where there is a gap of fewer.
   *
   * @throws SysError when the host has no room for a block of refcounts
   */
  allocate(wanted: number): ClusterRun {
    const first = this.#findFree();
    let count = 0;
    // Of one block: the next one may have to be made first.
    const limit = Math.min(wanted, this.#blockEntries - first % this.#blockEntries);
    while (count < limit && (count === 0 || this.get(first + count) === 0)) {
      if (this.#reserved.has(first + count)) {
        throw this.#corrupt(`cluster ${first + count} holds a table and has a refcount of 0`);
      }
      count++;
    }
    for (let i = 0; i < count; i++) this.#set(first + i, 1);
    this.#hint = first + count;
    return { first, count };
  }

  /** Writes the blocks that have been changed. */
  writeBlocks(): void {
    this.#cache.write();
  }

  /** Writes what has been changed of the table. */
  writeTable(): void {
    const bytes = new Uint8Array(this.#table.buffer);
    for (const sector of this.#dirtySectors) {
      const at = sector * SECTOR;
      this.#file.write(bytes.subarray(at, at + SECTOR), this.#position + at);
    }
  }

  /** What was written is where it has to be. */
  settle(): void {
    this.#cache.settle();
    this.#dirtySectors.clear();
  }

  #findFree(): number {
    let cluster = this.#hint;
    for (;;) {
      const range = Math.floor(cluster / this.#blockEntries);
      const end = (range + 1) * this.#blockEntries;
      const block = this.#blockAt(range);
      if (block === 0) {
        this.#addBlock(range);
        cluster = range * this.#blockEntries + 1;
        continue;
      }
      for (; cluster < end; cluster++) {
        if (this.#read(block, cluster % this.#blockEntries) === 0) return cluster;
      }
    }
  }

  /** Gives `range`, all of whose clusters are free, a block in its first cluster. */
  #addBlock(range: number): void {
    if (range >= this.#entries) return this.#growTable(range);
    const cluster = range * this.#blockEntries;
    if (this.#reserved.has(cluster)) {
      throw this.#corrupt(`cluster ${cluster} holds a table and has no refcount`);
    }
    const position = cluster * this.#clusterBytes;
    writeZeros(this.#file, position, this.#clusterBytes);
    this.#cache.forget(position, this.#clusterBytes);
    this.#write(position, 0, 1);
    this.#reserved.add(position, 1);
    this.#setEntry(range, position);
  }

  #setEntry(range: number, position: number): void {
    this.#table.setBigUint64(range * 8, BigInt(position));
    this.#dirtySectors.add(Math.floor(range * 8 / SECTOR));
  }

  /**
   * Makes the table long enough for `range`. The new one, with blocks of its own, lies in ranges that
   * nothing else is in; the header changes over to it when it is on the medium.
   */
  #growTable(range: number): void {
    const size = this.#clusterBytes;
    const entriesInCluster = size / 8;
    const first = Math.max(range, Math.ceil(this.#file.end / size / this.#blockEntries));
    const clusters = Math.ceil(Math.max(this.#entries * 1.5, first + 64) / entriesInCluster);
    const blocks = Math.ceil(clusters / (this.#blockEntries - 1));
    const start = first * this.#blockEntries;
    const position = (start + blocks) * size;
    const old = { table: this.#table, position: this.#position };
    this.#table = new DataView(new ArrayBuffer(clusters * size));
    new Uint8Array(this.#table.buffer).set(new Uint8Array(old.table.buffer));
    try {
      for (let i = 0; i < blocks; i++) {
        writeZeros(this.#file, (start + i) * size, size);
        this.#cache.forget((start + i) * size, size);
        this.#table.setBigUint64((first + i) * 8, BigInt((start + i) * size));
      }
      for (let i = 0; i < blocks + clusters; i++) this.#set(start + i, 1);
      this.#file.write(new Uint8Array(this.#table.buffer), position);
      this.#cache.write();
      this.#file.sync();
      const fields = new DataView(new ArrayBuffer(12));
      fields.setBigUint64(0, BigInt(position));
      fields.setUint32(8, clusters);
      this.#file.write(new Uint8Array(fields.buffer), Field.refcountTablePosition);
      this.#file.sync();
    } catch (error) {
      this.#cache.forget(start * size, blocks * size);
      this.#table = old.table;
      throw error;
    }
    this.#cache.settle();
    this.#position = position;
    this.#dirtySectors.clear();
    this.#reserved.add(start * size, blocks + clusters);
    const oldClusters = old.table.byteLength / size;
    this.#reserved.remove(old.position, oldClusters);
    for (let i = 0; i < oldClusters; i++) this.release(old.position / size + i);
  }

  /** The slice of a block that has the count number `index`. */
  #slice(block: number, index: number) {
    const inSlice = this.#sliceBytes * 8 / this.#bits;
    return this.#cache.get(block + Math.floor(index / inSlice) * this.#sliceBytes);
  }

  #read(block: number, index: number): number {
    const inSlice = this.#sliceBytes * 8 / this.#bits;
    return readCount(this.#slice(block, index).view, index % inSlice, this.#bits);
  }

  #write(block: number, index: number, value: number): void {
    const inSlice = this.#sliceBytes * 8 / this.#bits;
    const slice = this.#slice(block, index);
    writeCount(slice.view, index % inSlice, this.#bits, value);
    this.#cache.changed(slice);
  }

  #set(cluster: number, value: number): void {
    const block = this.#blockAt(Math.floor(cluster / this.#blockEntries));
    this.#write(block, cluster % this.#blockEntries, value);
  }
}
