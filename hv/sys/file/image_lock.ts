/**
 * Locks of disk images, by the convention of QEMU's file driver, so that hv and QEMU keep each
 * other (and themselves) from writing to an image that is in use.
 *
 * Each permission has a number: 0 consistent read, 1 write, 2 write unchanged, 3 resize. Who uses
 * permission n holds a shared lock of byte 100 + n; who does not tolerate it in others holds one of
 * byte 200 + n. Having taken its locks, each looks whether anybody holds the opposite ones. They
 * are open-file-description locks: they end when the descriptor is closed, also by a crash.
 */

import { Errno, SysError } from "../errors.ts";
import {
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  type RecordLock,
  recordLockInTheWay,
  setRecordLock,
} from "./record_lock.ts";

const PERMISSION_BASE = 100;
const REFUSAL_BASE = 200;
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

const byteLock = (type: number, byte: number): RecordLock => ({
  type,
  start: BigInt(byte),
  length: 1n,
});

function heldByOther(fd: number, byte: number): boolean {
  const found = recordLockInTheWay(fd, byteLock(F_WRLCK, byte));
  if (typeof found === "number") throw new SysError("ask for the locks of an image", found);
  return found.type !== F_UNLCK;
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
    const number = setRecordLock(fd, byteLock(F_RDLCK, byte));
    if (number === 0) continue;
    if (number === Errno.EINVAL || number === Errno.EOPNOTSUPP || number === Errno.ENOLCK) return;
    if (number === Errno.EAGAIN || number === Errno.EACCES) throw inUse(path, write);
    throw new SysError(`lock ${path}`, number);
  }
  if (opposite.some((byte) => heldByOther(fd, byte))) {
    for (const byte of own) setRecordLock(fd, byteLock(F_UNLCK, byte));
    throw inUse(path, write);
  }
}

function inUse(path: string, write: boolean): Error {
  const advice = write
    ? "stop the machine that uses it, or open it read-only where that one only reads"
    : "another machine writes to it: stop that one, or use a copy";
  return new Error(`Cannot lock ${path}: another process has it in use; ${advice}`);
}
