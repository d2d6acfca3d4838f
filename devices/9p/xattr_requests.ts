/**
 * Requests about extended attributes: those of users ("user.NAME", xattr(7)). An attribute, or the list
 * of their names, is read and written as a file is, by a fid of its own; what is written is stored when
 * that fid is given up.
 *
 * References: "9P2000.L Protocol" (xattrwalk, xattrcreate); Linux's fs/9p/xattr.c is the client.
 */

import { FileError, type OpenFile } from "../../hv/core/media/file_tree.ts";
import { EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, ERANGE, EROFS } from "./errno.ts";
import type { AttributeFid, Fid } from "./fid.ts";
import { MessageType } from "./message.ts";
import type { Handler, Session } from "./session.ts";

/** What a guest sees and sets; others say what the host's kernel or its programs believe of a file. */
const PREFIX = "user.";
/** XATTR_NAME_MAX and XATTR_SIZE_MAX (linux/limits.h). */
const MAX_NAME_BYTES = 255;
const MAX_VALUE_BYTES = 65536;
/** XATTR_CREATE and XATTR_REPLACE (setxattr(2)). */
const CREATE = 1;
const REPLACE = 2;

const isShown = (name: string) => name.startsWith(PREFIX) && name.length > PREFIX.length;

/** @throws FileError For what is no user's attribute. */
function checkName(name: string): void {
  if (!isShown(name)) throw new FileError(EOPNOTSUPP);
  if (name.length > MAX_NAME_BYTES) throw new FileError(ERANGE);
  if (name.includes("\0")) throw new FileError(EINVAL);
}

/** Names with a zero behind each, as listxattr(2) gives them: the user's alone. */
function shownNames(names: string): Uint8Array {
  const shown = names.split("\0").filter(isShown).map((name) => `${name}\0`).join("");
  return Uint8Array.from(shown, (char) => char.charCodeAt(0));
}

/** fid[4] newfid[4] name[s] → size[8]: newfid is read; without a name, it is the names that are there. */
const xattrwalk: Handler = ({ tree, fids }, request, reply) => {
  const { place } = fids.get(request.u32());
  const number = request.u32();
  fids.checkFree(number);
  const name = request.string();
  if (name !== "") checkName(name);
  const bytes = name === ""
    ? shownNames(tree.userAttributeNames(place))
    : tree.userAttribute(place, name);
  if (bytes === undefined) throw new FileError(ENODATA);
  fids.add(number, place);
  try {
    fids.openAttribute(fids.get(number), { bytes, written: 0, store: undefined });
  } catch (error) {
    fids.remove(number);
    throw error;
  }
  reply.u64(BigInt(bytes.length));
};

/** fid[4] name[s] attr_size[8] flags[4]: the fid is written then, and stores the attribute at last. */
const xattrcreate: Handler = ({ tree, fids }, request) => {
  const fid = fids.get(request.u32());
  const name = request.string();
  checkName(name);
  const size = request.u64();
  const flags = request.u32();
  if (tree.readOnly) throw new FileError(EROFS);
  if (size > MAX_VALUE_BYTES) throw new FileError(ENOSPC);
  if ((flags & ~(CREATE | REPLACE)) !== 0) throw new FileError(EINVAL);
  const bytes = new Uint8Array(Number(size));
  fids.openAttribute(fid, { bytes, written: 0, store: { name, flags } });
};

/** What is read and written of a fid. */
export type Content = Pick<OpenFile, "read" | "write">;

/** Of an attribute: one that is to be stored is written in order, and no more than was announced. */
export function contentOfAttribute(attribute: AttributeFid): Content {
  const { bytes, store } = attribute;
  return {
    read(into, offset) {
      if (store !== undefined) throw new FileError(EINVAL);
      const start = offset < bytes.length ? Number(offset) : bytes.length;
      const part = bytes.subarray(start, start + into.length);
      into.set(part);
      return part.length;
    },
    write(from, offset) {
      const { written } = attribute;
      if (store === undefined || offset !== BigInt(written)) throw new FileError(EINVAL);
      if (from.length > bytes.length - written) throw new FileError(ENOSPC);
      bytes.set(from, written);
      attribute.written += from.length;
      return from.length;
    },
  };
}

/**
 * Stores what a fid that is given up was written for. Nothing written with XATTR_REPLACE is how Linux's
 * client removes an attribute.
 */
export function storeAttribute({ tree }: Session, { place, attribute }: Fid): void {
  if (attribute?.store === undefined) return;
  const { bytes, written, store: { name, flags } } = attribute;
  if (written !== bytes.length) throw new FileError(EINVAL);
  if (bytes.length === 0 && flags === REPLACE) tree.removeUserAttribute(place, name);
  else {
    const unless = flags === CREATE ? "there" : flags === REPLACE ? "missing" : undefined;
    tree.setUserAttribute(place, name, bytes, unless);
  }
}

/** By type. */
export const XATTR_REQUESTS: Readonly<Record<number, Handler>> = {
  [MessageType.xattrwalk]: xattrwalk,
  [MessageType.xattrcreate]: xattrcreate,
};
