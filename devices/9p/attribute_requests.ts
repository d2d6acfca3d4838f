/** Requests about attributes, of files and of file systems. */

import { type FileChanges, FileError, type FileTime } from "../../hv/core/media/file_tree.ts";
import { EINVAL, EROFS } from "./errno.ts";
import { type MessageReader, MessageType, type MessageWriter } from "./message.ts";
import type { Handler } from "./session.ts";

/** Rgetattr's fields mode to blocks and the qid's path; the later ones are not there. */
const GETATTR_BASIC = 0x7ffn;

/** Bits of Tsetattr's valid. Those of owner, group and change time mean nothing to this server. */
const SETATTR_MODE = 0x1;
const SETATTR_SIZE = 0x8;
const SETATTR_ATIME = 0x10;
const SETATTR_MTIME = 0x20;
const SETATTR_ATIME_SET = 0x80;
const SETATTR_MTIME_SET = 0x100;

/** The largest size (off_t). */
const MAX_SIZE = 0x7fff_ffff_ffff_ffffn;

/** A device's number as Linux passes it to programs (makedev(3), its lower 32 bits). */
const rdev = (major: number, minor: number) =>
  (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);

function writeTime(reply: MessageWriter, { seconds, nanoseconds }: FileTime): void {
  reply.u64(BigInt.asUintN(64, seconds));
  reply.u64(BigInt(nanoseconds));
}

/**
 * fid[4] request_mask[8] → valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8]
 * blksize[8] blocks[8] atime mtime ctime btime (each sec[8] nsec[8]) gen[8] data_version[8]
 */
const getattr: Handler = (session, request, reply) => {
  const { place, file } = session.fids.get(request.u32());
  const attributes = file?.attributes() ?? session.tree.attributes(place);
  reply.u64(GETATTR_BASIC);
  reply.qid(session.qid(attributes));
  reply.u32(attributes.mode);
  reply.u32(attributes.uid);
  reply.u32(attributes.gid);
  reply.u64(BigInt(attributes.links));
  reply.u64(BigInt(rdev(attributes.major, attributes.minor) >>> 0));
  reply.u64(attributes.size);
  reply.u64(BigInt(attributes.blockBytes));
  reply.u64(attributes.blocks);
  writeTime(reply, attributes.accessed);
  writeTime(reply, attributes.modified);
  writeTime(reply, attributes.changed);
  for (let i = 0; i < 4; i++) reply.u64(0n);
};

function timeIn(request: MessageReader, isWanted: boolean, isSet: boolean) {
  const seconds = BigInt.asIntN(64, request.u64());
  const nanoseconds = Number(request.u64());
  if (!isWanted) return undefined;
  if (!isSet) return "now";
  if (nanoseconds > 999_999_999) throw new FileError(EINVAL);
  return { seconds, nanoseconds };
}

/**
 * fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8]
 * mtime_nsec[8]
 */
const setattr: Handler = ({ tree, fids }, request) => {
  const { place, file, writable } = fids.get(request.u32());
  const valid = request.u32();
  const has = (bit: number) => (valid & bit) !== 0;
  const mode = request.u32();
  request.bytes(8);
  const size = request.u64();
  if (has(SETATTR_SIZE) && size > MAX_SIZE) throw new FileError(EINVAL);
  const changes: FileChanges = {
    permissions: has(SETATTR_MODE) ? mode & 0o7777 : undefined,
    size: has(SETATTR_SIZE) ? size : undefined,
    accessed: timeIn(request, has(SETATTR_ATIME), has(SETATTR_ATIME_SET)),
    modified: timeIn(request, has(SETATTR_MTIME), has(SETATTR_MTIME_SET)),
  };
  if (tree.readOnly) throw new FileError(EROFS);
  const isOpenForIt = file !== undefined && (writable || changes.size === undefined);
  if (isOpenForIt) file.change(changes);
  else tree.change(place, changes);
};

/**
 * fid[4] → type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]
 */
const statfs: Handler = ({ tree, fids }, request, reply) => {
  const state = tree.fileSystem(fids.get(request.u32()).place);
  reply.u32(state.type);
  reply.u32(state.blockBytes);
  reply.u64(state.blocks);
  reply.u64(state.blocksFree);
  reply.u64(state.blocksAvailable);
  reply.u64(state.files);
  reply.u64(state.filesFree);
  reply.u64(state.id);
  reply.u32(state.nameBytes);
};

/** By type. */
export const ATTRIBUTE_REQUESTS: Readonly<Record<number, Handler>> = {
  [MessageType.getattr]: getattr,
  [MessageType.setattr]: setattr,
  [MessageType.statfs]: statfs,
};
