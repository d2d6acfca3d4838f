import assert from "node:assert/strict";
import { BSY, diskHost, DRQ, ERROR, type IdeHost, pattern, READY } from "./ide_bench.ts";

const TABLE = 0x1000;
const STATUS = 2;
const start = (host: IdeHost, direction = 0x08) => host.master.write(0, 1, direction | 1);
const status = (host: IdeHost) => host.master.read(STATUS, 1);
const view = (host: IdeHost, address: number, length: number) =>
  host.bench.memory.view(address, length)!;

Deno.test("Bus master READ DMA scatters a command over its regions (BM IDE, 2.0)", () => {
  const host = diskHost();
  host.prds(TABLE, [[0x2000, 510], [0x4002, 2], [0x5000, 1024]]);
  host.command(0xc8, { lba: 7, count: 3 });
  host.bench.settle();
  assert.equal(host.altStatus, DRQ, "the drive waits for the bus master");
  start(host);
  assert.equal(status(host), 0x04, "interrupt, no longer active");
  host.expect(READY, { interrupt: true });
  const expected = pattern(7, 3);
  assert.deepEqual(view(host, 0x2000, 510), expected.subarray(0, 510));
  assert.deepEqual(view(host, 0x4002, 2), expected.subarray(510, 512));
  assert.deepEqual(view(host, 0x5000, 1024), expected.subarray(512));
  host.master.write(STATUS, 1, 0x04);
  assert.equal(status(host), 0);
});

Deno.test("Bus master that the PCI function may not be waits until it may (PCI 3.0, 6.2.2)", () => {
  const host = diskHost();
  let mayMaster = false;
  host.master.mayMaster = () => mayMaster;
  host.prds(TABLE, [[0x2000, 512]]);
  host.command(0xc8, { lba: 7, count: 1 });
  host.bench.settle();
  start(host);
  assert.equal(status(host), 0x01, "active");
  assert.deepEqual(view(host, 0x2000, 512), new Uint8Array(512));
  mayMaster = true;
  host.master.resume();
  assert.equal(status(host), 0x04);
  assert.deepEqual(view(host, 0x2000, 512), pattern(7, 1));
});

Deno.test("Bus master may be started before the drive has its data (BM IDE, 3.1)", () => {
  const host = diskHost();
  host.prds(TABLE, [[0x2000, 512]]);
  start(host);
  assert.equal(status(host), 0x01);
  host.command(0xc8, { lba: 1, count: 1 });
  assert.equal(host.altStatus, BSY | READY);
  host.bench.settle();
  assert.equal(status(host), 0x04);
  assert.deepEqual(view(host, 0x2000, 512), pattern(1, 1));
});

Deno.test("Bus master WRITE DMA EXT gathers, more than a chunk of the buffer (BM IDE, 2.0)", () => {
  const host = diskHost(300);
  // Count 0 is 64 KiB: 128 sectors twice, from the same memory, and five more.
  view(host, 0x10000, 65536).set(Uint8Array.from({ length: 65536 }, (_, i) => 255 - (i >> 9)));
  host.prds(TABLE, [[0x10000, 0], [0x10000, 0], [0x10000, 5 * 512]]);
  host.command48(0x35, 20, 261);
  start(host, 0);
  host.bench.settle();
  assert.equal(status(host), 0x04);
  host.expect(READY, { interrupt: true });
  host.command48(0x24, 276, 5);
  host.bench.settle();
  const data = host.read(5 * 512);
  assert.deepEqual([0, 1, 2, 3, 4].map((n) => data[n * 512]), [255, 254, 253, 252, 251]);
});

Deno.test("Bus master with regions to spare stays active with the interrupt (BM IDE, 3.2)", () => {
  const host = diskHost();
  host.prds(TABLE, [[0x2000, 1024]]);
  host.command(0xc8, { count: 1 });
  host.bench.settle();
  start(host);
  assert.equal(status(host), 0x05);
  host.master.write(0, 1, 0);
  assert.equal(status(host), 0x04);
});

Deno.test("Bus master with too few regions stops without an interrupt (BM IDE, 3.2)", () => {
  const host = diskHost();
  host.prds(TABLE, [[0x2000, 512]]);
  host.command(0xc8, { lba: 1, count: 2 });
  host.bench.settle();
  start(host);
  assert.equal(status(host), 0x00);
  assert.equal(host.altStatus, DRQ);
  host.master.write(0, 1, 0);
  host.prds(TABLE, [[0x3000, 512]]);
  start(host);
  assert.equal(status(host), 0x04, "a second table takes the rest");
  assert.deepEqual(view(host, 0x3000, 512), pattern(2, 1));
});

Deno.test("Bus master sets Error and fails the command where there is no memory (BM IDE, 2.1)", () => {
  const host = diskHost();
  for (
    const [table, region] of [[TABLE, 0x8000_0000], [TABLE, 0x3fe00], [0xffff_fffc, 0], [
      0x3fffc,
      0,
    ]]
  ) {
    host.master.write(STATUS, 1, 0x06);
    host.prds(table, [[region, 1024]]);
    host.command(0xc8, { count: 2 });
    host.bench.settle();
    start(host);
    assert.equal(status(host), 0x06, "error and interrupt");
    host.expect(ERROR, { interrupt: true });
    host.master.write(0, 1, 0);
  }
});

Deno.test("Bus master an endless table of smallest regions ends with its command", () => {
  const host = diskHost(256);
  // Every descriptor moves two bytes, and none is the last.
  for (let at = 0; at < 0x20000; at += 8) {
    host.bench.memory.writeU32(at, 0x30000);
    host.bench.memory.writeU32(at + 4, 2);
  }
  host.master.write(4, 4, 0);
  host.command(0xc8, { count: 60 });
  start(host);
  host.bench.settle();
  assert.equal(status(host), 0x05);
  host.expect(READY, { interrupt: true });
});

Deno.test("Bus master SRST takes a waiting DMA command back", () => {
  const host = diskHost();
  host.prds(TABLE, [[0x2000, 512]]);
  host.command(0xca, { count: 1 });
  assert.equal(host.altStatus, DRQ);
  host.control(4);
  host.control(0);
  start(host);
  assert.equal(status(host), 0x01);
  host.expect(READY, { interrupt: false });
});

Deno.test("Bus master registers keep what the data sheet says they keep (PIIX3, 2.7)", () => {
  const { master } = diskHost();
  master.write(4, 4, 0xffff_ffff);
  assert.equal(master.read(4, 4), 0xffff_fffc);
  master.write(6, 2, 0x1234);
  assert.equal(master.read(4, 4), 0x1234_fffc);
  assert.equal(master.read(12, 4), 0, "the secondary channel has its own");
  master.write(STATUS, 1, 0xff);
  assert.equal(status({ master } as IdeHost), 0x60);
  master.write(0, 1, 0xfe);
  assert.equal(master.read(0, 4), 0x0060_0008);
});

Deno.test("Bus master started again begins at the table's first region (BM IDE, 3.1)", () => {
  const host = diskHost();
  host.prds(TABLE, [[0x2000, 4096]]);
  host.command(0xc8, { lba: 1, count: 1 });
  host.bench.settle();
  start(host);
  host.master.write(0, 1, 0);
  host.prds(TABLE, [[0x8000, 512]]);
  host.command(0xc8, { lba: 2, count: 1 });
  host.bench.settle();
  start(host);
  assert.deepEqual(view(host, 0x8000, 512), pattern(2, 1));
});

Deno.test("Bus master notes an interrupt when the line rises, not while it is high (PIIX3, 2.7)", () => {
  const host = diskHost();
  host.command(0xe5);
  assert.equal(status(host), 0x04);
  host.master.write(STATUS, 1, 0x04);
  host.control(0);
  assert.equal(status(host), 0);
  host.command(0xe5);
  assert.equal(status(host), 0x04);
});
