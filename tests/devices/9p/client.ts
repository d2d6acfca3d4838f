/** A client of 9P2000.L for tests: builds messages byte by byte, and takes replies apart. */

import assert from "node:assert/strict";
import type { FileTree } from "../../../hv/core/media/file_tree.ts";
import type { FidLimits } from "../../../devices/9p/fid.ts";
import { MessageReader, MessageType, NOFID, NOTAG } from "../../../devices/9p/message.ts";
import { NinePServer } from "../../../devices/9p/server.ts";
import { HostTree } from "../../../devices/share/host_tree.ts";
import { closeShare, openShare } from "../../../devices/share/open_share.ts";

/** A field: its bytes. */
export type Field = number[];
export const u8 = (value: number): Field => [value & 0xff];
export const u16 = (value: number): Field => [value & 0xff, (value >> 8) & 0xff];
export const u32 = (value: number): Field => [...u16(value & 0xffff), ...u16(value >>> 16)];
export const u64 = (value: number | bigint): Field => {
  const big = BigInt.asUintN(64, BigInt(value));
  return [...u32(Number(big & 0xffff_ffffn)), ...u32(Number(big >> 32n))];
};
export const str = (value: string): Field => {
  const bytes = new TextEncoder().encode(value);
  return [...u16(bytes.length), ...bytes];
};

/** A whole message. */
export function message(type: number, tag: number, ...fields: readonly Field[]): Uint8Array {
  const body = fields.flat();
  return new Uint8Array([...u32(body.length + 7), ...u8(type), ...u16(tag), ...body]);
}

/** Linux's numbers that tests expect. */
export const E = {
  PERM: 1,
  NOENT: 2,
  NXIO: 6,
  BADF: 9,
  EXIST: 17,
  NOTDIR: 20,
  ISDIR: 21,
  INVAL: 22,
  NFILE: 23,
  MFILE: 24,
  ROFS: 30,
  NOTEMPTY: 39,
  LOOP: 40,
  PROTO: 71,
  NOSPC: 28,
  NODATA: 61,
  RANGE: 34,
  OPNOTSUPP: 95,
  STALE: 116,
} as const;

export interface TestQid {
  type: number;
  version: number;
  path: bigint;
}

export interface TestEntry extends TestQid {
  next: bigint;
  kind: number;
  name: string;
}

/** What `getattr` tells. */
export interface TestAttributes {
  qid: TestQid;
  mode: number;
  uid: number;
  links: bigint;
  rdev: bigint;
  size: bigint;
  accessed: bigint;
  modified: bigint;
}

const qidIn = (reply: MessageReader): TestQid => ({
  type: reply.u8(),
  version: reply.u32(),
  path: reply.u64(),
});

/** See above. */
export class Client {
  readonly server: NinePServer;
  readonly #reply: Uint8Array;
  #nextTag = 1;

  constructor(tree: FileTree, limits?: Partial<FidLimits>, replyBytes = 600_000) {
    this.server = new NinePServer(tree, limits);
    this.#reply = new Uint8Array(replyBytes);
  }

  /** Sends bytes as they are; the reply's. */
  raw(request: Uint8Array): Uint8Array {
    this.#reply.fill(0xee);
    return this.#reply.subarray(0, this.server.serve(request, this.#reply));
  }

  /** Sends a request and returns its reply's fields. @throws when it is Rlerror */
  ask(type: number, ...fields: Field[]): MessageReader {
    const tag = type === MessageType.version ? NOTAG : this.#nextTag++ & 0x7fff;
    const bytes = this.raw(message(type, tag, ...fields));
    const view = new DataView(bytes.buffer, 0, bytes.length);
    assert.equal(view.getUint32(0, true), bytes.length, "the size of the reply");
    assert.equal(view.getUint16(5, true), tag, "the tag of the reply");
    const reply = new MessageReader(bytes.slice());
    if (bytes[4] === 7) throw new NinePError(reply.u32());
    assert.equal(bytes[4], type + 1, "the type of the reply");
    return reply;
  }

  version(msize = 65536, version = "9P2000.L"): { msize: number; version: string } {
    const reply = this.ask(MessageType.version, u32(msize), str(version));
    return { msize: reply.u32(), version: reply.string() };
  }

  attach(fid: number, tree = ""): TestQid {
    const fields = [u32(fid), u32(NOFID), str("root"), str(tree), u32(0)];
    return qidIn(this.ask(MessageType.attach, ...fields));
  }

  /** Walks; fails unless all names are found. */
  walk(fid: number, newFid: number, ...names: string[]): TestQid[] {
    const qids = this.walkSome(fid, newFid, ...names);
    assert.equal(qids.length, names.length, `names found of ${names.join("/")}`);
    return qids;
  }

  walkSome(fid: number, newFid: number, ...names: string[]): TestQid[] {
    const fields = [u32(fid), u32(newFid), u16(names.length), ...names.map(str)];
    const reply = this.ask(MessageType.walk, ...fields);
    return Array.from({ length: reply.u16() }, () => qidIn(reply));
  }

  clunk(fid: number): void {
    this.ask(MessageType.clunk, u32(fid));
  }

  open(fid: number, flags = 0): TestQid {
    return qidIn(this.ask(MessageType.lopen, u32(fid), u32(flags)));
  }

  create(fid: number, name: string, { flags = 2, mode = 0o644 } = {}): TestQid {
    const fields = [u32(fid), str(name), u32(flags), u32(mode), u32(0)];
    return qidIn(this.ask(MessageType.lcreate, ...fields));
  }

  read(fid: number, offset: number | bigint, count: number): Uint8Array {
    const reply = this.ask(MessageType.read, u32(fid), u64(offset), u32(count));
    return reply.bytes(reply.u32());
  }

  write(fid: number, offset: number | bigint, data: Uint8Array | string): number {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const fields = [u32(fid), u64(offset), u32(bytes.length), [...bytes]];
    return this.ask(MessageType.write, ...fields).u32();
  }

  readdir(fid: number, offset: bigint, count: number): TestEntry[] {
    const reply = this.ask(MessageType.readdir, u32(fid), u64(offset), u32(count));
    const length = reply.u32();
    assert.ok(length <= count);
    const entries: TestEntry[] = [];
    while (reply.more) {
      const qid = qidIn(reply);
      entries.push({ ...qid, next: reply.u64(), kind: reply.u8(), name: reply.string() });
    }
    return entries;
  }

  /** Lets `newFid` stand for an attribute, or without a name for all names; its size. */
  xattrwalk(fid: number, newFid: number, name = ""): number {
    return Number(this.ask(MessageType.xattrwalk, u32(fid), u32(newFid), str(name)).u64());
  }

  xattrcreate(fid: number, name: string, size: number, flags = 0): void {
    this.ask(MessageType.xattrcreate, u32(fid), str(name), u64(size), u32(flags));
  }

  getattr(fid: number): TestAttributes {
    const reply = this.ask(MessageType.getattr, u32(fid), u64(0x7ff));
    assert.equal(reply.u64(), 0x7ffn);
    const qid = qidIn(reply);
    const [mode, uid] = [reply.u32(), reply.u32()];
    reply.u32();
    const [links, rdev, size] = [reply.u64(), reply.u64(), reply.u64()];
    reply.bytes(16);
    const accessed = reply.u64();
    reply.u64();
    return { qid, mode, uid, links, rdev, size, accessed, modified: reply.u64() };
  }

  /** @param valid Which of the values count: bits of Tsetattr. */
  setattr(
    fid: number,
    valid: number,
    { mode = 0, uid = 0, size = 0n, accessed = 0n, modified = 0n } = {},
  ): void {
    const times = [u64(accessed), u64(5), u64(modified), u64(6)];
    const fields = [u32(fid), u32(valid), u32(mode), u32(uid), u32(uid), u64(size), ...times];
    this.ask(MessageType.setattr, ...fields);
  }

  mkdir(fid: number, name: string, mode = 0o755): TestQid {
    return qidIn(this.ask(MessageType.mkdir, u32(fid), str(name), u32(mode), u32(0)));
  }

  mknod(fid: number, name: string, mode: number): TestQid {
    const fields = [u32(fid), str(name), u32(mode), u32(1), u32(3), u32(0)];
    return qidIn(this.ask(MessageType.mknod, ...fields));
  }

  symlink(fid: number, name: string, target: string): TestQid {
    return qidIn(this.ask(MessageType.symlink, u32(fid), str(name), str(target), u32(0)));
  }

  readlink(fid: number): string {
    return this.ask(MessageType.readlink, u32(fid)).string();
  }

  link(directory: number, fid: number, name: string): void {
    this.ask(MessageType.link, u32(directory), u32(fid), str(name));
  }

  rename(fid: number, directory: number, name: string): void {
    this.ask(MessageType.rename, u32(fid), u32(directory), str(name));
  }

  renameat(from: number, oldName: string, to: number, newName: string): void {
    this.ask(MessageType.renameat, u32(from), str(oldName), u32(to), str(newName));
  }

  unlinkat(fid: number, name: string, flags = 0): void {
    this.ask(MessageType.unlinkat, u32(fid), str(name), u32(flags));
  }

  remove(fid: number): void {
    this.ask(MessageType.remove, u32(fid));
  }

  lock(fid: number, type: number, { start = 0, length = 0, process = 1 } = {}): number {
    const fields = [u32(fid), u8(type), u32(0), u64(start), u64(length), u32(process), str("vm")];
    return this.ask(MessageType.lock, ...fields).u8();
  }
}

/** An Rlerror. */
export class NinePError extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`Rlerror ${errno}`);
    this.errno = errno;
  }
}

/** Fails unless `body` is answered with Rlerror of one of `errnos`. */
export function refused(body: () => unknown, ...errnos: number[]): void {
  assert.throws(body, (error) => {
    assert.ok(error instanceof NinePError, String((error as Error).stack));
    assert.ok(errnos.includes(error.errno), `${error.message}, not ${errnos.join(" or ")}`);
    return true;
  });
}

/** A shared directory, something outside of it, and a client that has attached fid 0 to it. */
export interface Shared {
  /** The shared directory. */
  readonly inside: string;
  /** A directory beside it, with the file "secret". */
  readonly outside: string;
  readonly client: Client;
  readonly tree: HostTree;
}

/** Runs `body` with a shared directory that is gone afterwards; all it opened must be closed. */
export function withShare(
  body: (shared: Shared) => void,
  options: { readOnly?: boolean; limits?: Partial<FidLimits>; msize?: number } = {},
): void {
  const base = Deno.makeTempDirSync({ prefix: "hv-share-test-" });
  const inside = `${base}/inside`;
  const outside = `${base}/outside`;
  Deno.mkdirSync(inside);
  Deno.mkdirSync(outside);
  Deno.writeTextFileSync(`${outside}/secret`, "secret");
  const handle = openShare({ path: inside, readOnly: options.readOnly });
  try {
    using tree = new HostTree(handle);
    const before = descriptors();
    const client = new Client(tree, options.limits);
    client.version(options.msize);
    client.attach(0);
    body({ inside, outside, client, tree });
    client.server.reset();
    assert.deepEqual(descriptors(), before, "descriptors left open");
  } finally {
    closeShare(handle);
    Deno.removeSync(base, { recursive: true });
  }
}

/** What the process has open in temporary directories of `withShare`. */
function descriptors(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].flatMap(({ name }) => {
    try {
      const target = Deno.readLinkSync(`/proc/self/fd/${name}`);
      return target.includes("hv-share-test-") ? [target] : [];
    } catch {
      return [];
    }
  }).sort();
}
