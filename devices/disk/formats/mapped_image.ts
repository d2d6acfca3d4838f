/** An image of a format that is only read: its bytes are where a map of its tables says. */

import { Errno, SysError } from "../../../hv/sys/errors.ts";
import { DiskError, type DiskImage, type HostRange } from "../disk_image.ts";
import { type ImageFile, readPadded } from "../image_file.ts";
import { TableCache } from "../table_cache.ts";

/** Where a part of a disk is. Positions and lengths are in bytes. */
export interface Place {
  /** From the offset that was asked for on; at most as much as was asked for. */
  readonly length: number;
  /** In the file; undefined: it is zeros, or packed. */
  readonly position?: number;
  /** What it is when it has been unpacked, `length` bytes. */
  readonly bytes?: Uint8Array;
}

/** The tables of an image. */
export interface BlockMap {
  /** Of the disk. */
  readonly sizeBytes: number;
  /** @throws DiskError when the tables contradict themselves */
  find(offset: number, most: number): Place;
}

/** See above. */
export class MappedImage implements DiskImage {
  readonly sizeBytes: number;
  readonly readOnly = true;
  readonly #file: ImageFile;
  readonly #map: BlockMap;

  /** Takes `file` over. @param sizeBytes The map's, rounded up to whole sectors. */
  constructor(file: ImageFile, map: BlockMap, sizeBytes: number) {
    this.#file = file;
    this.#map = map;
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      const { length, position, bytes } = this.#find(offset + done, into.length - done);
      const part = into.subarray(done, done + length);
      if (position !== undefined) readPadded(this.#file, part, position);
      else if (bytes !== undefined) part.set(bytes);
      else part.fill(0);
      done += length;
    }
  }

  zerosAt(offset: number, length: number): number {
    const place = this.#find(offset, length);
    if (place.position !== undefined) return this.#file.holeAt(place.position, place.length);
    return place.bytes === undefined ? place.length : 0;
  }

  extent(offset: number, length: number, write: boolean): HostRange | undefined {
    if (write) return undefined;
    const { position, length: part } = this.#find(offset, length);
    return position === undefined ? undefined : { fd: this.#file.fd, position, length: part };
  }

  write(): void {
    throw new SysError(`write to ${this.#file.path}`, Errno.EROFS);
  }

  discard(): void {
    this.write();
  }

  writeZeroes(): void {
    this.write();
  }

  flush(): void {}

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  /** What the rounding up has added is zeros. */
  #find(offset: number, most: number): Place {
    const { sizeBytes } = this.#map;
    if (offset >= sizeBytes) return { length: most };
    return this.#map.find(offset, Math.min(most, sizeBytes - offset));
  }
}

const SLICE_BYTES = 4096;
/** Memory for tables, bytes. */
const CACHE_BYTES = 4 << 20;

/** Numbers of a table that is in the file, with bounded memory. */
export class FileTable {
  readonly #cache: TableCache;

  constructor(file: ImageFile) {
    this.#cache = new TableCache(file, SLICE_BYTES, CACHE_BYTES / SLICE_BYTES, () => {});
  }

  /** The slice that has the number at `position`, which is aligned to its size, and where in it. */
  at(position: number): { view: DataView; at: number } {
    const at = position % SLICE_BYTES;
    return { view: this.#cache.get(position - at).view, at };
  }
}

/** Reads `length` bytes at `position`, all of which have to be there. */
export function readPart(file: ImageFile, position: number, length: number): DataView<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  if (file.read(bytes, position) < length) {
    throw new DiskError(file.path, "format", "it is cut off");
  }
  return new DataView(bytes.buffer);
}

/** ASCII text in a structure. */
export function textAt(view: DataView, at: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
}
