/** Counts how often each cluster of a qcow2 file is used, by following everything from the header on. */

import { type ImageFile, readPadded } from "../image_file.ts";
import type { Qcow2Header } from "./header.ts";
import { compressedRange, COPIED, Kind, kindOf, positionOf } from "./l2_entry.ts";
import { PagedCounts } from "./paged_counts.ts";
import { readSnapshots } from "./snapshots.ts";

/** Errors that are told; the rest is counted. */
const MOST_MESSAGES = 20;
/** Largest directory or table of bitmaps that is looked at, bytes. */
const MAX_BITMAP_BYTES = 64 << 20;

/** Bits of entries that have to be 0: of L2 but for compressed clusters, and of L1. */
const RESERVED_HIGH = 0x3f00_0000;
const RESERVED_LOW = 0x1fe;
const L1_RESERVED_HIGH = 0x7f00_0000;
const L1_RESERVED_LOW = 0x1ff;

/** What is wrong, and how often. */
export class Faults {
  readonly messages: string[] = [];
  count = 0;

  add(message: string): void {
    if (this.count++ < MOST_MESSAGES) this.messages.push(message);
  }
}

/** The L2 tables that an L1 table names. */
export interface TableList {
  readonly l1: DataView<ArrayBuffer>;
  readonly l1Position: number;
}

/** See above. */
export class UsedClusters {
  readonly counts = new PagedCounts();
  readonly faults = new Faults();
  /** Clusters of the disk that have data of their own; compressed ones among them. */
  dataClusters = 0;
  compressedClusters = 0;
  /** Tells how far it is, 0 to 1. */
  onProgress: (done: number) => void = () => {};
  readonly #file: ImageFile;
  readonly #header: Qcow2Header;
  readonly #size: number;
  readonly #fileEnd: number;

  constructor(file: ImageFile, header: Qcow2Header) {
    this.#file = file;
    this.#header = header;
    this.#size = header.clusterBytes;
    this.#fileEnd = Math.ceil(file.size / this.#size) * this.#size;
  }

  /** Follows everything but the refcounts themselves. */
  follow(): void {
    const header = this.#header;
    this.#use(0, this.#size, "the header");
    const { snapshots, bytes } = readSnapshots(this.#file, header);
    this.#use(header.snapshotsPosition, bytes, "the snapshot table");
    for (const { name, l1Position, l1Entries } of snapshots) {
      this.#use(l1Position, l1Entries * 8, `the L1 table of snapshot ${name}`);
      this.#tables(this.readL1(l1Position, l1Entries), false);
    }
    this.#use(header.l1Position, header.l1Entries * 8, "the L1 table");
    this.#tables(this.readL1(header.l1Position, header.l1Entries), true);
    this.#bitmaps();
  }

  /** Counts the table of refcounts and its blocks; gives the positions of those that can be. */
  followRefcounts(): number[] {
    const { refcountTablePosition: start, refcountTableClusters: clusters } = this.#header;
    this.#use(start, clusters * this.#size, "the refcount table");
    const table = this.#read(start, clusters * this.#size);
    return Array.from({ length: table.byteLength / 8 }, (_, i) => {
      const block = Number(table.getBigUint64(i * 8));
      return block !== 0 && this.#use(block, this.#size, "a block of refcounts") ? block : 0;
    });
  }

  /** The L1 table at a position. */
  readL1(l1Position: number, l1Entries: number): TableList {
    return { l1: this.#read(l1Position, l1Entries * 8), l1Position };
  }

  /** Calls `look` with each L2 table of the active L1 that can be one. */
  eachActiveTable(look: (l2: DataView<ArrayBuffer>, position: number, l1Index: number) => void) {
    const { l1 } = this.readL1(this.#header.l1Position, this.#header.l1Entries);
    for (let i = 0; i < l1.byteLength / 8; i++) {
      const position = positionOf(l1.getUint32(i * 8), l1.getUint32(i * 8 + 4));
      if (position === 0 || position % this.#size !== 0 || position >= this.#fileEnd) continue;
      look(this.#read(position, this.#size), position, i);
    }
  }

  #tables({ l1 }: TableList, active: boolean): void {
    const positions = new Float64Array(l1.byteLength / 8);
    for (let i = 0; i < positions.length; i++) {
      const high = l1.getUint32(i * 8);
      const low = l1.getUint32(i * 8 + 4);
      positions[i] = positionOf(high, low);
      if ((high & L1_RESERVED_HIGH) !== 0 || (low & L1_RESERVED_LOW) !== 0) {
        this.faults.add(`entry ${i} of an L1 table has bits that mean nothing`);
      }
    }
    // By position: a table that is named twice is followed once, and the file is read in order.
    positions.sort();
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i];
      if (position === 0) continue;
      if (!this.#use(position, this.#size, "an L2 table")) continue;
      if (position === positions[i - 1]) {
        this.faults.add(`the L2 table at ${position} is named twice`);
      } else this.#table(position, active);
      if (active) this.onProgress(i / positions.length);
    }
  }

  #table(position: number, active: boolean): void {
    const { version, clusterBits } = this.#header;
    const l2 = this.#read(position, this.#size);
    for (let at = 0; at < l2.byteLength; at += 8) {
      const high = l2.getUint32(at);
      const low = l2.getUint32(at + 4);
      const kind = kindOf(high, low, version);
      if (
        kind !== Kind.compressed && ((high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0)
      ) {
        this.faults.add(`an entry of the L2 table at ${position} has bits that mean nothing`);
      }
      if (kind === Kind.unallocated || kind === Kind.zero) continue;
      if (active) this.dataClusters++;
      if (kind === Kind.compressed) {
        if (active) this.compressedClusters++;
        if (high & COPIED) this.faults.add("a compressed cluster is marked as used once");
        const range = compressedRange(high, low, clusterBits);
        // Its last sector is known to the sector only, and may be beyond the end.
        const length = Math.min(range.length, Math.max(1, this.#fileEnd - range.position));
        this.#use(range.position, length, "a compressed cluster", 1);
      } else {
        this.#use(positionOf(high, low), this.#size, "a cluster of data");
      }
    }
  }

  /** "Bitmaps": directory entries of 24 bytes and more, each with a table of clusters. */
  #bitmaps(): void {
    const { bitmaps } = this.#header;
    if (bitmaps === undefined || bitmaps.bytes > MAX_BITMAP_BYTES) return;
    if (!this.#use(bitmaps.position, bitmaps.bytes, "the directory of bitmaps")) return;
    const directory = this.#read(bitmaps.position, bitmaps.bytes);
    for (let at = 0; at + 24 <= directory.byteLength;) {
      const position = Number(directory.getBigUint64(at));
      const bytes = directory.getUint32(at + 8) * 8;
      const names = directory.getUint16(at + 18) + directory.getUint32(at + 20);
      at += Math.ceil((24 + names) / 8) * 8;
      if (bytes > MAX_BITMAP_BYTES || !this.#use(position, bytes, "a table of a bitmap")) continue;
      const table = this.#read(position, bytes);
      for (let i = 0; i < bytes; i += 8) {
        const cluster = positionOf(table.getUint32(i), table.getUint32(i + 4));
        if (cluster !== 0) this.#use(cluster, this.#size, "a cluster of a bitmap");
      }
    }
  }

  /** Counts the clusters of a range. @returns Whether it can be one. */
  #use(position: number, length: number, what: string, alignment = this.#size): boolean {
    if (length === 0) return true;
    if (position === 0 && what !== "the header") {
      this.faults.add(`${what} is at byte 0`);
      return false;
    }
    if (position % alignment !== 0) {
      this.faults.add(`${what} is at byte ${position}, where no cluster begins`);
      return false;
    }
    if (position + length > this.#fileEnd) {
      this.faults.add(`${what} is at byte ${position}, beyond the end of the file`);
      return false;
    }
    const last = Math.floor((position + length - 1) / this.#size);
    for (let i = Math.floor(position / this.#size); i <= last; i++) this.counts.add(i);
    return true;
  }

  #read(position: number, length: number): DataView<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    readPadded(this.#file, bytes, position);
    return new DataView(bytes.buffer);
  }
}
