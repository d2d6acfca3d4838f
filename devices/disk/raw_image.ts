/** Raw image: a regular file or block device whose byte n is the disk's byte n. */

import { Errno, type FileHandle, SysError } from "../../hv/sys/mod.ts";
import type { DiskImage } from "./disk_image.ts";

/** See above. */
export class RawImage implements DiskImage {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #file: FileHandle;

  /**
   * Takes `file` over.
   *
   * @param sizeBytes Size of the disk, a whole number of sectors. The file may be shorter, by a
   * part of a sector or the unused rest of a diskette: that reads as zeros, and the file grows when
   * it is written, as with QEMU.
   */
  constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.readOnly = !file.writable;
  }

  read(offset: number, into: Uint8Array): void {
    const done = this.#file.read(into, offset);
    if (done < into.length) into.fill(0, done);
  }

  write(offset: number, from: Uint8Array): void {
    if (this.readOnly) throw new SysError(`write to ${this.#file.path}`, Errno.EROFS);
    this.#file.write(from, offset);
  }

  flush(): void {
    if (!this.readOnly) this.#file.sync();
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
