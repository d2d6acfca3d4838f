/** Images that lie, contradict themselves, or would show the guest what is not theirs. */

import assert from "node:assert/strict";
import { DiskError, type DiskErrorCode } from "../../../devices/disk/disk_image.ts";
import { type DiskOptions, openDisk } from "../../../devices/disk/open_disk.ts";
import { createQcow2, type NewQcow2 } from "../../../devices/disk/qcow2/create.ts";
import { Field } from "../../../devices/disk/qcow2/header.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import { HAS_QEMU_IMG, qemuCheck, qemuImg } from "../../support/guest/qemu_img.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { content, inDirectory } from "./conformance.ts";

const CLUSTER = 4096;

function create(path: string, options: Partial<NewQcow2> = {}): void {
  using file = FileHandle.open(path, { write: true, create: true, truncate: true });
  createQcow2(file, { sizeBytes: 1 << 20, clusterBytes: CLUSTER, ...options });
}

function refused(options: DiskOptions, code: DiskErrorCode, problem: RegExp): void {
  assert.throws(() => openDisk(options)[Symbol.dispose](), (error: DiskError) => {
    assert.equal(error.name, "DiskError", error.stack);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, problem);
    assert.ok(!error.message.includes("\n") && error.message.length < 500, error.message);
    return true;
  });
}

/** Changes numbers of a file, each of 4 or 8 bytes. */
function patch(path: string, ...changes: [at: number, bytes: 4 | 8, value: number | bigint][]) {
  using file = FileHandle.open(path, { write: true });
  for (const [at, bytes, value] of changes) {
    const view = new DataView(new ArrayBuffer(bytes));
    if (bytes === 4) view.setUint32(0, Number(value));
    else view.setBigUint64(0, BigInt(value));
    file.write(new Uint8Array(view.buffer), at);
  }
}

function number(path: string, at: number): number {
  using file = FileHandle.open(path);
  const view = new DataView(new ArrayBuffer(8));
  file.read(new Uint8Array(view.buffer), at);
  return Number(view.getBigUint64(0) & 0x00ff_ffff_ffff_fe00n);
}

Deno.test("a header with numbers that cannot be is refused, and says which", () => {
  const incompatible = (bit: number): [number, 4, number] => [
    Field.incompatible + (bit < 32 ? 4 : 0),
    4,
    2 ** (bit % 32),
  ];
  const cases: [DiskErrorCode, RegExp, ...Parameters<typeof patch>[1][]][] = [
    ["format", /version 1; 2 and 3/, [Field.version, 4, 1]],
    ["format", /version 4; 2 and 3/, [Field.version, 4, 4]],
    ["format", /clusters of 2\^8 bytes/, [Field.clusterBits, 4, 8]],
    ["format", /clusters of 2\^22 bytes/, [Field.clusterBits, 4, 22]],
    ["format", /clusters of 2\^4294967295/, [Field.clusterBits, 4, 0xffff_ffff]],
    ["format", /says that it has 4503599627370496 bytes.*cannot map/, [Field.size, 8, 2n ** 52n]],
    ["format", /its header has \d+ at byte 24/, [Field.size, 8, 2n ** 63n]],
    ["empty", /it is empty/, [Field.size, 8, 0]],
    ["format", /encrypted \(AES\)/, [Field.cryptMethod, 4, 1]],
    ["format", /encrypted \(LUKS\)/, [Field.cryptMethod, 4, 2]],
    ["format", /L1 table has 4294967295 entries/, [Field.l1Entries, 4, 0xffff_ffff]],
    ["format", /cannot map \(1 are needed\)/, [Field.l1Entries, 4, 0]],
    ["format", /L1 table is at byte 1000/, [Field.l1Position, 8, 1000]],
    ["format", /L1 table is beyond the end/, [Field.l1Position, 8, 2n ** 40n]],
    ["format", /refcount table is at byte 8/, [Field.refcountTablePosition, 8, 8]],
    ["format", /refcount table is beyond/, [Field.refcountTablePosition, 8, 2n ** 40n]],
    ["format", /4294967295 clusters/, [Field.refcountTableClusters, 4, 0xffff_ffff]],
    ["format", /4294967295 snapshots/, [Field.snapshots, 4, 0xffff_ffff]],
    ["format", /snapshot table is at byte 0/, [Field.snapshots, 4, 1]],
    ["format", /refcounts have 2\^7 bits/, [Field.refcountOrder, 4, 7]],
    ["format", /header says that it is 100 bytes/, [Field.headerLength, 4, 100]],
    ["format", /header says that it is 4294967288 bytes/, [Field.headerLength, 4, 0xffff_fff8]],
    ["format", /external data file/, incompatible(2)],
    ["format", /extended L2 entries/, incompatible(4)],
    ["format", /not supported: feature \(bit 5\)/, incompatible(5)],
    ["format", /not supported: feature \(bit 63\)/, incompatible(63)],
    ["format", /contradicts itself/, [Field.compressionType, 4, 1 << 24]],
    ["format", /compressed by method 2/, [Field.compressionType, 4, 2 << 24]],
    [
      "format",
      /name of its backing file has 2000 bytes/,
      [Field.backingOffset, 8, 500],
      [Field.backingLength, 4, 2000],
    ],
    [
      "format",
      /name of its backing file has 10 bytes at 4090/,
      [Field.backingOffset, 8, 4090],
      [Field.backingLength, 4, 10],
    ],
    ["corrupt", /marked as corrupt; repair it with hv disk check/, incompatible(1)],
  ];
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    for (const [code, problem, ...changes] of cases) {
      create(path);
      patch(path, ...changes);
      refused({ path }, code, problem);
    }
    create(path);
    patch(path, incompatible(1));
    openDisk({ path, readOnly: true })[Symbol.dispose]();
  });
});

Deno.test("an unknown feature is refused by the name that the image gives it", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    create(path);
    patch(path, [Field.incompatible + 4, 4, 1 << 9], [112, 4, 0x6803_f857], [116, 4, 48]);
    using file = FileHandle.open(path, { write: true });
    file.write(new Uint8Array([0, 9, ...new TextEncoder().encode("time\x1b[31mtravel")]), 120);
    refused({ path }, "format", /needs what is not supported: time\?\[31mtravel \(bit 9\)$/);
  });
});

Deno.test("an image cut off anywhere is refused, or what is lost is an error and never zeros", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    create(path);
    const original = content(1 << 20);
    {
      using image = openDisk({ path });
      image.write(0, original);
      image.flush();
    }
    const whole = Deno.readFileSync(path);
    for (let length = 0; length < whole.length; length += 7777) {
      Deno.writeFileSync(path, whole.subarray(0, length));
      let image;
      try {
        image = openDisk({ path, format: "qcow2" });
      } catch (error) {
        assert.equal((error as Error).name, "DiskError");
        continue;
      }
      const cluster = new Uint8Array(CLUSTER);
      for (let at = 0; at < original.length; at += CLUSTER) {
        try {
          image.read(at, cluster);
        } catch (error) {
          assert.equal((error as DiskError).code, "corrupt");
          continue;
        }
        // The last one may be there in part: as QEMU, its rest is zeros.
        const end = cluster.findLastIndex((byte) => byte !== 0) + 1;
        assertSameBytes(cluster.subarray(0, end), original.slice(at, at + end));
      }
      image[Symbol.dispose]();
    }
  });
});

Deno.test("tables that are mapped as data are never written by the guest, and the image is marked", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    const tables = [
      ["the header", () => 0x1000_0000],
      ["L1", (file: string) => number(file, Field.l1Position)],
      ["the refcount table", (file: string) => number(file, Field.refcountTablePosition)],
      [
        "a block of refcounts",
        (file: string) => number(file, number(file, Field.refcountTablePosition)),
      ],
      ["its own L2 table", (file: string) => number(file, number(file, Field.l1Position))],
    ] as const;
    for (const [what, find] of tables) {
      create(path);
      {
        using image = openDisk({ path });
        image.write(0, new Uint8Array(4 * CLUSTER).fill(7));
        image.flush();
      }
      const target = what === "the header" ? 0 : find(path);
      const l2 = number(path, number(path, Field.l1Position));
      // Byte 0 means "nothing": of the header only the cluster of a stream can be named.
      const entry = what === "the header"
        ? 0x4000_0000_0000_0001n
        : 0x8000_0000_0000_0000n | BigInt(target);
      patch(path, [l2 + 8, 8, entry]);
      const before = Deno.readFileSync(path).slice(target + 512, target + CLUSTER);
      {
        using image = openDisk({ path });
        const write = () => image.write(CLUSTER, new Uint8Array(CLUSTER).fill(0xff));
        assert.throws(write, /is corrupt: cluster \d+ is mapped as data and holds a table/, what);
        assert.throws(() => image.flush(), /is corrupt/, what);
        assert.throws(() => image.write(0, new Uint8Array(512)), /is corrupt/);
        assert.equal(image.extent?.(0, 512, false)?.length, 512, "reading goes on");
      }
      const after = Deno.readFileSync(path).slice(target + 512, target + CLUSTER);
      assertSameBytes(after, before, what);
      refused({ path }, "corrupt", /marked as corrupt/);
    }
  });
});

Deno.test("tables that the refcounts say are free are never given to a guest", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    create(path);
    {
      using image = openDisk({ path });
      image.write(0, new Uint8Array(CLUSTER).fill(7));
      image.flush();
    }
    const block = number(path, number(path, Field.refcountTablePosition));
    const before = Deno.readFileSync(path);
    patch(path, [block, 8, 0], [block + 8, 8, 0]);
    {
      using image = openDisk({ path });
      const write = () => image.write(1 << 19, new Uint8Array(CLUSTER).fill(0xff));
      assert.throws(write, /cluster 0 holds a table and has a refcount of 0/);
    }
    assertSameBytes(
      Deno.readFileSync(path).subarray(CLUSTER, 2 * CLUSTER),
      before.slice(CLUSTER, 2 * CLUSTER),
    );
  });
});

Deno.test("entries that lead out of the file are errors where they are, and nowhere else", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    for (const entry of [0x8000_0100_0000_0000n, 0x8000_0000_0000_1200n, 0x40ff_ffff_ffff_ffffn]) {
      create(path);
      {
        using image = openDisk({ path });
        image.write(0, new Uint8Array(8 * CLUSTER).fill(7));
        image.flush();
      }
      patch(path, [number(path, number(path, Field.l1Position)) + 3 * 8, 8, entry]);
      using image = openDisk({ path, readOnly: true });
      const cluster = new Uint8Array(CLUSTER);
      assert.throws(() => image.read(3 * CLUSTER, cluster), { name: "DiskError", code: "corrupt" });
      image.read(5 * CLUSTER, cluster);
      assert.ok(cluster.every((byte) => byte === 7));
    }
    create(path);
    patch(path, [number(path, Field.l1Position), 8, 0x8000_0100_0000_0000n]);
    // The position of L1, whose first entry this is, stays what it was.
    using image = openDisk({ path, readOnly: true });
    assert.throws(() => image.read(0, new Uint8Array(512)), /an L2 table is at byte/);
  });
});

Deno.test("a bomb of a compressed cluster is an error, not memory", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    create(path);
    {
      using image = openDisk({ path });
      image.write(0, new Uint8Array(2 * CLUSTER).fill(7));
      image.flush();
    }
    const l2 = number(path, number(path, Field.l1Position));
    const data = number(path, l2);
    // Raw deflate of many zeros: a stored stream cannot be as short, so of fixed codes (RFC 1951, 3.2.6).
    patch(path, [data, 4, 0xedc1_0101], [data + 4, 4, 0x0000_0080]);
    const sectors = 7n << 58n;
    patch(path, [l2, 8, 0x4000_0000_0000_0000n | sectors | BigInt(data)]);
    using image = openDisk({ path, readOnly: true });
    assert.throws(() => image.read(0, new Uint8Array(512)), /cannot be unpacked/);
  });
});

Deno.test("a backing file that is missing, itself, in a circle or no image is refused by name", () => {
  inDirectory((directory) => {
    const at = (name: string) => `${directory}/${name}`;
    const over = (name: string, file: string, format = "qcow2") =>
      create(at(name), { backing: { file, format } });
    over("a.qcow2", "gone.img");
    refused({ path: at("a.qcow2") }, "backing", /backing file gone\.img is not there/);
    over("a.qcow2", "a.qcow2");
    refused({ path: at("a.qcow2") }, "backing", /behind itself/);
    over("a.qcow2", "b.qcow2");
    over("b.qcow2", "c.qcow2");
    over("c.qcow2", "a.qcow2");
    refused({ path: at("a.qcow2") }, "backing", /go in a circle/);
    Deno.linkSync(at("b.qcow2"), at("d.qcow2"));
    over("c.qcow2", "d.qcow2");
    refused({ path: at("a.qcow2") }, "backing", /go in a circle/);
    over("a.qcow2", ".", "raw");
    refused({ path: at("a.qcow2") }, "backing", /outside of the image's folder|is a directory/);
    Deno.mkdirSync(at("folder"));
    over("a.qcow2", "folder", "raw");
    refused(
      { path: at("a.qcow2") },
      "backing",
      /backing file folder cannot be used: it is a directory/,
    );
    over("a.qcow2", "b.img", "vdi");
    refused({ path: at("a.qcow2") }, "backing", /of format "vdi", which is not supported/);
    for (const name of ["nbd:host:10809", "json:{}", "http://example.org/x", "ssh://host/x"]) {
      over("a.qcow2", name, "raw");
      refused({ path: at("a.qcow2") }, "backing", /is no file, and nothing else is supported/);
    }
    Deno.writeFileSync(at("base.img"), content(1 << 20));
    for (let i = 0; i < 70; i++) {
      over(`${i}.qcow2`, i === 0 ? "base.img" : `${i - 1}.qcow2`, i === 0 ? "raw" : "qcow2");
    }
    refused({ path: at("69.qcow2") }, "backing", /more than 64 images/);
    using image = openDisk({ path: at("60.qcow2") });
    const bytes = new Uint8Array(1 << 20);
    image.read(0, bytes);
    assertSameBytes(bytes, content(1 << 20));
  });
});

Deno.test("a backing file outside of the image's folder is refused, unless its folder is allowed", () => {
  inDirectory((directory) => {
    const secret = `${directory}/secret`;
    Deno.writeFileSync(secret, content(65536));
    const folder = `${directory}/images`;
    Deno.mkdirSync(`${folder}/below`, { recursive: true });
    const path = `${folder}/a.qcow2`;
    Deno.symlinkSync(secret, `${folder}/innocent`);
    for (const file of [secret, "../secret", "below/../../secret", "innocent", `file:${secret}`]) {
      create(path, { backing: { file, format: "raw" } });
      refused({ path }, "backing", /outside of the image's folder.*allow it with backing=/);
      openDisk({ path, backingFolder: directory })[Symbol.dispose]();
    }
    // A chain does not lead out of it either, and one that stays in is fine.
    create(`${folder}/below/b.qcow2`, { backing: { file: secret, format: "raw" } });
    create(path, { backing: { file: "below/b.qcow2", format: "qcow2" } });
    refused({ path }, "backing", /b\.qcow2.*secret is outside/);
    Deno.copyFileSync(secret, `${folder}/base.img`);
    create(`${folder}/below/b.qcow2`, { backing: { file: "../base.img", format: "raw" } });
    openDisk({ path })[Symbol.dispose]();
    // By a link from elsewhere it is still the same image.
    Deno.symlinkSync(`${folder}/base.qcow2`, `${directory}/link.qcow2`);
    create(`${folder}/base.qcow2`, { backing: { file: `${folder}/base.img`, format: "raw" } });
    openDisk({ path: `${directory}/link.qcow2` })[Symbol.dispose]();
  });
});

Deno.test("a backing file that a machine writes to cannot be behind an image, and the other way", () => {
  inDirectory((directory) => {
    const base = `${directory}/base.img`;
    Deno.writeFileSync(base, new Uint8Array(1 << 20));
    const path = `${directory}/a.qcow2`;
    create(path, { backing: { file: "base.img", format: "raw" } });
    {
      using _writer = openDisk({ path: base });
      refused({ path }, "backing", /base\.img cannot be used: .* writes to it/);
    }
    using _first = openDisk({ path });
    refused({ path: base }, "in use", /has it open/);
    refused({ path }, "in use", /has it open/);
  });
});

Deno.test("overlay=FILE keeps what is written, and is of one image only", () => {
  inDirectory((directory) => {
    const path = `${directory}/base.img`;
    const original = content(1 << 20);
    Deno.writeFileSync(path, original);
    Deno.mkdirSync(`${directory}/other`);
    const overlay = `${directory}/other/overlay.qcow2`;
    for (const value of [1, 2]) {
      using image = openDisk({ path, overlay });
      const bytes = new Uint8Array(512);
      image.read(4096, bytes);
      if (value === 1) assertSameBytes(bytes, original.slice(4096, 4608));
      else assert.ok(bytes.every((byte) => byte === 1), "what was written the last time");
      image.write(4096, bytes.fill(value));
      image.flush();
    }
    assertSameBytes(Deno.readFileSync(path), original);
    Deno.writeFileSync(`${directory}/b.img`, original);
    refused(
      { path: `${directory}/b.img`, overlay },
      "backing",
      /an overlay of .*base\.img, not of/,
    );
    refused({ path, overlay: path }, "backing", /behind itself/);
    refused({ path, overlay: `${directory}/b.img` }, "format", /does not begin with the header/);
    refused({ path, overlay: `${directory}/no/x.qcow2` }, "missing", /there is no such directory$/);
    if (HAS_QEMU_IMG) {
      qemuCheck(overlay);
      assert.match(qemuImg("info", overlay), /backing file format: raw/);
    }
  });
});

Deno.test("tables of the largest size cost little memory until they are used", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.qcow2`;
    // 2 PiB: the largest L1 table that there may be.
    create(path, { sizeBytes: 2 ** 51, clusterBytes: 65536 });
    const before = Deno.memoryUsage();
    using image = openDisk({ path });
    const sector = new Uint8Array(512).fill(9);
    const step = 2 ** 51 / 3000;
    for (let i = 0; i < 3000; i++) image.write(Math.floor(i * step / 512) * 512, sector);
    for (let i = 0; i < 3000; i++) {
      image.read(Math.floor(i * step / 512) * 512, sector);
      assert.equal(sector[0], 9);
    }
    const { rss } = Deno.memoryUsage();
    assert.ok(rss - before.rss < 300 << 20, `${(rss - before.rss) >> 20} MiB`);
  });
});
