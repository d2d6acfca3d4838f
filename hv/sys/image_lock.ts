/**
 * Locks of disk images, by the convention of QEMU's file driver, so that hv and QEMU keep each
 * other (and themselves) from writing to an image that is in use.
 *
 * Each permission has a number: 0 consistent read, 1 write, 2 write unchanged, 3 resize. Who uses
 * permission n holds a shared lock of byte 100 + n; who does not tolerate it in others holds one of
 * byte 200 + n. Having taken its locks, each looks whether anybody holds the opposite ones. They
 * are open-file-description locks: they end when the descriptor is closed, also by a crash.
 */

import { asBuffer } from "./address.ts";
import { Errno, SysError } from "./errors.ts";
import { errno, libc } from "./libc.ts";

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

const PERMISSION_BASE = 100;
const REFUSAL_BASE = 200;
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/** Offsets in struct flock of 64-bit Linux. */
const L_TYPE = 0;
const L_START = 8;
const L_LEN = 16;
const FLOCK_BYTES = 32;

function flock(type: number, byte: number): DataView<ArrayBuffer> {
  const lock = new DataView(new ArrayBuffer(FLOCK_BYTES));
  lock.setInt16(L_TYPE, type, true);
  lock.setBigInt64(L_START, BigInt(byte), true);
  lock.setBigInt64(L_LEN, 1n, true);
  return lock;
}

/** 0, or the error number. */
function control(fd: number, command: number, lock: DataView): number {
  const { fcntl } = libc;
  return fcntl(fd, command, asBuffer(lock)) === 0 ? 0 : errno();
}

function heldByOther(fd: number, byte: number): boolean {
  const lock = flock(F_WRLCK, byte);
  const number = control(fd, F_OFD_GETLK, lock);
  if (number !== 0) throw new SysError("ask for the locks of an image", number);
  return lock.getInt16(L_TYPE, true) !== F_UNLCK;
}

/**
 * Claims the image that `fd` is open on, for reading or for writing as well; file systems without
 * locks go unclaimed.
 *
 * @throws Error when another process has the image
 */
export function lockImage(fd: number, path: string, write: boolean): void {
  const used = write ? [CONSISTENT_READ, WRITE, RESIZE] : [CONSISTENT_READ];
  const refused = [WRITE, RESIZE];
  const own = [
    ...used.map((permission) => PERMISSION_BASE + permission),
    ...refused.map((permission) => REFUSAL_BASE + permission),
  ];
  const opposite = [
    ...used.map((permission) => REFUSAL_BASE + permission),
    ...refused.map((permission) => PERMISSION_BASE + permission),
  ];
  for (const byte of own) {
    const number = control(fd, F_OFD_SETLK, flock(F_RDLCK, byte));
    if (number === 0) continue;
    if (number === Errno.EINVAL || number === Errno.EOPNOTSUPP || number === Errno.ENOLCK) return;
    if (number === Errno.EAGAIN || number === Errno.EACCES) throw inUse(path, write);
    throw new SysError(`lock ${path}`, number);
  }
  if (opposite.some((byte) => heldByOther(fd, byte))) {
    for (const byte of own) control(fd, F_OFD_SETLK, flock(F_UNLCK, byte));
    throw inUse(path, write);
  }
}

function inUse(path: string, write: boolean): Error {
  const advice = write
    ? "stop the machine that uses it, or open it read-only where that one only reads"
    : "another machine writes to it: stop that one, or use a copy";
  return new Error(`Cannot lock ${path}: another process has it in use; ${advice}`);
}
