/** Between a tree of files and the host's calls: results, structures and flags. */

import {
  type FileAttributes,
  type FileChanges,
  FileError,
  type FileOpenOptions,
  type FileTime,
} from "../../hv/core/media/file_tree.ts";
import { statAt } from "../../hv/sys/file/at.ts";
import { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from "../../hv/sys/descriptor.ts";

/** Flags of `open` (asm-generic/fcntl.h) beyond those of hv/sys. */
const O_APPEND = 0o2000;
const O_DSYNC = 0o10000;
const O_SYNC = 0o4010000;

/** Offsets in struct statx, which is the same on every architecture. */
const STX_BLKSIZE = 4;
const STX_NLINK = 16;
const STX_UID = 20;
const STX_GID = 24;
const STX_MODE = 28;
const STX_INO = 32;
const STX_SIZE = 40;
const STX_BLOCKS = 48;
const STX_ATIME = 64;
const STX_CTIME = 96;
const STX_MTIME = 112;
const STX_RDEV_MAJOR = 128;
const STX_RDEV_MINOR = 132;
const STX_DEV_MAJOR = 136;
const STX_DEV_MINOR = 140;
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;

/** Nanoseconds that mean "now" and "leave it" (utimensat(2)). */
const UTIME_NOW = 0x3fff_ffffn;
const UTIME_OMIT = 0x3fff_fffen;

/** `result` of a call of hv/sys/file/at.ts, unless it failed. @throws FileError */
export function checked(result: number): number {
  if (result < 0) throw new FileError(-result);
  return result;
}

/** Flags of `open`. */
export function hostFlags({ read, write, truncate, append, sync }: FileOpenOptions): number {
  const access = !write ? O_RDONLY : read ? O_RDWR : O_WRONLY;
  return access | (truncate ? O_TRUNC : 0) | (append ? O_APPEND : 0) |
    (sync === "all" ? O_SYNC : sync === "data" ? O_DSYNC : 0);
}

const buffer = new DataView(new ArrayBuffer(STATX_BYTES));

const time = (at: number): FileTime => ({
  seconds: buffer.getBigInt64(at, true),
  nanoseconds: buffer.getUint32(at + 8, true),
});

function attributes(): FileAttributes {
  const u32 = (at: number) => buffer.getUint32(at, true);
  return {
    device: BigInt(u32(STX_DEV_MAJOR)) << 32n | BigInt(u32(STX_DEV_MINOR)),
    inode: buffer.getBigUint64(STX_INO, true),
    mode: buffer.getUint16(STX_MODE, true),
    links: u32(STX_NLINK),
    uid: u32(STX_UID),
    gid: u32(STX_GID),
    major: u32(STX_RDEV_MAJOR),
    minor: u32(STX_RDEV_MINOR),
    size: buffer.getBigUint64(STX_SIZE, true),
    blockBytes: u32(STX_BLKSIZE),
    blocks: buffer.getBigUint64(STX_BLOCKS, true),
    accessed: time(STX_ATIME),
    modified: time(STX_MTIME),
    changed: time(STX_CTIME),
  };
}

/** Attributes of what `fd` is, or stands for. */
export function statOf(fd: number): FileAttributes {
  checked(statAt(fd, undefined, STATX_BASIC_STATS, buffer));
  return attributes();
}

/** Attributes of what is called `name` in `directory`. */
export function statOfName(directory: number, name: Uint8Array<ArrayBuffer>): FileAttributes {
  checked(statAt(directory, name, STATX_BASIC_STATS, buffer));
  return attributes();
}

/** Two of struct timespec, or undefined if `changes` leave both times. */
export function timesOf(changes: FileChanges): BigInt64Array<ArrayBuffer> | undefined {
  const { accessed, modified } = changes;
  if (accessed === undefined && modified === undefined) return undefined;
  const times = new BigInt64Array(4);
  for (const [i, value] of [accessed, modified].entries()) {
    if (value === undefined) times[i * 2 + 1] = UTIME_OMIT;
    else if (value === "now") times[i * 2 + 1] = UTIME_NOW;
    else {
      times[i * 2] = value.seconds;
      times[i * 2 + 1] = BigInt(value.nanoseconds);
    }
  }
  return times;
}
