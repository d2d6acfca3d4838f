/** Checking, mending and resizing qcow2 images, with qemu-img as the judge. */

import assert from "node:assert/strict";
import { openDisk } from "../../../../devices/disk/open_disk.ts";
import { checkQcow2, repairQcow2 } from "../../../../devices/disk/qcow2/check.ts";
import { readHeader } from "../../../../devices/disk/qcow2/header.ts";
import { resizeQcow2 } from "../../../../devices/disk/qcow2/resize.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import {
  HAS_QEMU_IMG,
  qemuCheck,
  qemuImg,
  qemuRead,
  tool,
} from "../../../support/guest/qemu_img.ts";
import { seeded } from "../../../support/random.ts";
import { assertSameBytes } from "../../../support/same_bytes.ts";
import { content, inDirectory } from "../conformance.ts";

const CLUSTER = 4096;

/** An image of 1 MiB with data, zeros, compressed clusters and a snapshot. */
function image(directory: string, options = "cluster_size=4096"): string {
  const path = `${directory}/disk.qcow2`;
  const raw = `${directory}/content.raw`;
  const bytes = content(1 << 20);
  bytes.fill(0, 100_000, 200_000);
  Deno.writeFileSync(raw, bytes);
  qemuImg("convert", "-c", "-O", "qcow2", "-o", options, raw, path);
  const io = ["-c", "write -P 7 0 300k", "-c", "write -z 500k 64k"];
  assert.equal(tool("qemu-io", [...io, path]).code, 0);
  qemuImg("snapshot", "-c", "before", path);
  assert.equal(tool("qemu-io", ["-c", "write -P 9 100k 50k", path]).code, 0);
  return path;
}

/** Runs `body` on the open file. */
function on<T>(path: string, body: (file: FileHandle) => T): T {
  using file = FileHandle.open(path, { write: true });
  return body(file);
}

/** Position of the entry of the active L2 table for a cluster of the disk. */
function entryOf(file: FileHandle, cluster: number): number {
  const view = new DataView(new ArrayBuffer(8));
  const { l1Position } = readHeader(file);
  const index = Math.floor(cluster / (CLUSTER / 8));
  file.read(new Uint8Array(view.buffer), l1Position + index * 8);
  return Number(view.getBigUint64(0) & 0x00ff_ffff_ffff_fe00n) + cluster % (CLUSTER / 8) * 8;
}

function qemuReport(path: string) {
  const { text } = tool("qemu-img", ["check", "--output=json", path]);
  const report = JSON.parse(/^\{.*?^\}/ms.exec(text)![0]);
  return { leaks: report.leaks ?? 0, errors: report.corruptions ?? 0 };
}

/** Ways to break an image; where QEMU can, it does it. */
const BREAKS: readonly [what: string, body: (file: FileHandle) => void][] = [
  ["refcounts that are all zero", (file) => {
    const { refcountTablePosition } = readHeader(file);
    const view = new DataView(new ArrayBuffer(8));
    file.read(new Uint8Array(view.buffer), refcountTablePosition);
    file.write(new Uint8Array(CLUSTER), Number(view.getBigUint64(0)));
  }],
  ["refcounts that are all one", (file) => {
    const { refcountTablePosition } = readHeader(file);
    const view = new DataView(new ArrayBuffer(8));
    file.read(new Uint8Array(view.buffer), refcountTablePosition);
    const ones = new Uint8Array(CLUSTER).map((_, i) => i & 1);
    file.write(ones, Number(view.getBigUint64(0)));
  }],
  ["a table of refcounts that names nothing", (file) => {
    file.write(new Uint8Array(CLUSTER), readHeader(file).refcountTablePosition);
  }],
  ["a block of refcounts in the middle of nowhere", (file) => {
    const entry = new Uint8Array([0, 0, 0, 1, 2, 3, 4, 0]);
    file.write(entry, readHeader(file).refcountTablePosition);
  }],
  ["a cluster that two places of the disk have", (file) => {
    const entry = new Uint8Array(8);
    file.read(entry, entryOf(file, 3));
    file.write(entry, entryOf(file, 5));
  }],
  ["marks of use that are missing", (file) => {
    for (const cluster of [25, 26, 27]) {
      const at = entryOf(file, cluster);
      const byte = new Uint8Array(1);
      file.read(byte, at);
      file.write(byte.map((b) => b & 0x7f), at);
    }
  }],
  ["clusters that nobody has", (file) => {
    file.write(new Uint8Array(8), entryOf(file, 30));
    file.write(new Uint8Array(8), entryOf(file, 31));
  }],
];

if (HAS_QEMU_IMG) {
  Deno.test("check: a good image has no errors and no leaks, as for qemu-img", () => {
    inDirectory((directory) => {
      for (const bits of [1, 2, 8, 16, 32, 64]) {
        const options = `cluster_size=4096,refcount_bits=${bits}`;
        const path = bits < 8 ? `${directory}/small.qcow2` : image(directory, options);
        if (bits < 8) qemuImg("create", "-f", "qcow2", "-o", options, path, "1M");
        const report = on(path, checkQcow2);
        assert.deepEqual([report.errors, report.leaks], [[], 0], `${bits} bits`);
        assert.equal(report.totalClusters, 256);
      }
      const report = on(image(directory), checkQcow2);
      const qemu = JSON.parse(qemuImg("check", "--output=json", `${directory}/disk.qcow2`));
      assert.equal(report.dataClusters, qemu["allocated-clusters"]);
      assert.equal(report.compressedClusters, qemu["compressed-clusters"]);
    });
  });

  for (const [what, breakIt] of BREAKS) {
    Deno.test(`check: ${what}: found as by qemu-img, mended so that it finds nothing`, () => {
      inDirectory((directory) => {
        const path = image(directory);
        on(path, breakIt);
        const qemu = qemuReport(path);
        const report = on(path, checkQcow2);
        assert.equal(report.errorCount > 0, qemu.errors > 0, report.errors.join("\n"));
        if (qemu.errors === 0) assert.equal(report.leaks, qemu.leaks);
        assert.ok(report.errorCount + report.leaks > 0);
        const before = on(path, () => readAll(path));
        on(path, repairQcow2);
        qemuCheck(path);
        const after = on(path, checkQcow2);
        assert.deepEqual([after.errors, after.leaks], [[], 0]);
        assertSameBytes(readAll(path), before, "what the guest sees");
        qemuImg("snapshot", "-a", "before", path);
        qemuCheck(path);
      });
    });
  }

  Deno.test("check: random damage never ends in anything but a report or a DiskError", () => {
    seeded((random) =>
      inDirectory((directory) => {
        const good = Deno.readFileSync(image(directory));
        const path = `${directory}/bad.qcow2`;
        for (let i = 0; i < 60; i++) {
          const bytes = good.slice(0, random.chance(10) ? random.below(good.length) : undefined);
          for (let n = 1 + random.below(8); n > 0; n--) {
            // Header and tables are at the beginning; some of it elsewhere.
            const at = random.below(random.pick([112, 4 * CLUSTER, bytes.length]));
            if (at < bytes.length) {
              bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
            }
          }
          Deno.writeFileSync(path, bytes);
          try {
            const before = on(path, checkQcow2);
            on(path, repairQcow2);
            // 1: QEMU does not open it; 2 and 3: it finds something.
            const { code, text } = tool("qemu-img", ["check", path]);
            assert.ok(before.unmendable > 0 || code === 0 || code === 1, text);
          } catch (error) {
            assert.equal((error as Error).name, "DiskError", (error as Error).stack);
          }
          try {
            using disk = openDisk({ path });
            const buffer = new Uint8Array(65536);
            const end = Math.min(disk.sizeBytes, 2 << 20);
            for (let offset = 0; offset + buffer.length <= end; offset += buffer.length) {
              try {
                disk.read(offset, buffer);
                disk.write(offset, buffer);
                disk.discard(offset, 8192);
                disk.flush();
              } catch (error) {
                assert.equal((error as Error).name, "DiskError", (error as Error).stack);
              }
            }
          } catch (error) {
            assert.equal((error as Error).name, "DiskError", (error as Error).stack);
          }
          assert.ok(
            Deno.statSync(path).size < 64 << 20,
            "nothing makes the file grow without bound",
          );
        }
      })
    );
  });

  Deno.test("an image with lazy refcounts that was not closed is mended when it is opened to write", () => {
    inDirectory((directory) => {
      const path = `${directory}/disk.qcow2`;
      qemuImg("create", "-f", "qcow2", "-o", "lazy_refcounts=on", path, "4M");
      tool("qemu-io", ["-c", "write -P 5 64k 1M", "-c", "flush", "-c", "abort", path]);
      assert.ok(on(path, checkQcow2).isDirty, "QEMU has left it as a crash does");
      {
        using reader = openDisk({ path, readOnly: true });
        reader.read(0, new Uint8Array(512));
      }
      {
        using disk = openDisk({ path });
        const bytes = new Uint8Array(1 << 20);
        disk.read(64 << 10, bytes);
        assert.ok(bytes.every((byte) => byte === 5));
        disk.write(3 << 20, new Uint8Array(65536).fill(6));
        disk.flush();
      }
      qemuCheck(path);
      const report = on(path, checkQcow2);
      assert.deepEqual([report.isDirty, report.errors, report.leaks], [false, [], 0]);
      assert.equal(qemuRead(path, directory)[3 << 20], 6);
    });
  });

  Deno.test("resize: a disk grows within its L1 table, and beyond it, and keeps what it has", () => {
    inDirectory((directory) => {
      for (const clusterSize of ["512", "4096", "65536"]) {
        const path = image(directory, `cluster_size=${clusterSize}`);
        const before = readAll(path);
        for (const sizeBytes of [(1 << 20) + 512, 40 << 20, 2 ** 33]) {
          on(path, (file) => resizeQcow2(file, sizeBytes));
          qemuCheck(path);
          const info = JSON.parse(qemuImg("info", "--output=json", path));
          assert.equal(info["virtual-size"], sizeBytes);
          using disk = openDisk({ path });
          const bytes = new Uint8Array(before.length);
          disk.read(0, bytes);
          assertSameBytes(bytes, before);
          const end = new Uint8Array(512).fill(0xab);
          disk.write(sizeBytes - 512, end);
          disk.flush();
        }
        qemuCheck(path);
      }
      const path = image(directory, "cluster_size=512");
      assert.throws(() => on(path, (file) => resizeQcow2(file, 2 ** 45)), /cannot be so large/);
    });
  });
}

function readAll(path: string): Uint8Array {
  using disk = openDisk({ path, readOnly: true });
  const bytes = new Uint8Array(disk.sizeBytes);
  disk.read(0, bytes);
  return bytes;
}
