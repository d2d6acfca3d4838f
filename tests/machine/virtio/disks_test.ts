/** The I/O worker's part of virtio disks. */

import assert from "node:assert/strict";
import { openDisk } from "../../../devices/disk/open_disk.ts";
import { createQcow2 } from "../../../devices/disk/qcow2/create.ts";
import { RawImage } from "../../../devices/disk/formats/raw_image.ts";
import { VirtioBlk, VirtioBlkState } from "../../../devices/virtio/blk/virtio_blk.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import { DescriptorSet } from "../../../hv/sys/wait/descriptor_set.ts";
import { VirtioDisks } from "../../../hv/io/virtio_disks.ts";
import { ready } from "../../devices/virtio/support.ts";
import { TestBench } from "../../support/test_bench.ts";

const SECTORS = 64;
const IN = 0;
const DISCARD = 11;
const DISCARD_FEATURE = 13;

/** A disk's device with so many queues. */
const diskOn = (bench: TestBench, queues: number) =>
  new VirtioBlk(bench.state(VirtioBlkState), {
    sizeBytes: SECTORS * 512,
    readOnly: false,
    geometry: { cylinders: 2, heads: 4, sectors: 8 },
    serial: "HV-7",
    queues,
  });

Deno.test("what ends while a discard waits for all others interrupts the driver, too", () => {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-" });
  try {
    Deno.truncateSync(path, SECTORS * 512);
    // As a format that keeps accounts of its own: before it discards, nothing may be under way.
    using image = new RawImage(FileHandle.open(path, { write: true }), SECTORS * 512);
    Object.defineProperty(image, "syncedBy", { value: undefined });
    const bench = new TestBench();
    const { memory } = bench;
    const blk = diskOn(bench, 2);
    using descriptors = new DescriptorSet();
    using disks = new VirtioDisks(memory, descriptors);
    const { core, drivers, transport } = ready(bench, blk, {
      size: 8,
      features: [DISCARD_FEATURE],
    });
    disks.add(blk, { aio: "threads" } as Parameters<typeof disks.add>[1], image, (error) => {
      throw error;
    });
    const request = (queue: number, type: number, address: number, length: number) => {
      const header = 0x6000 + queue * 0x100;
      memory.writeU32(header, type);
      drivers[queue].add(
        { address: header, length: 16 },
        { address, length, write: type === IN },
        { address: header + 0x20, length: 1, write: true },
      );
      core.notify(queue);
      core.serve(false);
    };
    request(1, IN, 0x8000, 512);
    assert.equal(drivers[1].usedIndex, 0, "it is under way");
    memory.view(0x7000, 16)!.set([4, 0, 0, 0, 0, 0, 0, 0, 8]);
    request(0, DISCARD, 0x7000, 16);
    disks.serve();
    assert.deepEqual([drivers[0].usedIndex, drivers[1].usedIndex], [1, 1]);
    assert.deepEqual([transport.take(0), transport.take(1)], [1, 1]);
    disks.remove(blk);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("a flush that is begun beside all else is under way before anybody serves the disks", () => {
  const path = Deno.makeTempFileSync({ prefix: "hv-test-disk-", suffix: ".qcow2" });
  try {
    {
      using file = FileHandle.open(path, { write: true });
      createQcow2(file, { sizeBytes: SECTORS * 512 });
    }
    using image = openDisk({ path });
    const bench = new TestBench();
    const blk = diskOn(bench, 1);
    using descriptors = new DescriptorSet();
    using disks = new VirtioDisks(bench.memory, descriptors);
    const handle = { aio: "threads" } as Parameters<typeof disks.add>[1];
    const begin = disks.add(blk, handle, image, (error) => {
      throw error;
    });
    image.write(0, new Uint8Array(512).fill(1));
    begin();
    while (image.hasUnwritten) {
      // Ends with the result of a step.
      descriptors.wait(Infinity);
      disks.serve();
    }
    disks.remove(blk);
  } finally {
    Deno.removeSync(path);
  }
});
