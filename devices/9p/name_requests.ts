/** Requests about names: walking to a file, making, linking, renaming and removing. */

import { FileError, S_IFDIR, S_IFMT } from "../../hv/core/media/file_tree.ts";
import { EBADF, EBUSY, EINVAL } from "./errno.ts";
import { MessageType } from "./message.ts";
import type { Place } from "./place.ts";
import type { Qid } from "./qid.ts";
import { checkName, type Handler, nameIn, type Session } from "./session.ts";

/** The most names that one walk has (walk(5)). */
const MAXWELEM = 16;
/** Flag of Tunlinkat: the name is a directory's. */
const AT_REMOVEDIR = 0x200;

/** One step of a walk. ".." of the root is the root. */
function step(session: Session, from: Place, name: string): { place: Place; qid: Qid } {
  const { tree } = session;
  if (name === "..") {
    const place = from.parent;
    return { place, qid: session.qid(tree.attributes(place)) };
  }
  checkName(name);
  const attributes = tree.lookUp(from, name);
  const { device, inode } = attributes;
  return { place: from.child(name, { device, inode }), qid: session.qid(attributes) };
}

/** As many steps from `from` on as can be made; the last place is held. @throws FileError at none */
function steps(session: Session, from: Place, names: string[]): { place: Place; qids: Qid[] } {
  const qids: Qid[] = [];
  let place = from;
  place.use();
  try {
    for (const name of names) {
      const next = step(session, place, name);
      next.place.use();
      place.release();
      place = next.place;
      qids.push(next.qid);
    }
  } catch (error) {
    // That qids are missing tells the client that the walk ended there.
    if (error instanceof FileError && qids.length > 0) return { place, qids };
    place.release();
    throw error;
  }
  return { place, qids };
}

/** fid[4] newfid[4] nwname[2] nwname*(name[s]) → nwqid[2] nwqid*(qid[13]) */
const walk: Handler = (session, request, reply) => {
  const { fids } = session;
  const fid = fids.get(request.u32());
  const newFid = request.u32();
  const isMove = newFid === fid.number;
  if (!isMove) fids.checkFree(newFid);
  else if (fid.file !== undefined) throw new FileError(EBADF);
  const count = request.u16();
  if (count > MAXWELEM) throw new FileError(EINVAL);
  const names = Array.from({ length: count }, () => request.string());
  const { place, qids } = steps(session, fid.place, names);
  if (qids.length === names.length) {
    if (isMove) fids.move(fid, place);
    else fids.add(newFid, place);
  }
  place.release();
  reply.u16(qids.length);
  for (const qid of qids) reply.qid(qid);
};

/** dfid[4] name[s] mode[4] gid[4] → qid[13] */
const mkdir: Handler = (session, request, reply) => {
  const { place } = session.fids.get(request.u32());
  const name = nameIn(request);
  reply.qid(session.qid(session.tree.makeDirectory(place, name, request.u32())));
};

/** dfid[4] name[s] mode[4] major[4] minor[4] gid[4] → qid[13] */
const mknod: Handler = (session, request, reply) => {
  const { place } = session.fids.get(request.u32());
  const name = nameIn(request);
  reply.qid(session.qid(session.tree.makeNode(place, name, request.u32())));
};

/** dfid[4] name[s] symtgt[s] gid[4] → qid[13] */
const symlink: Handler = (session, request, reply) => {
  const { place } = session.fids.get(request.u32());
  const name = nameIn(request);
  const target = request.string();
  if (target.includes("\0")) throw new FileError(EINVAL);
  reply.qid(session.qid(session.tree.makeSymbolicLink(place, name, target)));
};

/** fid[4] → target[s] */
const readlink: Handler = ({ tree, fids }, request, reply) => {
  reply.string(tree.readSymbolicLink(fids.get(request.u32()).place));
};

/** dfid[4] fid[4] name[s] */
const link: Handler = ({ tree, fids }, request) => {
  const directory = fids.get(request.u32()).place;
  const { place } = fids.get(request.u32());
  tree.link(place, directory, nameIn(request));
};

function move({ tree }: Session, from: Place, oldName: string, to: Place, newName: string): void {
  tree.rename(from, oldName, to, newName);
  from.renamed(oldName, to, newName);
}

/** fid[4] dfid[4] name[s] */
const rename: Handler = (session, request) => {
  const { place } = session.fids.get(request.u32());
  const directory = session.fids.get(request.u32()).place;
  const name = nameIn(request);
  if (place.isRoot) throw new FileError(EBUSY);
  move(session, place.parent, place.name, directory, name);
};

/** olddirfid[4] oldname[s] newdirfid[4] newname[s] */
const renameat: Handler = (session, request) => {
  const from = session.fids.get(request.u32()).place;
  const oldName = nameIn(request);
  const to = session.fids.get(request.u32()).place;
  move(session, from, oldName, to, nameIn(request));
};

/** dirfd[4] name[s] flags[4] */
const unlinkat: Handler = ({ tree, fids }, request) => {
  const { place } = fids.get(request.u32());
  const name = nameIn(request);
  tree.remove(place, name, (request.u32() & AT_REMOVEDIR) !== 0);
  place.removed(name);
};

/** fid[4]: the fid goes also when the file cannot (remove(5)). */
const remove: Handler = ({ tree, fids }, request) => {
  const number = request.u32();
  const { place } = fids.get(number);
  try {
    if (place.isRoot) throw new FileError(EBUSY);
    const isDirectory = (tree.attributes(place).mode & S_IFMT) === S_IFDIR;
    tree.remove(place.parent, place.name, isDirectory);
    place.parent.removed(place.name);
  } finally {
    fids.remove(number);
  }
};

/** By type. */
export const NAME_REQUESTS: Readonly<Record<number, Handler>> = {
  [MessageType.walk]: walk,
  [MessageType.mkdir]: mkdir,
  [MessageType.mknod]: mknod,
  [MessageType.symlink]: symlink,
  [MessageType.readlink]: readlink,
  [MessageType.link]: link,
  [MessageType.rename]: rename,
  [MessageType.renameat]: renameat,
  [MessageType.unlinkat]: unlinkat,
  [MessageType.remove]: remove,
};
