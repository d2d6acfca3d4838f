/**
 * A qcow2 image, version 2 or 3, read and written.
 *
 * Reference: QEMU, docs/interop/qcow2.txt. Left out, and refused when an image needs it: encryption,
 * external data files, subclusters.
 *
 * A crash at any moment leaves an image without errors (clusters may be lost, "leaked") that has
 * everything flushed. For that, what refers to something is written when that is on the medium: data,
 * refcounts and new L2 tables as they were made (empty, or a copy), then entries of L2 and L1
 * (`#commit`). What is overwritten or discarded is given free when nothing on the medium refers to it
 * any more. All of it is on one thread.
 */

import { DiskError, type DiskImage, type HostRange } from "../disk_image.ts";
import { type ImageFile, readPadded } from "../image_file.ts";
import { Errno, SysError } from "../../../hv/sys/errors.ts";
import { ClusterMap } from "./cluster_map.ts";
import { decompressCluster } from "./compressed_cluster.ts";
import { GrowingFile } from "./growing_file.ts";
import { Field, Incompatible, type Qcow2Header } from "./header.ts";
import { compressedRange, COPIED, Kind, kindOf, positionOf, ZERO } from "./l2_entry.ts";
import { Refcounts } from "./refcounts.ts";
import { ReservedClusters } from "./reserved_clusters.ts";
import { readSnapshots } from "./snapshots.ts";

/** Clusters that may wait to be given free before everything is brought onto the medium. */
const MAX_UNUSED = 65536;
/** What is made zeros by writing is so in parts of this many bytes. */
const ZERO_PART = 1 << 20;

/** What only writing needs. */
interface Writer {
  readonly refcounts: Refcounts;
  readonly reserved: ReservedClusters;
  unused(cluster: number): void;
}

/** A flush that is under way, waiting for what it has written to be on the medium. */
interface Flush {
  readonly steps: Generator<void, void>;
  /** Why it went wrong when somebody else ended it. */
  failure: Error | undefined;
}

/** See above. */
export class Qcow2Image implements DiskImage {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly header: Qcow2Header;
  readonly #file: GrowingFile;
  readonly #backing: DiskImage | undefined;
  readonly #map: ClusterMap;
  readonly #clusterBytes: number;
  #writer: Writer | undefined;
  /** Clusters that are used once less when the map is on the medium. */
  #unused: number[] = [];
  #broken: DiskError | undefined;
  #flush: Flush | undefined;
  #unpacked: { position: number; bytes: Uint8Array } | undefined;

  /**
   * Takes `file` and `backing` over, and writes nothing until it is asked to.
   *
   * @param sizeBytes The header's, rounded up to whole sectors.
   * @param backing What is read where the image has nothing.
   */
  constructor(
    file: ImageFile,
    header: Qcow2Header,
    sizeBytes: number,
    backing?: DiskImage,
  ) {
    this.#file = new GrowingFile(file);
    this.header = header;
    this.sizeBytes = sizeBytes;
    this.readOnly = !file.writable;
    this.#backing = backing;
    this.#clusterBytes = header.clusterBytes;
    this.#map = new ClusterMap(
      this.#file,
      header,
      () => this.#commit(),
      (why) => this.#corrupt(why),
    );
  }

  get hasUnwritten(): boolean {
    const isWritten = this.#writer === undefined || this.#broken !== undefined;
    return !isWritten && (this.#map.dirty || this.#unused.length > 0);
  }

  read(offset: number, into: Uint8Array): void {
    const map = this.#map;
    for (let done = 0; done < into.length;) {
      const at = offset + done;
      map.find(at, into.length - done);
      const { kind, length } = map;
      const part = into.subarray(done, done + length);
      if (kind === Kind.data) readPadded(this.#file, part, map.position);
      else if (kind === Kind.compressed) part.set(this.#decompress(at, length));
      else if (kind === Kind.unallocated) this.#readBacking(at, part);
      else part.fill(0);
      done += length;
    }
  }

  write(offset: number, from: Uint8Array): void {
    const writer = this.#change();
    const map = this.#map;
    for (let done = 0; done < from.length;) {
      const at = offset + done;
      map.find(at, from.length - done);
      if (map.kind === Kind.data && map.copied) {
        this.#checkPlain(writer, map.position, map.length);
        const { position, length } = map;
        this.#file.write(from.subarray(done, done + length), position);
        done += length;
      } else {
        done += this.#writeNew(writer, at, from.subarray(done));
      }
    }
  }

  flush(): void {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#writer !== undefined) this.#commit();
  }

  *flushSteps(): Generator<number, void> {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#writer === undefined) return;
    this.#finish();
    const flush: Flush = { steps: this.#commitSteps(), failure: undefined };
    this.#flush = flush;
    try {
      // Somebody else may have come to its end meanwhile.
      while (!flush.steps.next().done) yield this.#file.fd;
      if (flush.failure !== undefined) throw flush.failure;
    } finally {
      if (this.#flush === flush) this.#flush = undefined;
    }
  }

  discard(offset: number, length: number): void {
    // Without zero clusters there is nothing between the guest and the backing file's old data.
    if (this.#backing !== undefined && this.header.version < 3) return;
    const writer = this.#change();
    this.#eachWhole(offset, length, (cluster, count) => {
      this.#map.find(cluster * this.#clusterBytes, count * this.#clusterBytes);
      const { kind } = this.#map;
      const clusters = Math.ceil(this.#map.length / this.#clusterBytes);
      if (kind === Kind.unallocated || kind === Kind.zero) return clusters;
      this.#clear(writer, cluster, clusters, true);
      return clusters;
    });
  }

  writeZeroes(offset: number, length: number, unmap: boolean): void {
    const writer = this.#change();
    const end = offset + length;
    const size = this.#clusterBytes;
    const byEntry = this.header.version >= 3 || this.#backing === undefined;
    const first = Math.ceil(offset / size) * size;
    const last = end === this.sizeBytes ? end : Math.floor(end / size) * size;
    if (!byEntry || first >= last) return this.#zeroByWriting(offset, length);
    this.#zeroByWriting(offset, first - offset);
    this.#zeroByWriting(last, end - last);
    this.#eachWhole(first, last - first, (cluster, count) => {
      this.#map.find(cluster * size, count * size);
      const { kind } = this.#map;
      const clusters = Math.ceil(this.#map.length / size);
      const isZero = kind === Kind.zero ||
        (kind === Kind.unallocated && this.#backing === undefined);
      if (!isZero) this.#clear(writer, cluster, clusters, unmap || this.header.version < 3);
      return clusters;
    });
  }

  zerosAt(offset: number, length: number): number {
    const map = this.#map;
    map.find(offset, length);
    const { kind, length: part, position } = map;
    if (kind === Kind.data) return this.#file.holeAt(position, part);
    if (kind === Kind.compressed) return 0;
    if (kind !== Kind.unallocated || this.#backing === undefined) return part;
    const inBacking = Math.min(part, this.#backing.sizeBytes - offset);
    return inBacking <= 0 ? part : this.#backing.zerosAt(offset, inBacking);
  }

  extent(offset: number, length: number, write: boolean): HostRange | undefined {
    if (write && this.readOnly) return undefined;
    const writer = write ? this.#prepare() : undefined;
    const map = this.#map;
    map.find(offset, length);
    if (map.kind === Kind.data) {
      if (writer !== undefined) {
        if (!map.copied) return undefined;
        this.#checkPlain(writer, map.position, map.length);
      }
      return { fd: this.#file.fd, position: map.position, length: map.length };
    }
    if (write || map.kind !== Kind.unallocated || this.#backing === undefined) return undefined;
    const inBacking = Math.min(map.length, this.#backing.sizeBytes - offset);
    return inBacking <= 0 ? undefined : this.#backing.extent?.(offset, inBacking, false);
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
    this.#backing?.[Symbol.dispose]();
  }

  /** What is needed to change where things are in the file: no flush is under way then. */
  #change(): Writer {
    this.#finish();
    return this.#prepare();
  }

  /** What is needed to write, made when it is first needed. */
  #prepare(): Writer {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#writer !== undefined) return this.#writer;
    if (this.readOnly) throw new SysError(`write to ${this.#file.path}`, Errno.EROFS);
    try {
      return this.#writer = this.#makeWriter();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new DiskError(this.#file.path, "corrupt", error.message, { cause: error });
    }
  }

  #makeWriter(): Writer {
    const { header } = this;
    const reserved = new ReservedClusters(this.#clusterBytes);
    const corrupt = (why: string) => this.#corrupt(why);
    reserved.add(0, 1);
    const clusters = (bytes: number) => Math.ceil(bytes / this.#clusterBytes);
    reserved.add(header.refcountTablePosition, header.refcountTableClusters);
    const refcounts = new Refcounts(this.#file, header, reserved, corrupt);
    this.#map.reserve(reserved);
    const { snapshots, bytes } = readSnapshots(this.#file, header);
    reserved.add(header.snapshotsPosition, clusters(bytes));
    for (const { l1Position, l1Entries } of snapshots) {
      reserved.add(l1Position, clusters(l1Entries * 8));
    }
    if (header.autoclear) {
      this.#file.write(new Uint8Array(8), Field.autoclear);
      this.#file.sync();
    }
    const unused = (cluster: number) => void this.#unused.push(cluster);
    return { refcounts, reserved, unused };
  }

  /** Writes at `at`, in clusters that cannot be written in place; gives how many bytes of `data`. */
  #writeNew(writer: Writer, at: number, data: Uint8Array): number {
    const size = this.#clusterBytes;
    const cluster = Math.floor(at / size);
    const start = cluster * size;
    const inPlace = this.#map.kind === Kind.zeroAllocated && this.#map.copied;
    const kept = this.#map.position - (at - start);
    this.#map.ownTable(cluster, writer);
    const wanted = Math.min(
      Math.ceil((at - start + data.length) / size),
      this.#map.clustersInSlice(cluster),
    );
    if (inPlace) this.#checkPlain(writer, kept, size);
    const run = inPlace
      ? { first: kept / size, count: 1 }
      : writer.refcounts.allocate(this.#needingRoom(cluster, wanted));
    const length = Math.min(data.length, start + run.count * size - at);
    try {
      this.#fill(run.first * size, run.count, at, data.subarray(0, length));
      const { slice, at: entryAt } = this.#map.entry(cluster);
      for (let i = 0; i < run.count; i++) {
        const entry = entryAt + i * 8;
        if (!inPlace) this.#drop(writer, slice.view, entry);
        slice.view.setBigUint64(entry, BigInt((run.first + i) * size));
        slice.view.setUint32(entry, slice.view.getUint32(entry) | COPIED);
      }
      this.#map.changed(slice);
    } catch (error) {
      for (let i = 0; !inPlace && i < run.count; i++) writer.refcounts.release(run.first + i);
      throw error;
    }
    this.#bound();
    return length;
  }

  /** How many clusters from `cluster` on, at most `most`, cannot be written in place. */
  #needingRoom(cluster: number, most: number): number {
    const { slice, at } = this.#map.entry(cluster);
    let count = 1;
    for (; count < most; count++) {
      const high = slice.view.getUint32(at + count * 8);
      const kind = kindOf(high, slice.view.getUint32(at + count * 8 + 4), this.header.version);
      if ((high & COPIED) !== 0 && (kind === Kind.data || kind === Kind.zeroAllocated)) break;
    }
    return count;
  }

  /** Fills `count` new clusters at `position`: with `data`, and around it with what the disk has there. */
  #fill(position: number, count: number, at: number, data: Uint8Array): void {
    const size = this.#clusterBytes;
    const start = Math.floor(at / size) * size;
    const head = at - start;
    const end = at + data.length;
    const tail = Math.min(start + count * size, this.sizeBytes) - end;
    const fresh = position >= this.#file.end;
    if (count === 1 && (head > 0 || tail > 0)) {
      const isZero = this.zerosAt(start, head + data.length + tail) >= head + data.length + tail;
      if (fresh && isZero) return this.#file.write(data, position + head);
      const whole = new Uint8Array(size);
      if (!isZero) this.read(start, whole.subarray(0, head + data.length + tail));
      whole.set(data, head);
      return this.#file.write(whole, position);
    }
    const old = (offset: number, length: number) => {
      const bytes = new Uint8Array(length);
      this.read(offset, bytes);
      return bytes;
    };
    if (head > 0) this.#file.write(old(start, head), position);
    this.#file.write(data, position + head);
    if (tail > 0) this.#file.write(old(end, tail), position + head + data.length);
  }

  /** Makes whole clusters zeros, or what the image has not. @param free Their room goes. */
  #clear(writer: Writer, cluster: number, count: number, free: boolean): void {
    const isZero = this.header.version >= 3 && this.#backing !== undefined;
    for (let i = 0; i < count;) {
      this.#map.ownTable(cluster + i, writer);
      const { slice, at } = this.#map.entry(cluster + i);
      const inSlice = Math.min(count - i, this.#map.clustersInSlice(cluster + i));
      for (let entry = at; entry < at + inSlice * 8; entry += 8) {
        const high = slice.view.getUint32(entry);
        const low = slice.view.getUint32(entry + 4);
        const kind = kindOf(high, low, this.header.version);
        const keeps = kind === Kind.data || kind === Kind.zeroAllocated;
        if (!free && keeps && (high & COPIED) !== 0) {
          slice.view.setUint32(entry + 4, low | ZERO);
          continue;
        }
        this.#drop(writer, slice.view, entry);
        slice.view.setBigUint64(entry, isZero || !free ? BigInt(ZERO) : 0n);
      }
      this.#map.changed(slice);
      i += inSlice;
    }
    this.#bound();
  }

  /** Notes that an entry's clusters are not used by it any more. */
  #drop(writer: Writer, view: DataView, entry: number): void {
    const high = view.getUint32(entry);
    const low = view.getUint32(entry + 4);
    const kind = kindOf(high, low, this.header.version);
    if (kind === Kind.compressed) {
      const { position, length } = compressedRange(high, low, this.header.clusterBits);
      this.#checkPlain(writer, position, length);
      const last = Math.floor((position + length - 1) / this.#clusterBytes);
      for (let i = Math.floor(position / this.#clusterBytes); i <= last; i++) writer.unused(i);
    } else if (kind === Kind.data || kind === Kind.zeroAllocated) {
      const position = positionOf(high, low);
      this.#checkPlain(writer, position, this.#clusterBytes);
      writer.unused(position / this.#clusterBytes);
    }
  }

  /** Everything onto the medium. */
  #commit(): void {
    this.#finish();
    for (const _ of this.#commitSteps()) this.#file.sync();
  }

  /** Ends a flush that is under way: nothing may change before. */
  #finish(): void {
    const flush = this.#flush;
    if (flush === undefined) return;
    this.#flush = undefined;
    try {
      do this.#file.sync(); while (!flush.steps.next().done);
    } catch (error) {
      flush.failure = error as Error;
      flush.steps.return();
      throw error;
    }
  }

  /**
   * Brings everything onto the medium in the order that the top of this file tells; goes on when what
   * has been written is there.
   */
  *#commitSteps(): Generator<void, void> {
    const { refcounts, reserved } = this.#writer!;
    const file = this.#file;
    const map = this.#map;
    refcounts.writeBlocks();
    if (refcounts.tableIsDirty) {
      yield;
      refcounts.writeTable();
    }
    if (map.dirty) {
      yield;
      map.writeL2();
      map.writeL1();
    }
    yield;
    map.settle();
    refcounts.settle();
    if (this.#unused.length === 0) return;
    const unused = this.#unused.sort((a, b) => a - b);
    this.#unused = [];
    let free = { first: 0, count: 0 };
    const punch = () => {
      const { first, count } = free;
      try {
        if (count > 0) file.punchHole(first * this.#clusterBytes, count * this.#clusterBytes);
      } catch {
        // The image is as it should be; the host's file is larger than it need be.
      }
    };
    for (const cluster of unused) {
      if (refcounts.release(cluster) > 0) continue;
      reserved.remove(cluster * this.#clusterBytes, 1);
      if (free.first + free.count === cluster) {
        free.count++;
        continue;
      }
      punch();
      free = { first: cluster, count: 1 };
    }
    punch();
    refcounts.writeBlocks();
  }

  #bound(): void {
    if (this.#unused.length > MAX_UNUSED) this.#commit();
  }

  #readBacking(at: number, part: Uint8Array): void {
    const backing = this.#backing;
    const inBacking = backing === undefined
      ? 0
      : Math.max(0, Math.min(part.length, backing.sizeBytes - at));
    if (inBacking > 0) backing!.read(at, part.subarray(0, inBacking));
    part.fill(0, inBacking);
  }

  /** Of the compressed cluster that has just been found. */
  #decompress(at: number, length: number): Uint8Array {
    const { high, low } = this.#map;
    const range = compressedRange(high, low, this.header.clusterBits);
    if (range.position >= this.#file.end) {
      throw this.#corrupt(`a compressed cluster is at byte ${range.position}`);
    }
    if (this.#unpacked?.position !== range.position) {
      const packed = new Uint8Array(range.length);
      readPadded(this.#file, packed, range.position);
      const bytes = decompressCluster(packed, this.#clusterBytes, this.header.compression);
      if (bytes === undefined) {
        const what = `the compressed cluster at byte ${range.position} cannot be unpacked`;
        throw new DiskError(this.#file.path, "corrupt", what);
      }
      this.#unpacked = { position: range.position, bytes };
    }
    const inCluster = at % this.#clusterBytes;
    return this.#unpacked.bytes.subarray(inCluster, inCluster + length);
  }

  /** Calls `clear` for the whole clusters of a range; it says how many it has dealt with. */
  #eachWhole(
    offset: number,
    length: number,
    clear: (cluster: number, count: number) => number,
  ): void {
    const size = this.#clusterBytes;
    const end = offset + length;
    const last = end === this.sizeBytes ? Math.ceil(end / size) : Math.floor(end / size);
    for (let at = Math.ceil(offset / size); at < last;) at += clear(at, last - at);
  }

  #zeroByWriting(offset: number, length: number): void {
    for (let done = 0; done < length;) {
      const zeros = this.zerosAt(offset + done, length - done);
      const part = zeros > 0 ? zeros : Math.min(ZERO_PART, length - done);
      if (zeros === 0) this.write(offset + done, new Uint8Array(part));
      done += part;
    }
  }

  /** Throws when a range of the file that is to hold data holds a table. */
  #checkPlain({ reserved }: Writer, position: number, length: number): void {
    const last = Math.floor((position + length - 1) / this.#clusterBytes);
    for (let cluster = Math.floor(position / this.#clusterBytes); cluster <= last; cluster++) {
      if (reserved.has(cluster)) {
        throw this.#corrupt(`cluster ${cluster} is mapped as data and holds a table`);
      }
    }
  }

  /** From now on nothing is written: that could only make it worse. */
  #corrupt(problem: string): DiskError {
    const advice = "look at it with hv disk check";
    const error = new DiskError(this.#file.path, "corrupt", `it is corrupt: ${problem}; ${advice}`);
    if (this.#writer === undefined || this.#broken !== undefined) return error;
    this.#broken = error;
    if (this.header.version >= 3) {
      const low = new DataView(new ArrayBuffer(4));
      low.setUint32(0, this.header.incompatible | Incompatible.corrupt);
      this.#file.write(new Uint8Array(low.buffer), Field.incompatible + 4);
    }
    return error;
  }
}
