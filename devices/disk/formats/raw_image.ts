/**
 * Raw image: a regular file or block device whose byte n is the disk's byte n.
 *
 * A raw image that was found to be one by looking is *guarded*: the guest could write a qcow2 header to
 * its first sector, naming a file of the host as backing file, and whoever looks the next time would
 * take it for a qcow2 image and show the guest that file. Writes that would make it look like another
 * format fail, as with QEMU; `format=raw` lifts that.
 */

import { Errno, SysError } from "../../../hv/sys/errors.ts";
import type { DiskImage, HostRange } from "../disk_image.ts";
import { type ImageFile, readPadded, writeZeros } from "../image_file.ts";
import { detectFormat, MAGIC_BYTES } from "./detect_format.ts";

/** See above. */
export class RawImage implements DiskImage {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #file: ImageFile;
  readonly #guarded: boolean;

  /**
   * Takes `file` over.
   *
   * @param sizeBytes Size of the disk, a whole number of sectors. The file may be shorter, by a
   * part of a sector or the unused rest of a diskette: that reads as zeros, and the file grows when
   * it is written, as with QEMU.
   */
  constructor(file: ImageFile, sizeBytes: number, options: { guarded?: boolean } = {}) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.readOnly = !file.writable;
    this.#guarded = options.guarded ?? false;
  }

  read(offset: number, into: Uint8Array): void {
    readPadded(this.#file, into, offset);
  }

  write(offset: number, from: Uint8Array): void {
    this.#mustBeWritable();
    if (this.#guarded && offset < MAGIC_BYTES) this.#guard(offset, from);
    this.#file.write(from, offset);
  }

  flush(): void {
    if (!this.readOnly) this.#file.sync();
  }

  discard(offset: number, length: number): void {
    this.#mustBeWritable();
    this.#file.punchHole(offset, length);
  }

  writeZeroes(offset: number, length: number, unmap: boolean): void {
    this.#mustBeWritable();
    if (unmap && this.#file.punchHole(offset, length)) return;
    if (this.#file.zeroRange(offset, length)) return;
    writeZeros(this.#file, offset, length);
  }

  zerosAt(offset: number, length: number): number {
    return this.#file.holeAt(offset, length);
  }

  extent(offset: number, length: number, write: boolean): HostRange | undefined {
    if (write && (this.readOnly || (this.#guarded && offset < MAGIC_BYTES))) return undefined;
    return { fd: this.#file.fd, position: offset, length };
  }

  get syncedBy(): number | undefined {
    return this.readOnly ? undefined : this.#file.fd;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  #mustBeWritable(): void {
    if (this.readOnly) throw new SysError(`write to ${this.#file.path}`, Errno.EROFS);
  }

  #guard(offset: number, from: Uint8Array): void {
    const head = new Uint8Array(MAGIC_BYTES);
    readPadded(this.#file, head, 0);
    head.set(from.subarray(0, MAGIC_BYTES - offset), offset);
    const format = detectFormat(head);
    if (format === "raw") return;
    throw new SysError(
      `make the beginning of ${this.#file.path} that of a ${format} image`,
      Errno.EPERM,
      "its format was only guessed to be raw; say format=raw to allow it",
    );
  }
}
