/** qcow2 against QEMU's own implementation, both ways. */

import assert from "node:assert/strict";
import { openDisk } from "../../../../devices/disk/open_disk.ts";
import { createQcow2 } from "../../../../devices/disk/qcow2/create.ts";
import { writeCompressed } from "../../../../devices/disk/qcow2/write_compressed.ts";
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
import { content, DiskModel, imageConformance, inDirectory, randomStep } from "../conformance.ts";
import { slowTest } from "../../../support/quick.ts";

const at = (directory: string) => `${directory}/disk.qcow2`;

/** Images that qemu-img makes: its options, and what is behind them. */
const KINDS: readonly { options: string; backing?: "raw" | "qcow2"; readOnly?: boolean }[] = [
  { options: "compat=1.1" },
  { options: "compat=0.10" },
  { options: "compat=1.1,cluster_size=512" },
  { options: "compat=1.1,cluster_size=512,refcount_bits=64" },
  { options: "compat=1.1,cluster_size=4096,refcount_bits=1" },
  { options: "compat=1.1,cluster_size=2M,refcount_bits=8" },
  { options: "compat=1.1,lazy_refcounts=on,refcount_bits=2" },
  { options: "compat=1.1,cluster_size=8192,refcount_bits=4" },
  { options: "compat=1.1,refcount_bits=32", readOnly: true },
  { options: "compat=1.1", backing: "raw" },
  { options: "compat=1.1,cluster_size=1024", backing: "qcow2" },
  { options: "compat=0.10,cluster_size=4096", backing: "raw" },
];

/** Makes the image of a kind with `bytes` in it. */
function make(directory: string, bytes: Uint8Array, kind: typeof KINDS[number]): void {
  const raw = `${directory}/content.raw`;
  Deno.writeFileSync(raw, bytes);
  if (kind.backing === undefined) {
    qemuImg("convert", "-O", "qcow2", "-o", kind.options, raw, at(directory));
    return;
  }
  const base = `base.${kind.backing}`;
  qemuImg("convert", "-O", kind.backing, raw, `${directory}/${base}`);
  const size = Math.ceil(bytes.length / 512) * 512;
  const behind = ["-b", base, "-F", kind.backing];
  qemuImg("create", "-f", "qcow2", "-o", kind.options, ...behind, at(directory), `${size}`);
}

if (HAS_QEMU_IMG) {
  for (const kind of KINDS) {
    const behind = kind.backing === undefined ? "" : ` over ${kind.backing}`;
    const { readOnly = false } = kind;
    imageConformance({
      name: `qcow2 ${kind.options}${behind}${readOnly ? " read-only" : ""}`,
      open(directory, bytes) {
        make(directory, bytes, kind);
        return openDisk({ path: at(directory), readOnly });
      },
      reopen: (directory) => openDisk({ path: at(directory), readOnly }),
      verify(directory, model) {
        if (readOnly) return;
        qemuCheck(at(directory));
        model.agrees(qemuRead(at(directory), directory), "as QEMU reads it");
      },
      coarse: kind.options.includes("2M"),
    });
  }

  for (const compression of ["zlib", "zstd"] as const) {
    Deno.test(`qcow2: clusters that QEMU has compressed by ${compression} are read, and written over`, () => {
      seeded((random) =>
        inDirectory((directory) => {
          const original = content(40 * 65536);
          // What does not shrink is stored as it is.
          for (let i = 0; i < 3 * 65536; i++) original[i] = random.below(256);
          const raw = `${directory}/content.raw`;
          Deno.writeFileSync(raw, original);
          const options = ["-c", "-o", `compression_type=${compression}`];
          qemuImg("convert", "-O", "qcow2", ...options, raw, at(directory));
          const model = new DiskModel(original.length, original);
          {
            using image = openDisk({ path: at(directory) });
            const all = new Uint8Array(original.length);
            image.read(0, all);
            assertSameBytes(all, original);
            for (let i = 0; i < 60; i++) randomStep(random, image, model, `step ${i}`);
            image.flush();
          }
          qemuCheck(at(directory));
          model.agrees(qemuRead(at(directory), directory));
        })
      );
    });
  }

  slowTest(
    "qcow2: clusters that hv compresses are read by QEMU and by itself, of every geometry",
    () => {
      seeded((random) =>
        inDirectory((directory) => {
          // Of everything: zeros, what shrinks, what does not, an end within a cluster.
          const original = content((3 << 20) + 512 * 5);
          original.fill(0, 1 << 20, (1 << 20) + 300_000);
          for (let i = 0; i < 400_000; i++) original[i] = random.below(256);
          const raw = `${directory}/content.raw`;
          Deno.writeFileSync(raw, original);
          for (const clusterBytes of [512, 4096, 65536, 2 << 20]) {
            for (const compression of ["zlib", "zstd"] as const) {
              {
                using from = openDisk({ path: raw, readOnly: true });
                const options = { write: true, create: true, truncate: true };
                using file = FileHandle.open(at(directory), options);
                const { sizeBytes } = from;
                createQcow2(file, { sizeBytes, clusterBytes, refcountBits: 16, compression });
                for (const _ of writeCompressed(file, from));
              }
              qemuCheck(at(directory));
              assertSameBytes(qemuRead(at(directory), directory), original);
              using image = openDisk({ path: at(directory) });
              const model = new DiskModel(original.length, original);
              for (let i = 0; i < 20; i++) randomStep(random, image, model, `step ${i}`);
              image.flush();
              image[Symbol.dispose]();
              qemuCheck(at(directory));
              model.agrees(qemuRead(at(directory), directory));
            }
          }
        })
      );
    },
  );

  Deno.test("qcow2: an image that hv and QEMU write by turns holds what both have written", () => {
    seeded((random) =>
      inDirectory((directory) => {
        const original = content(2 << 20);
        const kind = random.pick(KINDS.filter(({ readOnly }) => !readOnly));
        make(directory, original, kind);
        const model = new DiskModel(original.length, original);
        for (let turn = 0; turn < 6; turn++) {
          {
            using image = openDisk({ path: at(directory) });
            for (let i = 0; i < 40; i++) randomStep(random, image, model, `step ${i}`);
            image.flush();
          }
          const commands: string[] = [];
          for (let i = 0; i < 20; i++) {
            const length = 512 * (1 + random.below(300));
            const offset = 512 * random.below((original.length - length) / 512);
            const pattern = random.below(256);
            const zero = random.chance(25);
            const how = zero ? `-z${random.chance(50) ? " -u" : ""}` : `-P ${pattern}`;
            commands.push("-c", `write ${how} ${offset} ${length}`);
            model.write(offset, new Uint8Array(length).fill(zero ? 0 : pattern));
          }
          const { code, text } = tool("qemu-io", ["-d", "unmap", ...commands, at(directory)]);
          assert.equal(code, 0, text);
          qemuCheck(at(directory));
          model.agrees(qemuRead(at(directory), directory), `turn ${turn}`);
        }
      })
    );
  });

  Deno.test("qcow2: an internal snapshot stays what it was while the disk is written", () => {
    seeded((random) =>
      inDirectory((directory) => {
        const original = content(6 * 65536);
        make(directory, original, { options: "compat=1.1,cluster_size=4096" });
        qemuImg("snapshot", "-c", "before", at(directory));
        const model = new DiskModel(original.length, original);
        {
          using image = openDisk({ path: at(directory) });
          for (let i = 0; i < 100; i++) randomStep(random, image, model, `step ${i}`);
          image.flush();
        }
        qemuCheck(at(directory));
        model.agrees(qemuRead(at(directory), directory));
        qemuImg("snapshot", "-a", "before", at(directory));
        qemuCheck(at(directory));
        assertSameBytes(qemuRead(at(directory), directory), original);
        // And what was shared is the image's own again.
        qemuImg("snapshot", "-d", "before", at(directory));
        qemuCheck(at(directory));
      })
    );
  });

  Deno.test("qcow2: a new image is one that QEMU finds nothing wrong with, of every geometry", () => {
    inDirectory((directory) => {
      for (const clusterBytes of [512, 4096, 65536, 2 << 20]) {
        for (const refcountBits of [1, 2, 4, 8, 16, 32, 64]) {
          const path = `${directory}/${clusterBytes}-${refcountBits}.qcow2`;
          const sizeBytes = clusterBytes * 4000 + 512;
          {
            using file = FileHandle.open(path, { write: true, create: true, exclusive: true });
            createQcow2(file, { sizeBytes, clusterBytes, refcountBits });
          }
          qemuCheck(path);
          const info = JSON.parse(qemuImg("info", "--output=json", path));
          assert.equal(info["virtual-size"], sizeBytes);
          assert.equal(info["cluster-size"], clusterBytes);
          assert.equal(info["format-specific"].data["refcount-bits"], refcountBits);
          const pattern = new Uint8Array(3 * clusterBytes + 1000).fill(0x5a);
          {
            using image = openDisk({ path });
            image.write(clusterBytes * 3999, pattern.subarray(0, clusterBytes + 512));
            image.write(700, pattern);
            image.flush();
          }
          qemuCheck(path);
          const read = ["-c", `read -P 0x5a 700 ${pattern.length}`, "-c", "read -P 0 0 700"];
          const { code, text } = tool("qemu-io", [...read, path]);
          assert.ok(code === 0 && !/failed/.test(text), text);
        }
      }
    });
  });

  Deno.test("qcow2: the table of refcounts grows with the file", () => {
    inDirectory((directory) => {
      const path = at(directory);
      {
        using file = FileHandle.open(path, { write: true, create: true });
        // A table of one cluster counts 2 MiB of file.
        createQcow2(file, { sizeBytes: 64 << 20, clusterBytes: 512, refcountBits: 64 });
      }
      const model = new DiskModel(9 << 20);
      {
        using image = openDisk({ path });
        const data = new Uint8Array(100_000);
        for (let offset = 0; offset + data.length < 9 << 20; offset += data.length) {
          data.fill(offset / data.length + 1);
          image.write(offset, data);
          model.write(offset, data);
        }
        image.flush();
      }
      qemuCheck(path);
      model.agrees(qemuRead(path, directory).subarray(0, 9 << 20));
    });
  });

  Deno.test("qcow2: discarded clusters give their room back to the host's file system", () => {
    inDirectory((directory) => {
      make(directory, content(64 * 65536), { options: "compat=1.1" });
      const blocks = () => Deno.statSync(at(directory)).blocks!;
      const before = blocks();
      using image = openDisk({ path: at(directory) });
      image.discard(0, 48 * 65536);
      assert.ok(blocks() > before / 2, "not before the map on the medium has let them go");
      image.flush();
      if (blocks() === before) return console.log("skipped: the file system has no holes");
      assert.ok(blocks() < before / 2);
      // And they are used again.
      const size = Deno.statSync(at(directory)).size;
      image.write(0, content(40 * 65536));
      image.flush();
      assert.equal(Deno.statSync(at(directory)).size, size);
      image[Symbol.dispose]();
      qemuCheck(at(directory));
    });
  });

  Deno.test("qcow2: a chain of images, each smaller than the one on it, is read through", () => {
    inDirectory((directory) => {
      const original = content(2 * 65536);
      Deno.writeFileSync(`${directory}/0.raw`, original);
      const chain = ["-f", "qcow2", "-F"];
      qemuImg("create", ...chain, "raw", "-b", "0.raw", `${directory}/1.qcow2`, "192k");
      qemuImg("create", ...chain, "qcow2", "-b", "1.qcow2", `${directory}/2.qcow2`, "256k");
      tool("qemu-io", ["-c", "write -P 1 64k 1k", `${directory}/1.qcow2`]);
      tool("qemu-io", ["-c", "write -P 2 190k 4k", `${directory}/2.qcow2`]);
      using image = openDisk({ path: `${directory}/2.qcow2` });
      const expected = new Uint8Array(256 << 10);
      expected.set(original);
      expected.fill(1, 64 << 10, 65 << 10);
      expected.fill(2, 190 << 10, 194 << 10);
      const all = new Uint8Array(256 << 10).fill(0xee);
      image.read(0, all);
      assertSameBytes(all, expected);
    });
  });
}
