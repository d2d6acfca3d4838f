/**
 * Locks of ranges of files that belong to an open file (fcntl(2), "Open file description locks"):
 * they end with its last descriptor, also by a crash, and other descriptors of the process respect
 * them.
 */

import { asBuffer } from "../address.ts";
import { errno, libc } from "../libc.ts";

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;

/** Of `RecordLock.type`: shared by readers. */
export const F_RDLCK = 0;
/** One writer's. */
export const F_WRLCK = 1;
/** No lock. */
export const F_UNLCK = 2;

/** A range and what it is, or is to be. */
export interface RecordLock {
  readonly type: number;
  readonly start: bigint;
  /** Bytes; 0: all that follow. */
  readonly length: bigint;
}

/** Offsets in struct flock of 64-bit Linux. */
const L_TYPE = 0;
const L_START = 8;
const L_LEN = 16;
const FLOCK_BYTES = 32;

function structure({ type, start, length }: RecordLock): DataView<ArrayBuffer> {
  const bytes = new DataView(new ArrayBuffer(FLOCK_BYTES));
  bytes.setInt16(L_TYPE, type, true);
  bytes.setBigInt64(L_START, start, true);
  bytes.setBigInt64(L_LEN, length, true);
  return bytes;
}

/** Sets a range of `fd`, without waiting. @returns 0, or the error number. */
export function setRecordLock(fd: number, lock: RecordLock): number {
  const { fcntl } = libc;
  return fcntl(fd, F_OFD_SETLK, asBuffer(structure(lock))) === 0 ? 0 : errno();
}

/** What is in the way of `lock` (its type `F_UNLCK`: nothing), or the error number. */
export function recordLockInTheWay(fd: number, lock: RecordLock): RecordLock | number {
  const bytes = structure(lock);
  const { fcntl } = libc;
  if (fcntl(fd, F_OFD_GETLK, asBuffer(bytes)) !== 0) return errno();
  return {
    type: bytes.getInt16(L_TYPE, true),
    start: bytes.getBigInt64(L_START, true),
    length: bytes.getBigInt64(L_LEN, true),
  };
}

/** Of `lockWhole`: shared. */
export const LOCK_SH = 1;
/** Exclusive. */
export const LOCK_EX = 2;
/** None. */
export const LOCK_UN = 8;
const LOCK_NB = 4;

/** The lock of a whole file that flock(2) knows, without waiting. @returns 0, or the error number. */
export function lockWhole(fd: number, operation: number): number {
  return libc.flock(fd, operation | LOCK_NB) === 0 ? 0 : errno();
}
