/**
 * A directory of the host as a tree of files: it is never left, whatever symbolic links, "..",
 * renames and races the guest or another process of the host brings.
 *
 * Every call begins at the directory's own descriptor and opens the place as a descriptor that only
 * stands for the file (`O_PATH`), following no symbolic link; it then looks whether that is the file
 * that was meant, and does what is to be done to the descriptor, or to a single name from it on. So a
 * place that another process has moved out of the directory is gone for the guest at once.
 *
 * Security model: the guest's users are all hv's user. Who owns a file cannot be changed (a change
 * is accepted and has no effect, or tar and cp could not work), set-user-ID and set-group-ID bits
 * never reach the host, and a file that the guest opens for writing loses them; device nodes cannot be made, and only regular files and directories are
 * opened, so that neither a FIFO nor a device of the host is touched or waited for. Symbolic links are
 * made as the guest wishes: they mean nothing here, but programs of the host should not follow them.
 * Extended attributes are those of users alone (user.NAME), and mean to the host what its programs make
 * of them.
 */

import {
  type FileAttributes,
  type FileChanges,
  FileError,
  type FileOpenOptions,
  type FilePlace,
  type FileSystemState,
  type FileTree,
  type OpenFile,
  type OpenFileHandle,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  sameFile,
} from "../../hv/core/media/file_tree.ts";
import {
  byteString,
  createAt,
  FilesBehind,
  fileSystemState,
  makeDirectoryAt,
  makeNodeAt,
  makeSymbolicLinkAt,
  O_DIRECTORY,
  openPath,
  readSymbolicLink,
  removeAt,
  renameAt,
} from "../../hv/sys/file/at.ts";
import { closeDescriptor } from "../../hv/sys/descriptor.ts";
import { Errno } from "../../hv/sys/errors.ts";
import {
  getAttribute,
  listAttributes,
  removeAttribute,
  setAttribute,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../hv/sys/file/xattr.ts";
import type { ShareHandle } from "./open_share.ts";
import { checked, hostFlags, statOf, statOfName, timesOf } from "./host_calls.ts";
import { HostFile } from "./host_file.ts";
import {
  ALL_PERMISSIONS,
  DIRECTORY_PERMISSIONS,
  hostPermissions,
  PERMISSIONS,
  SET_IDS,
} from "./permissions.ts";

/** The longest target of a symbolic link (PATH_MAX). */
const MAX_TARGET_BYTES = 4096;
/** The largest value of an attribute, and list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const MAX_ATTRIBUTE_BYTES = 65536;

/** See above. */
export class HostTree implements FileTree {
  readonly readOnly: boolean;
  readonly #root: number;
  readonly #behind = new FilesBehind();
  readonly #target = new Uint8Array(MAX_TARGET_BYTES);
  readonly #attribute = new Uint8Array(MAX_ATTRIBUTE_BYTES);

  /** Attaches to a directory; its descriptor stays whoever's opened it. */
  constructor({ fd, readOnly }: ShareHandle) {
    this.readOnly = readOnly;
    this.#root = fd;
  }

  root(): FileAttributes {
    return statOf(this.#root);
  }

  lookUp(directory: FilePlace, name: string): FileAttributes {
    return this.#at(directory, (fd) => statOfName(fd, byteString(name)), O_DIRECTORY);
  }

  attributes(place: FilePlace): FileAttributes {
    return this.#at(place, (_, attributes) => attributes);
  }

  change(place: FilePlace, changes: FileChanges): void {
    this.#writable();
    this.#at(place, (fd, { mode }) => {
      if (changes.size !== undefined) {
        using file = this.#reopen(fd, mode, { read: false, write: true });
        file.change({ size: changes.size });
      }
      if (changes.permissions !== undefined) {
        checked(this.#behind.chmod(fd, hostPermissions(changes.permissions, mode)));
      }
      const times = timesOf(changes);
      if (times !== undefined) checked(this.#behind.setTimes(fd, times));
    });
  }

  open(place: FilePlace, options: FileOpenOptions): OpenFile {
    if (options.write || options.truncate) this.#writable();
    return this.#at(place, (fd, { mode }) => this.#reopen(fd, mode, options));
  }

  create(
    directory: FilePlace,
    name: string,
    permissions: number,
    options: FileOpenOptions & { readonly exclusive?: boolean },
  ): OpenFile {
    this.#writable();
    const wanted = permissions & PERMISSIONS;
    return this.#at(directory, (parent) => {
      const result = createAt(parent, byteString(name), hostFlags(options), wanted);
      if (result === -Errno.EEXIST && !options.exclusive) {
        return this.#child(parent, name, (fd, { mode }) => this.#reopen(fd, mode, options));
      }
      const file = new HostFile(checked(result));
      try {
        // The process's mask is hv's, not the guest's.
        if ((file.attributes().mode & PERMISSIONS) !== wanted) file.change({ permissions: wanted });
        return file;
      } catch (error) {
        file.close();
        throw error;
      }
    }, O_DIRECTORY);
  }

  makeDirectory(directory: FilePlace, name: string, permissions: number): FileAttributes {
    return this.#make(
      directory,
      name,
      permissions & DIRECTORY_PERMISSIONS,
      (fd, bytes) => makeDirectoryAt(fd, bytes, permissions & DIRECTORY_PERMISSIONS),
    );
  }

  makeNode(directory: FilePlace, name: string, mode: number): FileAttributes {
    const kind = mode & S_IFMT;
    if (kind !== S_IFREG && kind !== S_IFIFO && kind !== S_IFSOCK) throw new FileError(Errno.EPERM);
    const wanted = mode & PERMISSIONS;
    return this.#make(directory, name, wanted, (fd, bytes) => makeNodeAt(fd, bytes, kind | wanted));
  }

  makeSymbolicLink(directory: FilePlace, name: string, target: string): FileAttributes {
    return this.#make(
      directory,
      name,
      undefined,
      (fd, bytes) => makeSymbolicLinkAt(fd, bytes, byteString(target)),
    );
  }

  readSymbolicLink(place: FilePlace): string {
    const length = this.#at(place, (fd) => checked(readSymbolicLink(fd, this.#target)));
    return String.fromCharCode(...this.#target.subarray(0, length));
  }

  link(place: FilePlace, directory: FilePlace, name: string): void {
    this.#writable();
    this.#at(directory, (parent) => {
      this.#at(place, (fd) => checked(this.#behind.link(fd, parent, byteString(name))));
    }, O_DIRECTORY);
  }

  rename(from: FilePlace, oldName: string, to: FilePlace, newName: string): void {
    this.#writable();
    this.#at(from, (fromFd) => {
      this.#at(to, (toFd) => {
        checked(renameAt(fromFd, byteString(oldName), toFd, byteString(newName)));
      }, O_DIRECTORY);
    }, O_DIRECTORY);
  }

  remove(directory: FilePlace, name: string, isDirectory: boolean): void {
    this.#writable();
    this.#at(directory, (fd) => checked(removeAt(fd, byteString(name), isDirectory)), O_DIRECTORY);
  }

  fileSystem(place: FilePlace): FileSystemState {
    const state = new DataView(new ArrayBuffer(120));
    this.#at(place, (fd) => checked(fileSystemState(fd, state)));
    const [f_type, f_bsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_fsid, f_namelen] =
      Array.from({ length: 9 }, (_, i) => state.getBigUint64(i * 8, true));
    return {
      type: Number(f_type & 0xffff_ffffn),
      blockBytes: Number(f_bsize),
      blocks: f_blocks,
      blocksFree: f_bfree,
      blocksAvailable: f_bavail,
      files: f_files,
      filesFree: f_ffree,
      id: f_fsid,
      nameBytes: Number(f_namelen),
    };
  }

  userAttribute(place: FilePlace, name: string): Uint8Array | undefined {
    return this.#withAttributes(place, (fd) => {
      const length = getAttribute(fd, byteString(name), this.#attribute);
      if (length === -Errno.ENODATA) return undefined;
      return this.#attribute.slice(0, checked(length));
    }, undefined);
  }

  userAttributeNames(place: FilePlace): string {
    return this.#withAttributes(place, (fd) => {
      const length = checked(listAttributes(fd, this.#attribute));
      return this.#attribute.subarray(0, length).reduce((s, b) => s + String.fromCharCode(b), "");
    }, "");
  }

  setUserAttribute(
    place: FilePlace,
    name: string,
    value: Uint8Array,
    unless?: "there" | "missing",
  ): void {
    this.#writable();
    const flags = unless === "there" ? XATTR_CREATE : unless === "missing" ? XATTR_REPLACE : 0;
    this.#withAttributes(place, (fd) => {
      checked(setAttribute(fd, byteString(name), { value, flags }));
    });
  }

  removeUserAttribute(place: FilePlace, name: string): void {
    this.#writable();
    this.#withAttributes(place, (fd) => {
      checked(removeAttribute(fd, byteString(name)));
    });
  }

  adopt({ descriptor, locked }: OpenFileHandle): OpenFile {
    return new HostFile(descriptor, locked);
  }

  [Symbol.dispose](): void {
    this.#behind[Symbol.dispose]();
  }

  #writable(): void {
    if (this.readOnly) throw new FileError(Errno.EROFS);
  }

  /**
   * As `#at`, for what can have attributes of users. What else there is in the directory, a symbolic link
   * above all, is not touched, and has `none`; without that, EPERM as on the host.
   */
  #withAttributes<T>(place: FilePlace, body: (fd: number) => T, ...none: [] | [T]): T {
    return this.#at(place, (fd, { mode }) => {
      const kind = mode & S_IFMT;
      if (kind === S_IFREG || kind === S_IFDIR) return body(fd);
      if (none.length === 0) throw new FileError(Errno.EPERM);
      return none[0] as T;
    });
  }

  /** Runs `body` with a descriptor that stands for the file at `place`. */
  #at<T>(
    place: FilePlace,
    body: (fd: number, attributes: FileAttributes) => T,
    flags = 0,
  ): T {
    const fd = checked(openPath(this.#root, byteString(place.path), flags));
    try {
      const attributes = statOf(fd);
      if (!sameFile(attributes, place.identity)) throw new FileError(Errno.ESTALE);
      return body(fd, attributes);
    } finally {
      closeDescriptor(fd);
    }
  }

  /** Runs `body` with a descriptor that stands for what is called `name` in `parent`. */
  #child<T>(
    parent: number,
    name: string,
    body: (fd: number, attributes: FileAttributes) => T,
  ): T {
    const fd = checked(openPath(parent, byteString(name)));
    try {
      return body(fd, statOf(fd));
    } finally {
      closeDescriptor(fd);
    }
  }

  #make(
    directory: FilePlace,
    name: string,
    permissions: number | undefined,
    make: (fd: number, name: Uint8Array<ArrayBuffer>) => number,
  ): FileAttributes {
    this.#writable();
    return this.#at(directory, (parent) => {
      checked(make(parent, byteString(name)));
      return this.#child(parent, name, (fd, attributes) => {
        if (permissions === undefined) return attributes;
        const wanted = hostPermissions(permissions, attributes.mode);
        // The process's mask is hv's, not the guest's.
        if ((attributes.mode & ALL_PERMISSIONS) === wanted) return attributes;
        checked(this.#behind.chmod(fd, wanted));
        return statOf(fd);
      });
    }, O_DIRECTORY);
  }

  #reopen(fd: number, mode: number, options: FileOpenOptions): HostFile {
    const kind = mode & S_IFMT;
    if (kind !== S_IFREG && kind !== S_IFDIR) throw new FileError(Errno.ENXIO);
    if (kind === S_IFDIR && options.write) throw new FileError(Errno.EISDIR);
    // Linux does it only for writers without privileges, and hv may be run by root.
    if (options.write && (mode & SET_IDS) !== 0) {
      checked(this.#behind.chmod(fd, mode & PERMISSIONS));
    }
    return new HostFile(checked(this.#behind.reopen(fd, hostFlags(options))));
  }
}
