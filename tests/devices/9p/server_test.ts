import assert from "node:assert/strict";
import { Place } from "../../../devices/9p/place.ts";
import { qidOf } from "../../../devices/9p/qid.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { Client, E, message, refused, str, u16, u32, u64, withShare } from "./client.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const RDONLY = 0;
const RDWR = 2;
const CREAT_EXCL = 0o300;
const TRUNC = 0o1000;
const APPEND = 0o2000;

Deno.test("Tversion agrees on the smaller msize, and answers unknown versions so (version(5))", () => {
  withShare(({ client }) => {
    assert.deepEqual(client.version(8192), { msize: 8192, version: "9P2000.L" });
    assert.deepEqual(client.version(0xffff_ffff), { msize: 512 * 1024, version: "9P2000.L" });
    assert.deepEqual(client.version(8192, "9P2000.u"), { msize: 8192, version: "unknown" });
    refused(() => client.attach(0), E.PROTO);
    refused(() => client.version(100), E.INVAL);
  });
});

Deno.test("Tversion in the middle forgets all fids and closes all files (version(5))", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/file`, "x");
    client.walk(0, 1, "file");
    client.open(1);
    assert.deepEqual(client.server.counts, { fids: 2, openFiles: 1 });
    client.version();
    assert.deepEqual(client.server.counts, { fids: 0, openFiles: 0 });
    refused(() => client.read(1, 0, 1), E.BADF);
    client.attach(1);
  });
});

Deno.test("Tattach knows one tree, and a fid that is in use is refused (attach(5))", () => {
  withShare(({ client, inside }) => {
    const { ino } = Deno.statSync(inside);
    assert.deepEqual(client.attach(7, "/").path, BigInt(ino!));
    assert.equal(client.attach(8).type, 0x80);
    refused(() => client.attach(7), E.EXIST);
    refused(() => client.attach(9, "/etc"), E.NOENT);
    refused(() => client.attach(0xffff_ffff), E.BADF);
  });
});

Deno.test("Twalk: all names, some, none, no names, and up from the root (walk(5))", () => {
  withShare(({ client, inside }) => {
    Deno.mkdirSync(`${inside}/a/b`, { recursive: true });
    const [a, b] = client.walk(0, 1, "a", "b");
    assert.equal(b.path, BigInt(Deno.statSync(`${inside}/a/b`).ino!));
    assert.deepEqual(client.walkSome(0, 2, "a", "missing", "b").length, 1);
    refused(() => client.getattr(2), E.BADF);
    refused(() => client.walk(0, 2, "missing"), E.NOENT);
    assert.deepEqual(client.walk(1, 2), []);
    assert.deepEqual(client.getattr(2).qid, client.getattr(1).qid);
    assert.deepEqual(client.walk(2, 3, "..")[0].path, a.path);
    const up = client.walk(2, 4, "..", "..", "..", "..");
    assert.equal(up[3].path, BigInt(Deno.statSync(inside).ino!));
    // The fid itself moves where both are the same.
    client.walk(4, 4, "a");
    assert.deepEqual(client.getattr(4).qid.path, a.path);
    refused(() => client.walk(0, 4, "a"), E.EXIST);
    const many = Array.from({ length: 17 }, () => "..");
    refused(() => client.walk(0, 9, ...many), E.INVAL);
  });
});

Deno.test("a file is made, written, read, cut and removed, and the host sees it", () => {
  withShare(({ client, inside }) => {
    const path = `${inside}/new.txt`;
    client.walk(0, 1);
    const qid = client.create(1, "new.txt", { mode: 0o640 });
    assert.equal(qid.path, BigInt(Deno.statSync(path).ino!));
    assert.equal(client.write(1, 0, "hello, host"), 11);
    assert.equal(Deno.readTextFileSync(path), "hello, host");
    assert.equal(Deno.statSync(path).mode! & 0o7777, 0o640);
    assert.equal(text(client.read(1, 7, 100)), "host");
    assert.equal(client.read(1, 11, 100).length, 0);
    client.setattr(1, 8, { size: 5n });
    assert.equal(Deno.readTextFileSync(path), "hello");
    assert.equal(client.getattr(1).size, 5n);
    client.remove(1);
    assert.deepEqual([...Deno.readDirSync(inside)], []);
    refused(() => client.clunk(1), E.BADF);
  });
});

Deno.test("Tlcreate opens what is there unless it is to be exclusive; O_TRUNC empties it", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/old`, "old text");
    client.walk(0, 1);
    refused(() => client.create(1, "old", { flags: RDWR | CREAT_EXCL }), E.EXIST);
    client.create(1, "old");
    assert.equal(text(client.read(1, 0, 100)), "old text");
    client.walk(0, 2);
    client.create(2, "old", { flags: RDWR | TRUNC });
    assert.equal(client.getattr(1).size, 0n);
    refused(() => client.create(2, "again"), E.BADF);
  });
});

Deno.test("O_APPEND writes to the end, wherever the client thinks it is", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/log`, "one\n");
    client.walk(0, 1, "log");
    client.open(1, 1 | APPEND);
    Deno.writeTextFileSync(`${inside}/log`, "two\n", { append: true });
    client.write(1, 4, "three\n");
    assert.equal(Deno.readTextFileSync(`${inside}/log`), "one\ntwo\nthree\n");
    refused(() => client.read(1, 0, 4), E.BADF);
  });
});

Deno.test("reads and writes are as large as msize allows, and what is written is what is read", () => {
  withShare(({ client }) => {
    client.walk(0, 1);
    client.create(1, "big");
    const data = Uint8Array.from({ length: 60_000 }, (_, i) => i * 7 + (i >> 8));
    for (let at = 0; at < 300_000; at += data.length) {
      assert.equal(client.write(1, at, data), data.length);
    }
    // size[4] type[1] tag[2] count[4] are the reply's own.
    assert.equal(client.read(1, 0, 0xffff_ffff).length, 65536 - 11);
    assertSameBytes(client.read(1, 60_000, 60_000), data);
    assert.equal(client.getattr(1).size, 300_000n);
  }, { msize: 65536 });
});

Deno.test("Treaddir goes through a large directory by offsets, each name once, '.' and '..' too", () => {
  withShare(({ client, inside }) => {
    const names = Array.from({ length: 700 }, (_, i) => `file-${i}-${"x".repeat(i % 120)}`);
    for (const name of names) Deno.writeTextFileSync(`${inside}/${name}`, "");
    Deno.mkdirSync(`${inside}/directory`);
    Deno.symlinkSync("nowhere", `${inside}/link`);
    client.walk(0, 1);
    client.open(1);
    const found = new Map<string, { type: number; path: bigint }>();
    for (let offset = 0n;;) {
      const entries = client.readdir(1, offset, 2000);
      if (entries.length === 0) break;
      for (const entry of entries) {
        assert.ok(!found.has(entry.name), entry.name);
        found.set(entry.name, entry);
      }
      offset = entries[entries.length - 1].next;
    }
    assert.deepEqual([...found.keys()].sort(), [...names, ".", "..", "directory", "link"].sort());
    const root = BigInt(Deno.statSync(inside).ino!);
    assert.equal(found.get(".")!.path, root);
    assert.equal(found.get("..")!.path, root, "what lies above the root is nobody's affair");
    assert.equal(found.get("directory")!.type, 0x80);
    assert.equal(found.get("link")!.type, 0x02);
    assert.equal(found.get(names[3])!.path, client.walk(0, 2, names[3])[0].path);
    refused(() => client.readdir(1, 0n, 20), E.INVAL);
    refused(() => client.read(1, 0, 100), E.ISDIR);
    refused(() => client.readdir(2, 0n, 2000), E.BADF);
  });
});

Deno.test("names need not be UTF-8", () => {
  withShare(({ client, inside }) => {
    // E9h is é in Latin-1 and nothing in UTF-8.
    const name = [...u16(5), 0x63, 0x61, 0x66, 0xe9, 0x21];
    client.ask(72, u32(0), name, u32(0o755), u32(0));
    client.walk(0, 1);
    client.open(1);
    const entry = client.readdir(1, 0n, 1000).find(({ name }) => name.startsWith("caf"))!;
    assert.equal(entry.name, "caf\xe9!");
    client.ask(110, u32(0), u32(2), u16(1), name);
    client.ask(76, u32(0), name, u32(0x200));
    assert.deepEqual([...Deno.readDirSync(inside)], []);
  });
});

Deno.test("directories, symbolic links, hard links, FIFOs and sockets are made", () => {
  withShare(({ client, inside }) => {
    client.mkdir(0, "d", 0o1777);
    assert.equal(Deno.statSync(`${inside}/d`).mode! & 0o7777, 0o1777);
    client.symlink(0, "l", "d/f");
    client.walk(0, 1, "l");
    assert.equal(client.readlink(1), "d/f");
    assert.equal(Deno.readLinkSync(`${inside}/l`), "d/f");
    client.walk(0, 2, "d");
    client.walk(2, 3);
    client.create(3, "f");
    client.link(0, 3, "hard");
    assert.equal(client.getattr(3).links, 2n);
    client.mknod(0, "fifo", 0o010600);
    assert.ok(Deno.lstatSync(`${inside}/fifo`).isFifo);
    client.mknod(0, "socket", 0o140600);
    assert.ok(Deno.lstatSync(`${inside}/socket`).isSocket);
    client.mknod(0, "plain", 0o100600);
    assert.ok(Deno.lstatSync(`${inside}/plain`).isFile);
    refused(() => client.mkdir(0, "d"), E.EXIST);
    refused(() => client.unlinkat(0, "d", 0x200), E.NOTEMPTY);
    refused(() => client.unlinkat(0, "d"), E.ISDIR);
    client.unlinkat(2, "f");
    client.unlinkat(0, "d", 0x200);
    refused(() => client.walk(0, 9, "d"), E.NOENT);
  });
});

Deno.test("fids follow what the guest renames, also below a renamed directory", () => {
  withShare(({ client, inside }) => {
    Deno.mkdirSync(`${inside}/a/b`, { recursive: true });
    Deno.mkdirSync(`${inside}/c`);
    Deno.writeTextFileSync(`${inside}/a/b/f`, "text");
    client.walk(0, 1, "a", "b", "f");
    client.walk(0, 2, "c");
    client.renameat(0, "a", 2, "moved");
    client.open(1);
    assert.equal(text(client.read(1, 0, 10)), "text");
    client.walk(0, 3, "c", "moved", "b");
    client.rename(3, 0, "b2");
    assert.equal(Deno.readTextFileSync(`${inside}/b2/f`), "text");
    client.setattr(3, 1, { mode: 0o700 });
    assert.equal(Deno.statSync(`${inside}/b2`).mode! & 0o777, 0o700);
    refused(() => client.rename(0, 2, "root"), 16);
    refused(() => client.renameat(0, "c", 2, "below-itself"), E.INVAL);
  });
});

Deno.test("what was replaced by a rename, or removed, is not taken for what has its name now", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/old`, "old");
    Deno.writeTextFileSync(`${inside}/new`, "new");
    client.walk(0, 1, "old");
    client.walk(0, 2, "new");
    client.renameat(0, "new", 0, "old");
    refused(() => client.open(1), E.STALE);
    client.open(2);
    assert.equal(text(client.read(2, 0, 10)), "new");
    client.unlinkat(0, "old");
    Deno.writeTextFileSync(`${inside}/old`, "third");
    // Open files go on without a name; others do not come back.
    assert.equal(text(client.read(2, 0, 10)), "new");
    assert.equal(client.getattr(2).links, 0n);
    refused(() => client.getattr(1), E.STALE);
  });
});

Deno.test("renaming one of two names of a file to the other leaves both (rename(2))", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/one`, "text");
    Deno.linkSync(`${inside}/one`, `${inside}/two`);
    client.walk(0, 1, "one");
    client.walk(0, 2, "two");
    client.renameat(0, "one", 0, "two");
    client.open(1);
    client.open(2);
    assert.equal(client.getattr(1).links, 2n);
  });
});

Deno.test("what the host replaces in place is another file: ESTALE, and the new one by walking", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/f`, "old");
    client.walk(0, 1, "f");
    Deno.writeTextFileSync(`${inside}/g`, "new");
    Deno.renameSync(`${inside}/g`, `${inside}/f`);
    refused(() => client.getattr(1), E.STALE);
    client.walk(0, 2, "f");
    client.open(2);
    assert.equal(text(client.read(2, 0, 10)), "new");
  });
});

Deno.test("Tsetattr: permissions, size, times given and times of now", () => {
  withShare(({ client, inside }) => {
    const path = `${inside}/f`;
    Deno.writeTextFileSync(path, "0123456789");
    client.walk(0, 1, "f");
    client.setattr(1, 1 | 8 | 0x10 | 0x20 | 0x80 | 0x100, {
      mode: 0o604,
      size: 4n,
      accessed: 1000n,
      modified: -2000n,
    });
    const { mode, size, mtime, atime } = Deno.statSync(path);
    assert.equal(mode! & 0o7777, 0o604);
    assert.equal(size, 4);
    assert.equal(atime!.getTime(), 1_000_000);
    // Nanoseconds, of which the client sends a few, round up to a millisecond here.
    assert.equal(Math.floor(mtime!.getTime() / 1000), -2000);
    client.setattr(1, 0x20);
    assert.ok(Deno.statSync(path).mtime!.getTime() > 0);
    assert.equal(Deno.statSync(path).atime!.getTime(), 1_000_000);
    client.symlink(0, "l", "f");
    client.walk(0, 2, "l");
    client.setattr(2, 0x20 | 0x100, { modified: 77n });
    assert.equal(Deno.lstatSync(`${inside}/l`).mtime!.getTime(), 77_000);
    assert.notEqual(Deno.statSync(path).mtime!.getTime(), 77_000, "the link, not the file");
    refused(() => client.setattr(1, 8, { size: 1n << 63n }), E.INVAL);
  });
});

Deno.test("Tstatfs and Tfsync answer, and Tflush finds nothing to cancel", () => {
  withShare(({ client }) => {
    const statfs = client.ask(8, u32(0));
    statfs.u32();
    assert.ok(statfs.u32() >= 512, "block size");
    assert.ok(statfs.u64() > 0n, "blocks");
    client.walk(0, 1);
    client.create(1, "f");
    client.write(1, 0, "x");
    client.ask(50, u32(1), u32(0));
    client.ask(50, u32(1), u32(1));
    client.ask(50, u32(1));
    client.ask(108, u16(0x1234));
    refused(() => client.ask(50, u32(0), u32(0)), E.BADF);
  });
});

Deno.test("Tlock keeps others of the share out, of a range and of the whole file", () => {
  const [READ, WRITE, NONE] = [0, 1, 2];
  const [SUCCESS, BLOCKED] = [0, 1];
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/f`, "0123456789");
    for (const fid of [1, 2]) {
      client.walk(0, fid, "f");
      client.open(fid, RDWR);
    }
    assert.equal(client.lock(1, WRITE, { start: 0, length: 5 }), SUCCESS);
    assert.equal(client.lock(2, READ, { start: 4, length: 2 }), BLOCKED);
    assert.equal(client.lock(2, READ, { start: 5, length: 2 }), SUCCESS);
    const asked = [u32(2), [WRITE], u64(2), u64(1), u32(9), str("vm")];
    const found = client.ask(54, ...asked);
    assert.deepEqual([found.u8(), found.u64(), found.u64()], [WRITE, 0n, 5n]);
    assert.equal(client.lock(1, NONE, { start: 0, length: 5 }), SUCCESS);
    assert.equal(client.ask(54, ...asked).u8(), NONE);
    assert.equal(client.lock(2, NONE), SUCCESS);

    // A file that is open for reading is locked whole, as flock(1) does it.
    client.walk(0, 3, "f");
    client.open(3, RDONLY);
    assert.equal(client.lock(3, WRITE), SUCCESS);
    const flock = new Deno.Command("flock", { args: ["-n", `${inside}/f`, "true"] });
    assert.equal(flock.outputSync().code, 1, "the host's flock(1) meets the guest's lock");
    assert.equal(client.lock(1, WRITE), BLOCKED);
    client.clunk(3);
    assert.equal(flock.outputSync().code, 0, "and its end");
    assert.equal(client.lock(1, WRITE), SUCCESS);
  });
});

Deno.test("fids and open files are bounded: ENFILE and EMFILE, and both come back", () => {
  withShare(({ client, inside }) => {
    Deno.writeTextFileSync(`${inside}/f`, "");
    for (let fid = 1; fid < 8; fid++) client.walk(0, fid, "f");
    refused(() => client.walk(0, 8, "f"), E.NFILE);
    for (let fid = 1; fid < 4; fid++) client.open(fid);
    refused(() => client.open(4), E.MFILE);
    client.clunk(1);
    client.open(4);
    client.walk(0, 8, "f");
    refused(() => client.open(4), E.BADF);
  }, { limits: { fids: 8, openFiles: 3 } });
});

Deno.test("read-only: all that would change anything is EROFS, and nothing is changed", () => {
  withShare(({ client, inside }) => {
    const path = `${inside}/f`;
    Deno.writeTextFileSync(path, "text");
    client.walk(0, 1, "f");
    for (
      const change of [
        () => client.open(1, RDWR),
        () => client.open(1, RDONLY | TRUNC),
        () => client.setattr(1, 1, { mode: 0 }),
        () => client.setattr(1, 8, { size: 0n }),
        () => client.setattr(1, 0x20),
        () => client.mkdir(0, "d"),
        () => client.mknod(0, "n", 0o100600),
        () => client.symlink(0, "l", "f"),
        () => client.link(0, 1, "h"),
        () => client.renameat(0, "f", 0, "g"),
        () => client.rename(1, 0, "g"),
        () => client.unlinkat(0, "f"),
        () => client.create(0, "c"),
        () => client.create(0, "f"),
      ]
    ) refused(change, E.ROFS);
    client.open(1);
    assert.equal(text(client.read(1, 0, 10)), "text");
    refused(() => client.write(1, 0, "x"), E.BADF);
    refused(() => client.setattr(1, 8, { size: 0n }), E.ROFS);
    assert.equal(client.lock(1, 1), 0);
    const flock = new Deno.Command("flock", { args: ["-n", path, "true"] });
    assert.equal(flock.outputSync().code, 0, "who may change nothing keeps nobody out");
    client.walk(0, 2, "f");
    refused(() => client.remove(2), E.ROFS);
    refused(() => client.clunk(2), E.BADF);
    assert.equal(Deno.readTextFileSync(path), "text");
  }, { readOnly: true });
});

Deno.test("messages that are too short, too long, cut off or not known are answered with an error", () => {
  withShare(({ client }) => {
    assert.equal(client.raw(new Uint8Array(6)).length, 0);
    assert.equal(client.server.serve(message(120, 1, u32(0)), new Uint8Array(10)), 0);
    const errnoOf = (bytes: Uint8Array) => {
      const reply = client.raw(bytes);
      assert.equal(reply.length, 11);
      assert.deepEqual([...reply.subarray(0, 7)], [11, 0, 0, 0, 7, bytes[5], bytes[6]]);
      return reply[7];
    };
    const clunk = message(120, 0x1234, u32(0));
    for (const size of [0, 6, 10, 12, 0xffff_ffff]) {
      const wrong = clunk.slice();
      new DataView(wrong.buffer).setUint32(0, size, true);
      assert.equal(errnoOf(wrong), E.PROTO, `size ${size}`);
    }
    for (const type of [0, 1, 6, 7, 13, 31, 33, 99, 102, 106, 112, 126, 255]) {
      assert.equal(errnoOf(message(type, 1, u32(0))), E.OPNOTSUPP, `type ${type}`);
    }
    // A name's length, a write's count, beyond the message.
    assert.equal(errnoOf(message(110, 1, u32(0), u32(5), u16(1), u16(100))), E.PROTO);
    assert.equal(errnoOf(message(118, 1, u32(0), u64(0), u32(0xffff_ffff))), E.BADF);
    client.walk(0, 1);
    client.create(1, "f");
    assert.equal(errnoOf(message(118, 1, u32(1), u64(0), u32(0xffff_ffff))), E.PROTO);
    assert.equal(errnoOf(message(116, 1, u32(1), u64(1n << 63n), u32(1))), E.INVAL);
    assert.equal(client.getattr(0).mode & 0o170000, 0o040000, "the session goes on");
  });
});

Deno.test("a message longer than msize is refused", () => {
  withShare(({ client }) => {
    client.walk(0, 1);
    client.create(1, "f");
    refused(() => client.write(1, 0, new Uint8Array(5000)), 90);
    assert.equal(client.write(1, 0, new Uint8Array(4000)), 4000);
  }, { msize: 4096 });
});

Deno.test("qids: another version when a file changes, and files on other devices never meet", () => {
  const attributes = {
    device: 5n,
    inode: 77n,
    mode: 0o100644,
    links: 1,
    uid: 0,
    gid: 0,
    major: 0,
    minor: 0,
    size: 10n,
    blockBytes: 4096,
    blocks: 8n,
    accessed: { seconds: 0n, nanoseconds: 0 },
    modified: { seconds: 1000n, nanoseconds: 5 },
    changed: { seconds: 0n, nanoseconds: 0 },
  };
  const qid = qidOf(attributes, 5n);
  assert.deepEqual({ type: qid.type, path: qid.path }, { type: 0, path: 77n });
  assert.deepEqual(qidOf(attributes, 5n), qid);
  const later = { ...attributes, modified: { seconds: 1000n, nanoseconds: 6 } };
  assert.notEqual(qidOf(later, 5n).version, qid.version);
  assert.notEqual(qidOf({ ...attributes, size: 11n }, 5n).version, qid.version);
  const paths = new Set(
    [0n, 1n, 5n, 6n, 0xfd00_0000n, 0xffff_ffff_ffffn].map((device) =>
      qidOf({ ...attributes, device }, 5n).path
    ),
  );
  assert.equal(paths.size, 6);
  assert.equal(qidOf({ ...attributes, mode: 0o040755 }, 5n).type, 0x80);
  assert.equal(qidOf({ ...attributes, mode: 0o120777 }, 5n).type, 0x02);
});

Deno.test("a place that would become its own ancestor, since the host moved directories, is gone", () => {
  const id = (inode: number) => ({ device: 1n, inode: BigInt(inode) });
  const root = Place.root(id(1));
  root.use();
  const a = root.child("a", id(2));
  a.use();
  const b = a.child("b", id(3));
  b.use();
  assert.equal(b.path, "a/b");
  root.renamed("a", b, "a");
  assert.throws(() => a.path, { errno: E.STALE });
  assert.throws(() => b.path, { errno: E.STALE });
});

Deno.test("places that no fid needs are forgotten, with what led to them", () => {
  const id = (inode: number) => ({ device: 1n, inode: BigInt(inode) });
  const root = Place.root(id(1));
  root.use();
  const a = root.child("a", id(2));
  const b = a.child("b", id(3));
  b.use();
  assert.equal(root.child("a", id(2)), a);
  b.release();
  assert.notEqual(root.child("a", id(2)), a);
});

Deno.test("another thread goes on with a session: fids, open files, locks, what is gone and all", () => {
  withShare(({ client, inside, tree }) => {
    Deno.mkdirSync(`${inside}/a/b`, { recursive: true });
    Deno.writeTextFileSync(`${inside}/a/b/f`, "0123456789");
    Deno.writeTextFileSync(`${inside}/gone`, "gone");
    client.version(9000);
    client.attach(0);
    client.walk(0, 1, "a", "b", "f");
    client.open(1, RDWR);
    assert.equal(client.lock(1, 1), 0);
    client.walk(0, 2, "a");
    client.walk(0, 3, "gone");
    client.open(3);
    client.walk(0, 4, "gone");
    client.unlinkat(0, "gone");

    const saved = structuredClone(client.server.save()!);
    assert.deepEqual(client.server.counts, { fids: 0, openFiles: 0 });
    refused(() => client.getattr(0), E.PROTO);
    const next = new Client(tree);
    next.server.restore(saved);
    assert.deepEqual(next.server.counts, { fids: 5, openFiles: 2 });
    assert.equal(text(next.read(1, 3, 4)), "3456");
    assert.equal(text(next.read(3, 0, 10)), "gone");
    refused(() => next.getattr(4), E.STALE);
    // The names are as connected as before.
    next.renameat(0, "a", 0, "renamed");
    next.walk(2, 5, "b", "f");
    next.walk(1, 6);
    assert.equal(next.getattr(6).size, 10n);
    // The lock is held, and held open by nobody else.
    const flock = new Deno.Command("flock", { args: ["-n", `${inside}/renamed/b/f`, "true"] });
    assert.equal(flock.outputSync().code, 1);
    next.clunk(1);
    assert.equal(flock.outputSync().code, 0);
    // What had been agreed on is.
    refused(() => next.ask(118, u32(3), u64(0), u32(9000), [...new Uint8Array(9000)]), 90);
    next.server.reset();
  });
});

Deno.test("a server without a client has nothing to save", () => {
  withShare(({ client, tree }) => {
    assert.equal(new Client(tree).server.save(), undefined);
    client.version(8192, "unknown");
    assert.equal(client.server.save(), undefined);
  });
});
