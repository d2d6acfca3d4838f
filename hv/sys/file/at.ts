/**
 * Files named from an open directory on, and what is done to them: the calls whose names end in "at",
 * with the error number as the result's negative, for whoever passes it on.
 *
 * Names are C strings of bytes (`byteString`). Nothing here follows a symbolic link at the end of a
 * name; `reopen` and those that say "behind" follow a link of /proc/self/fd to the very file that a
 * descriptor of `openPath` stands for.
 */

import { asBuffer, cString } from "../address.ts";
import { check, O_CLOEXEC, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY } from "../descriptor.ts";
import { Errno } from "../errors.ts";
import { errno, libc } from "../libc.ts";

/** Only stands for the file: no right to read or write it is needed or given. */
export const O_PATH = 0o10000000;
/** Fail unless it is a directory. */
export const O_DIRECTORY = 0o200000;
/** Fail on a symbolic link; with `O_PATH`, stand for the link. */
export const O_NOFOLLOW = 0o400000;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;

const SYS_OPENAT2 = 437n;
/** By architecture, as `Deno.build.arch` names them. */
const SYS_MKNODAT = { x86_64: 259n, aarch64: 33n }[Deno.build.arch];
const OPEN_HOW_BYTES = 24;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_NO_SYMLINKS = 0x04n;
const RESOLVE_BENEATH = 0x08n;

const EMPTY = cString("");
const SLASH = 0x2f;

/** `text`, a character a byte, as a C string. */
export function byteString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length + 1);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The result of the C call just made, or its error number's negative. */
const orErrno = (result: number): number => result < 0 ? -errno() : result;

const how = new BigUint64Array(OPEN_HOW_BYTES / 8);

/**
 * Stands for the file at `path` (names joined by slashes, no ".."; "." for the directory itself)
 * from the directory `root` on: never for what lies outside, for no symbolic link is followed.
 * Without openat2 (before Linux 5.6, or where a filter of calls forbids it) name by name.
 */
export function openPath(root: number, path: Uint8Array<ArrayBuffer>, flags = 0): number {
  const all = O_PATH | O_CLOEXEC | O_NOFOLLOW | flags;
  if (!openat2Missing) {
    how[0] = BigInt(all);
    how[2] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const { openat2 } = libc;
    const fd = orErrno(openat2(SYS_OPENAT2, root, path, how, BigInt(OPEN_HOW_BYTES)));
    if (fd !== -Errno.ENOSYS && fd !== -Errno.EPERM) return fd;
    openat2Missing = true;
  }
  return openNameByName(root, path, all);
}

let openat2Missing = false;

/** As `openPath` does it without openat2; `flags` are all of them. */
export function openNameByName(
  root: number,
  path: Uint8Array<ArrayBuffer>,
  flags: number,
): number {
  const { openat, close } = libc;
  let directory = root;
  for (let start = 0;;) {
    const slash = path.indexOf(SLASH, start);
    const last = slash < 0;
    const name = last ? path.subarray(start) : path.slice(start, slash + 1);
    if (!last) name[name.length - 1] = 0;
    const wanted = last ? flags : O_PATH | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY;
    const next = orErrno(openat(directory, name, wanted, 0));
    if (directory !== root) close(directory);
    if (last || next < 0) return next;
    directory = next;
    start = slash + 1;
  }
}

/** Makes and opens `name`, which must not be there. @param flags Of `open`, e.g. `O_RDWR`. */
export function createAt(
  directory: number,
  name: Uint8Array<ArrayBuffer>,
  flags: number,
  mode: number,
): number {
  const { openat } = libc;
  const all = flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  return orErrno(openat(directory, name, all, mode));
}

/** Makes a directory; the process's mask applies to `mode`. */
export function makeDirectoryAt(directory: number, name: Uint8Array<ArrayBuffer>, mode: number) {
  return orErrno(libc.mkdirat(directory, name, mode));
}

/** Makes a regular file, FIFO or socket of kind and permissions `mode`. */
export function makeNodeAt(directory: number, name: Uint8Array<ArrayBuffer>, mode: number): number {
  if (SYS_MKNODAT === undefined) return -Errno.ENOSYS;
  return orErrno(libc.mknodat(SYS_MKNODAT, directory, name, mode, 0));
}

/** Makes a symbolic link. */
export function makeSymbolicLinkAt(
  directory: number,
  name: Uint8Array<ArrayBuffer>,
  target: Uint8Array<ArrayBuffer>,
): number {
  return orErrno(libc.symlinkat(target, directory, name));
}

/** Bytes of the target of the symbolic link that `fd` stands for, put into `into`. */
export function readSymbolicLink(fd: number, into: Uint8Array<ArrayBuffer>): number {
  return orErrno(libc.readlinkat(fd, EMPTY, into, BigInt(into.length)));
}

/** Removes a name. */
export function removeAt(
  directory: number,
  name: Uint8Array<ArrayBuffer>,
  isDirectory: boolean,
): number {
  return orErrno(libc.unlinkat(directory, name, isDirectory ? AT_REMOVEDIR : 0));
}

/** Renames; what had the new name is replaced. */
export function renameAt(
  from: number,
  oldName: Uint8Array<ArrayBuffer>,
  to: number,
  newName: Uint8Array<ArrayBuffer>,
): number {
  return orErrno(libc.renameat(from, oldName, to, newName));
}

/** Attributes of `name`, or of what `directory` stands for if that is undefined, as struct statx. */
export function statAt(
  directory: number,
  name: Uint8Array<ArrayBuffer> | undefined,
  mask: number,
  into: DataView<ArrayBuffer>,
): number {
  const { statx } = libc;
  const flags = name === undefined ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  return orErrno(statx(directory, name ?? EMPTY, flags, mask, into));
}

/**
 * What is behind descriptors of `openPath`, reached through /proc/self/fd: exactly that file, by
 * whatever names it may go by now.
 */
export class FilesBehind {
  readonly #proc: number;

  /** @throws SysError where there is no /proc */
  constructor() {
    const { open } = libc;
    const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    const hint = () => "the directory of a share is reached through it; mount /proc";
    this.#proc = check(open(cString("/proc/self/fd"), flags, 0), "open /proc/self/fd", hint);
  }

  /** Opens it. @param flags Of `open`, e.g. `O_RDWR`. */
  reopen(fd: number, flags: number): number {
    const { openat } = libc;
    return orErrno(openat(this.#proc, cString(`${fd}`), flags | O_NONBLOCK | O_CLOEXEC, 0));
  }

  /** Sets its permissions. */
  chmod(fd: number, mode: number): number {
    return orErrno(libc.fchmodat(this.#proc, cString(`${fd}`), mode, 0));
  }

  /** Sets its times. @param times Two of struct timespec. */
  setTimes(fd: number, times: BigInt64Array<ArrayBuffer>): number {
    return orErrno(libc.utimensat(this.#proc, cString(`${fd}`), times, 0));
  }

  /** Gives it a further name. */
  link(fd: number, directory: number, name: Uint8Array<ArrayBuffer>): number {
    const { linkat } = libc;
    return orErrno(linkat(this.#proc, cString(`${fd}`), directory, name, AT_SYMLINK_FOLLOW));
  }

  [Symbol.dispose](): void {
    libc.close(this.#proc);
  }
}

/** Raw entries (struct linux_dirent64) of a directory from `offset` on: bytes put into `into`. */
export function directoryEntries(fd: number, offset: bigint, into: Uint8Array<ArrayBuffer>) {
  const { lseek, getdents64 } = libc;
  if (lseek(fd, offset, 0) < 0n) return -errno();
  return orErrno(getdents64(fd, into, BigInt(into.length)));
}

/** State of the file system of `fd`, as struct statfs of 64-bit Linux, of 120 bytes. */
export function fileSystemState(fd: number, into: DataView<ArrayBuffer>): number {
  return orErrno(libc.fstatfs(fd, into));
}

/** Sets the permissions of an open file. */
export function setPermissions(fd: number, mode: number): number {
  return orErrno(libc.fchmod(fd, mode));
}

/** Sets the times of an open file. @param times Two of struct timespec. */
export function setTimes(fd: number, times: BigInt64Array<ArrayBuffer>): number {
  return orErrno(libc.futimens(fd, times));
}

/** Cuts or extends an open file. */
export function setSize(fd: number, size: bigint): number {
  return orErrno(libc.ftruncate(fd, size));
}

/** Bytes read at `offset`. */
export function readAt(fd: number, into: Uint8Array, offset: bigint): number {
  const { pread } = libc;
  return orErrno(pread(fd, asBuffer(into), BigInt(into.length), offset));
}

/** Bytes written at `offset`. */
export function writeAt(fd: number, from: Uint8Array, offset: bigint): number {
  const { pwrite } = libc;
  return orErrno(pwrite(fd, asBuffer(from), BigInt(from.length), offset));
}

/** Brings a file onto the medium. */
export function syncFile(fd: number, dataOnly: boolean): number {
  return orErrno(dataOnly ? libc.fdatasync(fd) : libc.fsync(fd));
}

const RLIMIT_NOFILE = 7;
/** More than any process has. */
const MANY = 1 << 30;

/** Descriptors that the process may have open at a time. @throws SysError */
export function descriptorLimit(): number {
  const limit = new BigUint64Array(2);
  const { getrlimit } = libc;
  check(getrlimit(RLIMIT_NOFILE, limit), "find how many files may be open");
  return Number(limit[0] < MANY ? limit[0] : BigInt(MANY));
}
