/** Files and block devices, read and written at positions, also from and into shared memory. */

import { asBuffer, cString } from "../address.ts";
import {
  check,
  Descriptor,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  openDescriptor,
} from "../descriptor.ts";
import { Errno, SysError } from "../errors.ts";
import { lockImage } from "./image_lock.ts";
import { errno, libc } from "../libc.ts";

/** What a path names. */
export type FileKind = "file" | "directory" | "block device" | "other";

/** How to open a file. */
export interface OpenOptions {
  /** Also write; else read only. */
  readonly write?: boolean;
  /** Make the file if there is none. */
  readonly create?: boolean;
  /** Fail if the file is there already. */
  readonly exclusive?: boolean;
  /** Empty the file. */
  readonly truncate?: boolean;
}

const AT_EMPTY_PATH = 0x1000;
const STATX_TYPE_AND_SIZE = 0x201;
/** Offsets in struct statx, which is the same on every architecture. */
const STX_MODE = 28;
const STX_SIZE = 40;
const STATX_BYTES = 256;
const S_IFMT = 0o170000;
const KINDS: Record<number, FileKind> = {
  0o100000: "file",
  0o040000: "directory",
  0o060000: "block device",
};
const BLKGETSIZE64 = 0x8008_1272;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 0x10;
const SEEK_DATA = 3;
const NOTHING = cString("");

function openHint(path: string, write: boolean): (errno: number) => string {
  return (number) => {
    switch (number) {
      case Errno.EACCES:
        return `check the permissions of ${path}${write ? ", or open it read-only" : ""}`;
      case Errno.EROFS:
        return "open it read-only";
      case Errno.EMFILE:
        return "raise the limit of open files (ulimit -n)";
      default:
        return "";
    }
  };
}

/** An open file. Positions and lengths are in bytes, exact to 2^53. */
export class FileHandle extends Descriptor {
  /** As it was opened. */
  readonly path: string;
  /** Whether it may be written to. */
  readonly writable: boolean;
  /** What the path named. */
  readonly kind: FileKind;

  /**
   * Opens `path`.
   *
   * @throws SysError with what to do about it
   */
  static open(path: string, options: OpenOptions = {}): FileHandle {
    const write = options.write ?? false;
    const flags = (write ? O_RDWR : O_RDONLY) | (options.create ? O_CREAT : 0) |
      (options.exclusive ? O_EXCL : 0) | (options.truncate ? O_TRUNC : 0);
    const fd = openDescriptor(path, flags, { hint: openHint(path, write) });
    try {
      return new FileHandle(fd, path, write);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  /** Takes over `fd`, opened as `path`. */
  constructor(fd: number, path: string, writable: boolean) {
    super(fd);
    this.path = path;
    this.writable = writable;
    const mode = this.#stat().getUint16(STX_MODE, true);
    this.kind = KINDS[mode & S_IFMT] ?? "other";
  }

  /** Size now; of a block device, its capacity. */
  get size(): number {
    if (this.kind !== "block device") {
      return Number(this.#stat().getBigUint64(STX_SIZE, true));
    }
    const size = new BigUint64Array(1);
    check(libc.ioctl(this.fd, BLKGETSIZE64, size), `find the size of ${this.path}`);
    return Number(size[0]);
  }

  /**
   * Fills `into` from `position` on.
   *
   * @returns Bytes read: fewer than asked for only at the end of the file.
   * @throws SysError
   */
  read(into: Uint8Array, position: number): number {
    const { pread } = libc;
    let done = 0;
    while (done < into.length) {
      const rest = done === 0 ? into : into.subarray(done);
      const count = pread(this.fd, asBuffer(rest), BigInt(rest.length), BigInt(position + done));
      if (count === 0) break;
      if (count > 0) done += count;
      else this.#fail("read", position + done);
    }
    return done;
  }

  /**
   * Writes all of `from` at `position`; a file grows as needed.
   *
   * @throws SysError
   */
  write(from: Uint8Array, position: number): void {
    const { pwrite } = libc;
    let done = 0;
    while (done < from.length) {
      const rest = done === 0 ? from : from.subarray(done);
      const count = pwrite(this.fd, asBuffer(rest), BigInt(rest.length), BigInt(position + done));
      if (count > 0) done += count;
      else if (count === 0) throw new SysError(`write to ${this.path}`, Errno.ENOSPC);
      else this.#fail("write to", position + done);
    }
  }

  /**
   * Brings what was written onto the medium.
   *
   * @throws SysError
   */
  sync(): void {
    const { fdatasync } = libc;
    check(fdatasync(this.fd), `flush ${this.path}`);
  }

  /**
   * Cuts or extends the file to `size`; what is added reads as zeros.
   *
   * @throws SysError
   */
  resize(size: number): void {
    const { ftruncate } = libc;
    check(ftruncate(this.fd, BigInt(size)), `resize ${this.path}`);
  }

  /**
   * Gives `length` bytes at `position` back to the file system: they read as zeros.
   *
   * @returns Whether the file system can; if not, nothing is done.
   * @throws SysError
   */
  punchHole(position: number, length: number): boolean {
    return this.#allocate(FALLOC_FL_PUNCH_HOLE, position, length);
  }

  /**
   * Makes `length` bytes at `position` zeros that keep their room in the file system.
   *
   * @returns Whether the file system can; if not, nothing is done.
   * @throws SysError
   */
  zeroRange(position: number, length: number): boolean {
    return this.#allocate(FALLOC_FL_ZERO_RANGE, position, length);
  }

  /**
   * How many bytes from `position` on, at most `length`, lie in a hole or beyond the end, and so read
   * as zeros; 0 where there may be data.
   */
  holeAt(position: number, length: number): number {
    const { lseek } = libc;
    const data = Number(lseek(this.fd, BigInt(position), SEEK_DATA));
    if (data >= 0) return Math.min(length, Math.max(0, data - position));
    // No data from here to the end. Other errors: a file system that cannot tell.
    return errno() === Errno.ENXIO ? length : 0;
  }

  /**
   * Claims the file as a disk image until it is closed: for writing by nobody else, or for reading
   * while nobody writes (see image_lock.ts). QEMU respects it and is respected.
   *
   * @throws Error when another process has the image
   */
  lock(): void {
    lockImage(this.fd, this.path, this.writable);
  }

  #allocate(mode: number, position: number, length: number): boolean {
    if (length === 0) return true;
    const { fallocate } = libc;
    for (;;) {
      const done = fallocate(
        this.fd,
        mode | FALLOC_FL_KEEP_SIZE,
        BigInt(position),
        BigInt(length),
      );
      if (done === 0) return true;
      const number = errno();
      if (number === Errno.EOPNOTSUPP || number === Errno.ENODEV) return false;
      // Parts of a block device's own, larger blocks.
      if (number === Errno.EINVAL && this.kind === "block device") return false;
      if (number !== Errno.EINTR) {
        throw new SysError(`clear ${length} bytes of ${this.path} at byte ${position}`, number);
      }
    }
  }

  #stat(): DataView {
    const buffer = new DataView(new ArrayBuffer(STATX_BYTES));
    const { statx } = libc;
    check(
      statx(this.fd, NOTHING, AT_EMPTY_PATH, STATX_TYPE_AND_SIZE, buffer),
      `find the size of ${this.path}`,
    );
    return buffer;
  }

  #fail(verb: string, position: number): void {
    const number = errno();
    if (number !== Errno.EINTR) {
      throw new SysError(`${verb} ${this.path} at byte ${position}`, number);
    }
  }
}
