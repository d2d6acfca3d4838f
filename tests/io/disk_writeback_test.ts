import assert from "node:assert/strict";
import type { DiskImage } from "../../devices/disk/disk_image.ts";
import { openDisk } from "../../devices/disk/open_disk.ts";
import { createQcow2 } from "../../devices/disk/qcow2/create.ts";
import { DiskWriteback } from "../../hv/io/disk_writeback.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";

function setUp() {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  const clock = { ms: 1000 };
  const flushed: string[] = [];
  {
    using file = FileHandle.open(path, { write: true });
    createQcow2(file, { sizeBytes: 1 << 20 });
  }
  const image = openDisk({ path });
  const flush = (one: DiskImage, name: string) => {
    flushed.push(`${name} at ${clock.ms}`);
    one.flush();
  };
  const writeback = new DiskWriteback(flush, () => clock.ms);
  writeback.add(image, "disk");
  const lookedAt = () => {
    // As somebody sees it who comes after hv has been killed.
    const copy = `${path}.copy`;
    Deno.copyFileSync(path, copy);
    using disk = openDisk({ path: copy, readOnly: true });
    const sector = new Uint8Array(512);
    disk.read(0, sector);
    Deno.removeSync(copy);
    return sector[0];
  };
  return { image, writeback, clock, flushed, lookedAt, end: () => Deno.removeSync(path) };
}

Deno.test("what a guest writes and never flushes is written after five seconds", () => {
  const { image, writeback, clock, flushed, lookedAt, end } = setUp();
  assert.equal(writeback.serve(), Infinity, "nothing to do, nothing to wake for");
  image.write(0, new Uint8Array(512).fill(7));
  assert.equal(lookedAt(), 0, "a new cluster is only known in memory");
  assert.equal(writeback.serve(), 5000e6);
  clock.ms += 4000;
  image.write(512, new Uint8Array(512).fill(8));
  assert.equal(writeback.serve(), 1000e6);
  clock.ms += 1000;
  assert.equal(writeback.serve(), 5000e6);
  assert.equal(lookedAt(), 7);
  assert.deepEqual(flushed, ["disk at 6000"]);
  clock.ms += 5000;
  image.write(1024, new Uint8Array(512).fill(8));
  assert.equal(writeback.serve(), Infinity, "written in place, by the host's own cache");
  image[Symbol.dispose]();
  end();
});

Deno.test("a machine that rests has everything in its images, and one that ends too", () => {
  const { image, writeback, flushed, lookedAt, end } = setUp();
  image.write(0, new Uint8Array(512).fill(7));
  writeback.rest();
  assert.equal(lookedAt(), 7);
  writeback.rest();
  assert.equal(flushed.length, 1, "once is enough");
  image.writeZeroes(0, 65536, true);
  writeback.close();
  assert.equal(lookedAt(), 0);
  writeback.close();
  assert.equal(flushed.length, 2);
  image[Symbol.dispose]();
  end();
});

Deno.test("an image that is flushed beside other work is only told to begin", () => {
  const { image, writeback, clock, flushed, end } = setUp();
  let begun = 0;
  writeback.add(image, "disk", () => begun++);
  image.write(0, new Uint8Array(512).fill(7));
  writeback.serve();
  clock.ms += 5000;
  writeback.serve();
  assert.deepEqual([begun, flushed], [1, []]);
  writeback.rest();
  assert.deepEqual(flushed, ["disk at 6000"], "who rests does not wait for that");
  image[Symbol.dispose]();
  end();
});
