import assert from "node:assert/strict";
import { openDisk } from "../../../devices/disk/open_disk.ts";
import { CLUSTER_BYTES, OverlayImage } from "../../../devices/disk/formats/overlay_image.ts";
import { RawImage } from "../../../devices/disk/formats/raw_image.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { content, imageConformance, inDirectory } from "./conformance.ts";

const at = (directory: string) => `${directory}/disk.img`;

imageConformance({
  name: "raw image",
  open(directory, bytes) {
    Deno.writeFileSync(at(directory), bytes);
    return openDisk({ path: at(directory) });
  },
  reopen: (directory) => openDisk({ path: at(directory) }),
});

imageConformance({
  name: "raw image, read-only",
  open(directory, bytes) {
    Deno.writeFileSync(at(directory), bytes, { mode: 0o400 });
    return openDisk({ path: at(directory), readOnly: true });
  },
  reopen: (directory) => openDisk({ path: at(directory), readOnly: true }),
});

imageConformance({
  name: "overlay",
  open(directory, bytes) {
    Deno.writeFileSync(at(directory), bytes);
    return openDisk({ path: at(directory), overlay: true, scratchDirectory: directory });
  },
});

Deno.test("overlay leaves the base as it was, and nothing in its directory", () => {
  inDirectory((directory) => {
    const original = content(3 * CLUSTER_BYTES);
    Deno.writeFileSync(at(directory), original);
    {
      using image = openDisk({
        path: at(directory),
        overlay: true,
        scratchDirectory: directory,
      });
      assert.equal(image.readOnly, false);
      image.write(CLUSTER_BYTES - 512, new Uint8Array(1024).fill(0xff));
      image.flush();
      const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
      assert.deepEqual(names, ["disk.img"], "the scratch file has no name");
    }
    assertSameBytes(Deno.readFileSync(at(directory)), original);
  });
});

Deno.test("overlay copies the clusters that are written and no others", () => {
  inDirectory((directory) => {
    Deno.writeFileSync(at(directory), content(8 * CLUSTER_BYTES));
    const base = openDisk({ path: at(directory), readOnly: true });
    const scratch = FileHandle.open(`${directory}/scratch`, { write: true, create: true });
    using image = new OverlayImage(base, scratch);
    image.write(3 * CLUSTER_BYTES + 512, new Uint8Array(512));
    assert.equal(image.allocatedClusters, 1);
    image.write(5 * CLUSTER_BYTES - 1, new Uint8Array(CLUSTER_BYTES + 2));
    assert.equal(image.allocatedClusters, 4);
  });
});

Deno.test("a full host disk fails the write and nothing else: overlay", () => {
  inDirectory((directory) => {
    const original = content(2 * CLUSTER_BYTES);
    Deno.writeFileSync(at(directory), original);
    const base = openDisk({ path: at(directory), readOnly: true });
    using image = new OverlayImage(base, FileHandle.open("/dev/full", { write: true }));
    for (const length of [512, CLUSTER_BYTES]) {
      assert.throws(() => image.write(0, new Uint8Array(length)), /no space left/);
    }
    const back = new Uint8Array(original.length);
    image.read(0, back);
    assertSameBytes(back, original);
    assert.equal(image.allocatedClusters, 0);
  });
});

Deno.test("a full host disk fails the write and nothing else: raw image", () => {
  using image = new RawImage(FileHandle.open("/dev/full", { write: true }), 1024);
  assert.throws(() => image.write(0, new Uint8Array(512)), /no space left/);
  const back = new Uint8Array(512).fill(1);
  image.read(0, back);
  assert.equal(back[0], 0);
});

Deno.test("flush of a raw image reaches the host's medium; of a read-only one there is no need", () => {
  inDirectory((directory) => {
    Deno.writeFileSync(at(directory), new Uint8Array(512));
    for (const write of [true, false]) {
      const file = FileHandle.open(at(directory), { write });
      let synced = 0;
      file.sync = () => synced++;
      using image = new RawImage(file, 512);
      image.flush();
      assert.equal(synced, write ? 1 : 0);
    }
  });
});

Deno.test("a guest cannot make an image that was guessed to be raw look like a qcow2 image", () => {
  inDirectory((directory) => {
    Deno.writeFileSync(at(directory), new Uint8Array(4096));
    const header = new Uint8Array(512);
    header.set([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]);
    {
      using image = openDisk({ path: at(directory) });
      assert.throws(
        () => image.write(0, header),
        /beginning of .* qcow2 image.*not permitted.*format=raw/,
      );
      image.write(0, header.subarray(0, 2));
      assert.throws(() => image.write(2, header.subarray(2)), /qcow2/);
      assert.equal(image.extent!(0, 512, true), undefined, "nor past write()");
      // An ordinary boot sector, and a header elsewhere, are nobody's business.
      image.write(0, new Uint8Array(512).fill(0x90));
      image.write(512, header);
    }
    using image = openDisk({ path: at(directory), format: "raw" });
    image.write(0, header);
  });
});

Deno.test("discard and zeros of a raw image give its room back to the host", () => {
  inDirectory((directory) => {
    Deno.writeFileSync(at(directory), content(1 << 20));
    using image = openDisk({ path: at(directory) });
    const blocks = () => Deno.statSync(at(directory)).blocks!;
    const before = blocks();
    image.discard(0, 512 << 10);
    const afterwards = blocks();
    if (afterwards === before) return console.log("skipped: the file system has no holes");
    assert.ok(afterwards < before);
    assert.equal(image.zerosAt(0, 1 << 20), 512 << 10);
    image.writeZeroes(512 << 10, 256 << 10, true);
    assert.ok(blocks() < afterwards);
  });
});
