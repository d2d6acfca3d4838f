/** An open file or directory of a shared directory. It stays what it is, wherever it is moved. */

import {
  type DirectoryEntry,
  type FileAttributes,
  type FileChanges,
  FileError,
  type FileLock,
  type OpenFile,
  type OpenFileHandle,
} from "../../hv/core/media/file_tree.ts";
import {
  directoryEntries,
  readAt,
  setPermissions,
  setSize,
  setTimes,
  syncFile,
  writeAt,
} from "../../hv/sys/file/at.ts";
import { Descriptor } from "../../hv/sys/descriptor.ts";
import { Errno } from "../../hv/sys/errors.ts";
import {
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  LOCK_EX,
  LOCK_SH,
  LOCK_UN,
  lockWhole,
  type RecordLock,
  recordLockInTheWay,
  setRecordLock,
} from "../../hv/sys/file/record_lock.ts";
import { checked, statOf, timesOf } from "./host_calls.ts";
import { hostPermissions } from "./permissions.ts";

/** Offsets in struct linux_dirent64 (getdents64(2)). */
const D_INO = 0;
const D_OFF = 8;
const D_RECLEN = 16;
const D_TYPE = 18;
const D_NAME = 19;

/** Entries that are read at once, in bytes. */
const ENTRIES_BYTES = 32768;
const entries = new Uint8Array(ENTRIES_BYTES);
const entriesView = new DataView(entries.buffer);

const RECORD_TYPES = { read: F_RDLCK, write: F_WRLCK, none: F_UNLCK } as const;
const WHOLE_TYPES = { read: LOCK_SH, write: LOCK_EX, none: LOCK_UN } as const;

const recordLock = ({ type, start, length }: FileLock): RecordLock => ({
  type: RECORD_TYPES[type],
  start,
  length,
});

/** See above. */
export class HostFile extends Descriptor implements OpenFile {
  /** What the whole file is locked as by flock(2). */
  #whole: FileLock["type"];

  /** Takes `fd` over. */
  constructor(fd: number, locked: FileLock["type"] = "none") {
    super(fd);
    this.#whole = locked;
  }

  attributes(): FileAttributes {
    return statOf(this.fd);
  }

  change(changes: FileChanges): void {
    if (changes.size !== undefined) checked(setSize(this.fd, changes.size));
    if (changes.permissions !== undefined) {
      const { mode } = this.attributes();
      checked(setPermissions(this.fd, hostPermissions(changes.permissions, mode)));
    }
    const times = timesOf(changes);
    if (times !== undefined) checked(setTimes(this.fd, times));
  }

  read(into: Uint8Array, offset: bigint): number {
    return checked(readAt(this.fd, into, offset));
  }

  write(from: Uint8Array, offset: bigint): number {
    return checked(writeAt(this.fd, from, offset));
  }

  list(offset: bigint, each: (entry: DirectoryEntry) => boolean): void {
    const length = checked(directoryEntries(this.fd, offset, entries));
    for (let at = 0; at < length; at += entriesView.getUint16(at + D_RECLEN, true)) {
      const start = at + D_NAME;
      const name = String.fromCharCode(...entries.subarray(start, entries.indexOf(0, start)));
      const more = each({
        name,
        inode: entriesView.getBigUint64(at + D_INO, true),
        next: entriesView.getBigUint64(at + D_OFF, true),
        type: entries[at + D_TYPE],
      });
      if (!more) break;
    }
  }

  sync(dataOnly: boolean): void {
    checked(syncFile(this.fd, dataOnly));
  }

  /**
   * The host knows two kinds that do not see each other, and 9P says not which is meant: a range is
   * a record lock (fcntl(2)), the whole file also what flock(2) locks. That one alone needs no right
   * to write.
   */
  lock(lock: FileLock): boolean {
    const whole = lock.start === 0n && lock.length === 0n;
    const before = this.#whole;
    if (whole && !this.#lockWhole(lock.type)) return false;
    const number = setRecordLock(this.fd, recordLock(lock));
    if (number === 0 || (whole && number === Errno.EBADF)) return true;
    if (whole) this.#lockWhole(before);
    if (number === Errno.EAGAIN || number === Errno.EACCES) return false;
    throw new FileError(number);
  }

  lockInTheWay(lock: FileLock): FileLock | undefined {
    const found = recordLockInTheWay(this.fd, recordLock(lock));
    if (typeof found === "number") throw new FileError(found);
    if (found.type === F_UNLCK) return undefined;
    const type = found.type === F_WRLCK ? "write" : "read";
    return { type, start: found.start, length: found.length };
  }

  release(): OpenFileHandle {
    return { descriptor: this.fd, locked: this.#whole };
  }

  close(): void {
    this[Symbol.dispose]();
  }

  #lockWhole(type: FileLock["type"]): boolean {
    const number = lockWhole(this.fd, WHOLE_TYPES[type]);
    if (number === Errno.EAGAIN) {
      // Changing a lock may lose it: it is taken anew as it was.
      if (this.#whole !== "none") lockWhole(this.fd, WHOLE_TYPES[this.#whole]);
      return false;
    }
    if (number !== 0) throw new FileError(number);
    this.#whole = type;
    return true;
  }
}
