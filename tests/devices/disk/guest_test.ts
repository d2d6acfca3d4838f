/** From the guest's registers to a file of the host and back: drive, block port and image together. */

import assert from "node:assert/strict";
import { AtaDisk, AtaDiskState } from "../../../devices/ata/ata_disk.ts";
import type { DiskImage } from "../../../devices/disk/disk_image.ts";
import { openDisk } from "../../../devices/disk/open_disk.ts";
import { RawImage } from "../../../devices/disk/formats/raw_image.ts";
import { serveBlockPort } from "../../../devices/disk/engine/serve_block_port.ts";
import { BlockPort, BlockPortState } from "../../../hv/core/media/block.ts";
import { FileHandle } from "../../../hv/sys/file/file.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { TestBench } from "../../support/test_bench.ts";
import { DRQ, ERROR, IdeHost, IDENTITY, READY } from "../ata/ide_bench.ts";
import { inDirectory } from "./conformance.ts";

/** A host whose disk is `image`, served at once as the I/O worker would. */
function hostWith(image: DiskImage) {
  const bench = new TestBench();
  const lock = bench.arena.lock("ide");
  const errors: string[] = [];
  const port = new BlockPort(bench.state(BlockPortState), () => {});
  port.setMedium(image);
  const disk = new AtaDisk(bench.state(AtaDiskState), port, IDENTITY);
  const host = new IdeHost(bench, [disk, undefined]);
  host.reset();
  const onError = (error: Error) => errors.push(error.message);
  const serve = () => {
    while (serveBlockPort(port, { image, memory: bench.memory, lock, onError }));
  };
  return { host, serve, errors };
}

Deno.test("a guest's sectors are in the image after FLUSH CACHE", () => {
  inDirectory((directory) => {
    const path = `${directory}/disk.img`;
    Deno.writeFileSync(path, new Uint8Array(300 * 512));
    using image = openDisk({ path });
    const { host, serve } = hostWith(image);
    const data = Uint8Array.from({ length: 258 * 512 }, (_, i) => (i >> 9) + i);
    host.command48(0x34, 42, 258);
    for (let at = 0; at < data.length; at += 512) {
      host.write(data.subarray(at, at + 512));
      serve();
    }
    host.expect(READY, { interrupt: true });
    host.command(0xea);
    serve();
    host.expect(READY, { interrupt: true });
    assertSameBytes(Deno.readFileSync(path).slice(42 * 512), data);
  });
});

Deno.test("a full host disk fails the guest's write, and the machine goes on", () => {
  using image = new RawImage(FileHandle.open("/dev/full", { write: true }), 64 * 512);
  const { host, serve, errors } = hostWith(image);
  host.command(0x30, { lba: 5, count: 1 });
  host.write(new Uint8Array(512));
  serve();
  host.expect(ERROR, { interrupt: true });
  assert.deepEqual(host.registers, [0x04, 1, 5, 0, 0, 0xe0]);
  assert.match(errors.join(), /no space left/);
  host.command(0x20, { lba: 5, count: 1 });
  serve();
  host.expect(DRQ, { interrupt: true });
});
