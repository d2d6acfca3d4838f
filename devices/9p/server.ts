/**
 * A server of 9P2000.L over a tree of files: Linux mounts it (`mount -t 9p -o version=9p2000.L`).
 *
 * It takes one request after the other and has answered each when `serve` returns, so Tflush finds
 * nothing to cancel. Every field of a request is the guest's: messages are read and written within
 * their bounds, names are single names, and fids, open files and replies are bounded.
 *
 * References: see message.ts. Left out: authentication (Tauth), other versions of the protocol (answered with
 * "unknown").
 */

import { FileError, type FileTree } from "../../hv/core/media/file_tree.ts";
import { ATTRIBUTE_REQUESTS } from "./attribute_requests.ts";
import { EINVAL, EMSGSIZE, ENOENT, EOPNOTSUPP, EPROTO } from "./errno.ts";
import type { FidLimits } from "./fid.ts";
import { FILE_REQUESTS } from "./file_requests.ts";
import { HEADER_BYTES, MAX_MSIZE, MessageReader, MessageType, MessageWriter } from "./message.ts";
import { NAME_REQUESTS } from "./name_requests.ts";
import { restoreSession, type SavedSession, saveSession } from "./saved_session.ts";
import { type Handler, Session } from "./session.ts";
import { storeAttribute, XATTR_REQUESTS } from "./xattr_requests.ts";

const VERSION = "9P2000.L";
/** The smallest that is agreed on: a name, a link's target and every fixed reply fit. */
const MIN_MSIZE = 4096;

/** By default: more than a build has open, and fids for every file that a kernel caches. */
const LIMITS: FidLimits = { fids: 131072, openFiles: 1024 };

/** fid[4] afid[4] uname[s] aname[s] n_uname[4] → qid[13]: a share has one tree, the root's. */
const attach: Handler = (session, request, reply) => {
  const number = request.u32();
  session.fids.checkFree(number);
  request.u32();
  request.string();
  const tree = request.string();
  if (tree !== "" && tree !== "/") throw new FileError(ENOENT);
  const attributes = session.tree.root();
  session.fids.add(number, session.root);
  reply.qid(session.qid(attributes));
};

/** fid[4]: given up, whatever storing its attribute says. */
const clunk: Handler = (session, request) => {
  const fid = session.fids.get(request.u32());
  try {
    storeAttribute(session, fid);
  } finally {
    session.fids.remove(fid.number);
  }
};

/** oldtag[2]: it has been answered. */
const flush: Handler = (_, request) => void request.u16();

const REQUESTS: Readonly<Record<number, Handler>> = {
  [MessageType.attach]: attach,
  [MessageType.clunk]: clunk,
  [MessageType.flush]: flush,
  ...NAME_REQUESTS,
  ...FILE_REQUESTS,
  ...ATTRIBUTE_REQUESTS,
  ...XATTR_REQUESTS,
};

/** See above. */
export class NinePServer {
  readonly #tree: FileTree;
  readonly #limits: FidLimits;
  /** Since the client has agreed on a version. */
  #session: Session | undefined;
  /** The largest message agreed on, bytes. */
  #msize = MAX_MSIZE;

  constructor(tree: FileTree, limits: Partial<FidLimits> = {}) {
    this.#tree = tree;
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Fids of the client, and how many of them are open. */
  get counts(): { fids: number; openFiles: number } {
    const fids = this.#session?.fids;
    return { fids: fids?.size ?? 0, openFiles: fids?.openFiles ?? 0 };
  }

  /**
   * Carries out `request`.
   *
   * @param reply Room for the reply.
   * @returns Bytes of the reply; 0 when the request or the room is less than a header: there is
   * nothing to say it to.
   */
  serve(request: Uint8Array, reply: Uint8Array): number {
    if (request.length < HEADER_BYTES || reply.length < HEADER_BYTES + 4) return 0;
    const header = new DataView(request.buffer, request.byteOffset, HEADER_BYTES);
    const [size, type, tag] = [header.getUint32(0, true), request[4], header.getUint16(5, true)];
    const writer = new MessageWriter(reply.subarray(0, this.#msize));
    try {
      if (size < HEADER_BYTES || size > request.length) throw new FileError(EPROTO);
      if (size > this.#msize) throw new FileError(EMSGSIZE);
      this.#carryOut(type, new MessageReader(request.subarray(0, size)), writer);
      return writer.finish(type + 1, tag);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      writer.restart();
      writer.u32(error.errno);
      return writer.finish(MessageType.lerror + 1, tag);
    }
  }

  /** What another thread needs to go on for the client, if there is one: its open files go along. */
  save(): SavedSession | undefined {
    const saved = this.#session && saveSession(this.#session, this.#msize);
    this.#session?.fids.abandon();
    this.reset();
    return saved;
  }

  /** Goes on for a client of before. */
  restore(saved: SavedSession): void {
    this.reset();
    this.#session = restoreSession(saved, this.#tree, this.#limits);
    this.#msize = saved.msize;
  }

  /** Forgets the client: closes all. */
  reset(): void {
    this.#session?.fids.clear();
    this.#session = undefined;
    this.#msize = MAX_MSIZE;
  }

  #carryOut(type: number, request: MessageReader, reply: MessageWriter): void {
    if (type === MessageType.version) return this.#version(request, reply);
    const handler = REQUESTS[type];
    if (handler === undefined) throw new FileError(EOPNOTSUPP);
    if (this.#session === undefined) throw new FileError(EPROTO);
    handler(this.#session, request, reply);
  }

  /** msize[4] version[s] → msize[4] version[s]: a session begins, and with it all anew (version(5)). */
  #version(request: MessageReader, reply: MessageWriter): void {
    const msize = request.u32();
    const version = request.string();
    this.reset();
    if (msize < MIN_MSIZE) throw new FileError(EINVAL);
    const agreed = Math.min(msize, MAX_MSIZE);
    reply.u32(agreed);
    reply.string(version === VERSION ? VERSION : "unknown");
    if (version !== VERSION) return;
    this.#session = new Session(this.#tree, this.#limits);
    this.#msize = agreed;
  }
}
