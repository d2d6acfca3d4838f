/**
 * A tree of files, as whoever shares one sees it: the 9P server knows this interface, the host's
 * directory behind it is devices/share/host_tree.ts.
 *
 * Names and paths are byte strings: a character a byte, as the host has them, for a name need not be
 * UTF-8. What fails throws a `FileError` with Linux's error number.
 */

/** A call on a tree that failed. */
export class FileError extends Error {
  override readonly name = "FileError";
  /** Error number of Linux (asm-generic/errno.h), positive. */
  readonly errno: number;

  constructor(errno: number) {
    super(`error ${errno}`);
    this.errno = errno;
  }
}

/** What tells one file from all others, whatever it is called. */
export interface FileIdentity {
  /** Device number of its file system. */
  readonly device: bigint;
  readonly inode: bigint;
}

/** Whether both are one file's. */
export function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.inode === b.inode && a.device === b.device;
}

/** A place in the tree, and which file was found there. */
export interface FilePlace {
  /**
   * Names from the root on, joined by slashes; "." for the root. None of them is empty, "." or "..".
   *
   * @throws FileError ESTALE when the place is gone
   */
  readonly path: string;
  /** A file of another identity in the same place is not meant. */
  readonly identity: FileIdentity;
}

/** A point in time. */
export interface FileTime {
  /** Since 1970, signed. */
  readonly seconds: bigint;
  /** 0 to 999999999. */
  readonly nanoseconds: number;
}

/** Bits of `FileAttributes.mode` that say what a file is (inode(7)). */
export const S_IFMT = 0o170000;
/** Unix socket. */
export const S_IFSOCK = 0o140000;
/** Symbolic link. */
export const S_IFLNK = 0o120000;
/** Regular file. */
export const S_IFREG = 0o100000;
/** Directory. */
export const S_IFDIR = 0o040000;
/** FIFO. */
export const S_IFIFO = 0o010000;

/** What `stat` says. */
export interface FileAttributes extends FileIdentity {
  /** Kind (`S_IFMT`) and permissions. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a device node: which device. */
  readonly major: number;
  readonly minor: number;
  /** Bytes. */
  readonly size: bigint;
  /** Bytes a transfer should have. */
  readonly blockBytes: number;
  /** Room taken, in 512 bytes. */
  readonly blocks: bigint;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  readonly changed: FileTime;
}

/** What to change of a file; undefined: nothing. */
export interface FileChanges {
  /** Permissions. */
  readonly permissions?: number;
  /** Bytes; what is added reads as zeros. */
  readonly size?: bigint;
  readonly accessed?: FileTime | "now";
  readonly modified?: FileTime | "now";
}

/** How to open a file. */
export interface FileOpenOptions {
  readonly read: boolean;
  readonly write: boolean;
  /** Empty the file. */
  readonly truncate?: boolean;
  /** Whatever is written goes to the end. */
  readonly append?: boolean;
  /** A write is on the medium when it returns: the data, or all of the file's attributes too. */
  readonly sync?: "data" | "all";
}

/** What `statfs` says. */
export interface FileSystemState {
  readonly type: number;
  readonly blockBytes: number;
  readonly blocks: bigint;
  readonly blocksFree: bigint;
  readonly blocksAvailable: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
  readonly id: bigint;
  readonly nameBytes: number;
}

/** A lock of a range of a file. */
export interface FileLock {
  readonly type: "read" | "write" | "none";
  readonly start: bigint;
  /** Bytes; 0: to the end of the file, wherever that is. */
  readonly length: bigint;
}

/** An open file on its way to another thread of the process. */
export interface OpenFileHandle {
  readonly descriptor: number;
  /** What the whole file is locked as. */
  readonly locked: FileLock["type"];
}

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly inode: bigint;
  /** Where to go on behind it: for `list`. */
  readonly next: bigint;
  /** Kind of file as readdir(3) numbers it (`DT_DIR`: 4); 0: not known. */
  readonly type: number;
}

/** An open file or directory. */
export interface OpenFile {
  attributes(): FileAttributes;
  change(changes: FileChanges): void;
  /** Bytes read at `offset`, at most `into.length`; 0 at the end. */
  read(into: Uint8Array, offset: bigint): number;
  /** Bytes written. */
  write(from: Uint8Array, offset: bigint): number;
  /**
   * Entries of a directory from `offset` on (0, or an entry's `next`), given one by one to `each`
   * until it returns false or enough for now are given; none: there are no more.
   */
  list(offset: bigint, each: (entry: DirectoryEntry) => boolean): void;
  /** Brings it onto the medium. */
  sync(dataOnly: boolean): void;
  /** Takes or gives up a lock. @returns Whether nobody else's was in the way. */
  lock(lock: FileLock): boolean;
  /** The lock of somebody else that is in the way of `lock`, or undefined. */
  lockInTheWay(lock: FileLock): FileLock | undefined;
  /** Gives the file up, open as it is, to whoever takes the handle. */
  release(): OpenFileHandle;
  close(): void;
}

/** See above. Symbolic links are never followed, except by whoever reads them. */
export interface FileTree {
  /** Nothing of it can be changed: all that would fails with EROFS. */
  readonly readOnly: boolean;
  root(): FileAttributes;
  /** Attributes of what is called `name` in `directory`. */
  lookUp(directory: FilePlace, name: string): FileAttributes;
  attributes(place: FilePlace): FileAttributes;
  change(place: FilePlace, changes: FileChanges): void;
  /** Opens a regular file or a directory. */
  open(place: FilePlace, options: FileOpenOptions): OpenFile;
  /** Opens `name`, which is made if it is not there; `exclusive`: only if it is not there. */
  create(
    directory: FilePlace,
    name: string,
    permissions: number,
    options: FileOpenOptions & { readonly exclusive?: boolean },
  ): OpenFile;
  makeDirectory(directory: FilePlace, name: string, permissions: number): FileAttributes;
  /** @param mode Kind and permissions: a regular file, a FIFO or a socket; others fail with EPERM. */
  makeNode(directory: FilePlace, name: string, mode: number): FileAttributes;
  makeSymbolicLink(directory: FilePlace, name: string, target: string): FileAttributes;
  readSymbolicLink(place: FilePlace): string;
  /** Gives the file at `place` a further name. */
  link(place: FilePlace, directory: FilePlace, name: string): void;
  rename(from: FilePlace, oldName: string, to: FilePlace, newName: string): void;
  /** Removes a name: of an empty directory, or of anything else. */
  remove(directory: FilePlace, name: string, isDirectory: boolean): void;
  fileSystem(place: FilePlace): FileSystemState;
  /**
   * The value of an extended attribute of a user's (`user.NAME`); undefined: there is none. Of regular
   * files and directories, as all of these.
   */
  userAttribute(place: FilePlace, name: string): Uint8Array | undefined;
  /** Names of extended attributes, of whatever kind, a zero behind each. */
  userAttributeNames(place: FilePlace): string;
  /** @param unless Fail if it is there (EEXIST), or missing (ENODATA). */
  setUserAttribute(
    place: FilePlace,
    name: string,
    value: Uint8Array,
    unless?: "there" | "missing",
  ): void;
  removeUserAttribute(place: FilePlace, name: string): void;
  /** Takes over what another thread's `release` has given up. */
  adopt(handle: OpenFileHandle): OpenFile;
}
