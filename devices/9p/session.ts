/** What a client has set up: the share it is attached to and its fids. */

import { FileError, type FileTree } from "../../hv/core/media/file_tree.ts";
import { EINVAL, ENAMETOOLONG } from "./errno.ts";
import { type FidLimits, FidTable } from "./fid.ts";
import type { MessageReader, MessageWriter } from "./message.ts";
import { Place } from "./place.ts";
import { type Qid, qidOf } from "./qid.ts";
import type { FileAttributes } from "../../hv/core/media/file_tree.ts";

/** The longest name in a directory, bytes (NAME_MAX). */
const MAX_NAME_BYTES = 255;
/** The largest offset or size (off_t). */
const MAX_OFFSET = 0x7fff_ffff_ffff_ffffn;

/** See above. */
export class Session {
  readonly tree: FileTree;
  readonly fids: FidTable;
  readonly root: Place;

  constructor(tree: FileTree, limits: FidLimits) {
    this.tree = tree;
    this.fids = new FidTable(limits);
    const { device, inode } = tree.root();
    this.root = Place.root({ device, inode });
    // It stays, whether fids stand for it or not.
    this.root.use();
  }

  /** The qid of a file of the share. */
  qid(attributes: FileAttributes): Qid {
    return qidOf(attributes, this.root.identity.device);
  }
}

/** Carries out a request: reads its fields, writes the reply's. What fails throws `FileError`. */
export type Handler = (session: Session, request: MessageReader, reply: MessageWriter) => void;

/** A name that something in a directory can have. @throws FileError */
export function nameIn(request: MessageReader): string {
  const name = request.string();
  checkName(name);
  return name;
}

/** Fails unless `name` is one name, and not that of a directory itself. @throws FileError */
export function checkName(name: string): void {
  if (name === "" || name === "." || name === "..") throw new FileError(EINVAL);
  if (name.includes("/") || name.includes("\0")) throw new FileError(EINVAL);
  if (name.length > MAX_NAME_BYTES) throw new FileError(ENAMETOOLONG);
}

/** An offset or size. @throws FileError EINVAL beyond 2^63 - 1 */
export function offsetIn(request: MessageReader): bigint {
  const offset = request.u64();
  if (offset > MAX_OFFSET) throw new FileError(EINVAL);
  return offset;
}
