/** Requests about open files: opening, reading, writing, listing, locking. */

import {
  FileError,
  type FileLock,
  type FileOpenOptions,
  type OpenFile,
} from "../../hv/core/media/file_tree.ts";
import { EBADF, EINVAL } from "./errno.ts";
import type { Fid } from "./fid.ts";
import { type MessageReader, MessageType, QID_BYTES } from "./message.ts";
import { qidPath, QTDIR, QTSYMLINK } from "./qid.ts";
import { type Handler, nameIn, offsetIn } from "./session.ts";
import { type Content, contentOfAttribute } from "./xattr_requests.ts";

/** Flags of Tlopen and Tlcreate ("9P2000.L Protocol", lopen): Linux's, by their octal numbers. */
const ACCESS = 0o3;
const WRONLY = 0o1;
const RDWR = 0o2;
const EXCL = 0o200;
const TRUNC = 0o1000;
const APPEND = 0o2000;
const DSYNC = 0o10000;
const SYNC = 0o4000000;

/** Types of locks, and what Rlock says. */
const LOCK_TYPES = ["read", "write", "none"] as const;
const LOCK_SUCCESS = 0;
const LOCK_BLOCKED = 1;

/** Kinds of readdir(3). */
const DT_DIR = 4;
const DT_LNK = 10;
/** Bytes of an entry of Rreaddir besides its name: qid[13] offset[8] type[1] and the name's length. */
const ENTRY_BYTES = QID_BYTES + 8 + 1 + 2;

/** The flags that mean something to the server; the others are the client's own affair. */
function openOptions(flags: number): FileOpenOptions {
  const access = flags & ACCESS;
  if (access === ACCESS) throw new FileError(EINVAL);
  return {
    read: access !== WRONLY,
    write: access === WRONLY || access === RDWR,
    truncate: (flags & TRUNC) !== 0,
    append: (flags & APPEND) !== 0,
    sync: (flags & SYNC) !== 0 ? "all" : (flags & DSYNC) !== 0 ? "data" : undefined,
  };
}

function fileOf(fid: Fid): OpenFile {
  if (fid.file === undefined) throw new FileError(EBADF);
  return fid.file;
}

const contentOf = (fid: Fid): Content =>
  fid.attribute === undefined ? fileOf(fid) : contentOfAttribute(fid.attribute);

/** fid[4] flags[4] → qid[13] iounit[4]: 0, as much as a message holds. */
const lopen: Handler = (session, request, reply) => {
  const { tree, fids } = session;
  const fid = fids.get(request.u32());
  const options = openOptions(request.u32());
  fids.open(fid, options.write, () => tree.open(fid.place, options));
  reply.qid(session.qid(fileOf(fid).attributes()));
  reply.u32(0);
};

/** fid[4] name[s] flags[4] mode[4] gid[4] → qid[13] iounit[4]: the fid is the new file's then. */
const lcreate: Handler = (session, request, reply) => {
  const { tree, fids } = session;
  const fid = fids.get(request.u32());
  const name = nameIn(request);
  const flags = request.u32();
  const options = { ...openOptions(flags), exclusive: (flags & EXCL) !== 0 };
  const mode = request.u32();
  fids.open(fid, options.write, () => tree.create(fid.place, name, mode, options));
  const attributes = fileOf(fid).attributes();
  const { device, inode } = attributes;
  fids.move(fid, fid.place.child(name, { device, inode }));
  reply.qid(session.qid(attributes));
  reply.u32(0);
};

/** fid[4] offset[8] count[4] → count[4] data[count] */
const read: Handler = ({ fids }, request, reply) => {
  const content = contentOf(fids.get(request.u32()));
  const offset = offsetIn(request);
  const into = reply.data(Math.min(request.u32(), Math.max(0, reply.room - 4)));
  reply.counted(content.read(into, offset));
};

/** fid[4] offset[8] count[4] data[count] → count[4] */
const write: Handler = ({ fids }, request, reply) => {
  const content = contentOf(fids.get(request.u32()));
  const offset = offsetIn(request);
  reply.u32(content.write(request.bytes(request.u32()), offset));
};

/** fid[4] offset[8] count[4] → count[4] count*(qid[13] offset[8] type[1] name[s]) */
const readdir: Handler = ({ tree, fids, root }, request, reply) => {
  const { place, file } = fids.get(request.u32());
  if (file === undefined) throw new FileError(EBADF);
  const offset = offsetIn(request);
  const room = Math.min(request.u32(), Math.max(0, reply.room - 4));
  // A directory that has been moved away tells nothing of what is there.
  const { device } = tree.attributes(place);
  const start = reply.position;
  reply.counted(0);
  let [used, full] = [0, false];
  file.list(offset, ({ name, inode, next, type }) => {
    full = used + ENTRY_BYTES + name.length > room;
    if (full) return false;
    used += ENTRY_BYTES + name.length;
    const identity = place.isRoot && name === ".." ? root.identity : { device, inode };
    reply.qid({
      type: type === DT_DIR ? QTDIR : type === DT_LNK ? QTSYMLINK : 0,
      version: 0,
      path: qidPath(identity, root.identity.device),
    });
    reply.u64(next);
    reply.u8(type);
    reply.string(name);
    return true;
  });
  // No entries mean the end.
  if (full && used === 0) throw new FileError(EINVAL);
  reply.u32At(start, used);
};

/** fid[4] datasync[4], which older clients leave out */
const fsync: Handler = ({ tree, fids }, request) => {
  const file = fileOf(fids.get(request.u32()));
  const dataOnly = request.more && request.u32() !== 0;
  if (!tree.readOnly) file.sync(dataOnly);
};

/** type[1] flags[4], of Tlock only, start[8] length[8] proc_id[4] client_id[s] */
function lockIn(request: MessageReader, hasFlags: boolean) {
  const type = LOCK_TYPES[request.u8()];
  if (type === undefined) throw new FileError(EINVAL);
  if (hasFlags) request.u32();
  const lock: FileLock = { type, start: offsetIn(request), length: offsetIn(request) };
  return { lock, process: request.u32(), client: request.string() };
}

/** fid[4] and a lock → status[1]: one that waits (P9_LOCK_FLAGS_BLOCK) asks again by itself. */
const lock: Handler = ({ tree, fids }, request, reply) => {
  const file = fileOf(fids.get(request.u32()));
  const { lock } = lockIn(request, true);
  // Who may change nothing keeps nobody out.
  reply.u8(tree.readOnly || file.lock(lock) ? LOCK_SUCCESS : LOCK_BLOCKED);
};

/** fid[4] and a lock without flags → the lock in the way, or this one of type "none" */
const getlock: Handler = ({ fids }, request, reply) => {
  const file = fileOf(fids.get(request.u32()));
  const { lock, process, client } = lockIn(request, false);
  if (lock.type === "none") throw new FileError(EINVAL);
  const found = file.lockInTheWay(lock);
  const { type, start, length } = found ?? { ...lock, type: "none" };
  reply.u8(LOCK_TYPES.indexOf(type));
  reply.u64(start);
  reply.u64(length);
  reply.u32(process);
  reply.string(client);
};

/** By type. */
export const FILE_REQUESTS: Readonly<Record<number, Handler>> = {
  [MessageType.lopen]: lopen,
  [MessageType.lcreate]: lcreate,
  [MessageType.read]: read,
  [MessageType.write]: write,
  [MessageType.readdir]: readdir,
  [MessageType.fsync]: fsync,
  [MessageType.lock]: lock,
  [MessageType.getlock]: getlock,
};
