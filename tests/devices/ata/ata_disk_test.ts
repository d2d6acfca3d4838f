import assert from "node:assert/strict";
import { BlockResult } from "../../../hv/core/media/block.ts";
import { assertSameBytes } from "../../support/same_bytes.ts";
import { BSY, diskHost, DRQ, ERROR, type IdeHost, pattern, READY, word } from "./ide_bench.ts";

const identify = (host: IdeHost): Uint8Array => {
  host.command(0xec);
  host.expect(DRQ, { interrupt: true });
  const data = host.read(512);
  host.expect(READY, { interrupt: false });
  return data;
};
const text = (data: Uint8Array, from: number, to: number): string => {
  let out = "";
  for (let n = from; n <= to; n++) {
    out += String.fromCharCode(data[n * 2 + 1], data[n * 2]);
  }
  return out;
};

Deno.test("ATA IDENTIFY DEVICE tells model, geometry and capacity (ATA-6, 8.15)", () => {
  const data = identify(diskHost(1008));
  assert.equal(text(data, 27, 46), "HV HARDDISK".padEnd(40));
  assert.equal(text(data, 10, 19), "HV00001".padEnd(20));
  assert.equal(text(data, 23, 26), "1.0     ");
  assert.deepEqual([1, 3, 6].map((n) => word(data, n)), [1, 16, 63]);
  assert.deepEqual([54, 55, 56, 57, 58].map((n) => word(data, n)), [1, 16, 63, 1008, 0]);
  assert.deepEqual([60, 61, 100, 101, 102, 103].map((n) => word(data, n)), [
    1008,
    0,
    1008,
    0,
    0,
    0,
  ]);
  assert.equal(word(data, 47), 0x8010);
  assert.equal(word(data, 49) & 0x0300, 0x0300, "LBA and DMA");
  assert.equal(word(data, 83) & 0x0400, 0x0400, "48-bit addresses");
  assert.equal(data.reduce((sum, byte) => sum + byte, 0) & 0xff, 0, "checksum (word 255)");
});

Deno.test("ATA READ SECTORS gives an interrupt and a DRQ block for each sector (ATA-6, 9.5)", () => {
  const host = diskHost();
  host.command(0x20, { lba: 5, count: 2 });
  host.expect(BSY | READY, { interrupt: false });
  host.bench.settle();
  host.expect(DRQ, { interrupt: true });
  assert.deepEqual(host.read(512), pattern(5, 1));
  host.expect(DRQ, { interrupt: true });
  assert.deepEqual(host.read(512, 4), pattern(6, 1));
  host.expect(READY, { interrupt: false });
  assert.equal(host.in(0, 2), 0, "the data register is shut");
});

Deno.test("ATA WRITE SECTORS takes the first block without an interrupt (ATA-6, 9.6)", () => {
  const host = diskHost();
  const data = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
  host.command(0x30, { lba: 9, count: 2 });
  host.expect(DRQ, { interrupt: false });
  host.write(data.subarray(0, 512));
  host.expect(DRQ, { interrupt: true });
  host.write(data.subarray(512), 4);
  host.expect(BSY | READY, { interrupt: false });
  host.bench.settle();
  host.expect(READY, { interrupt: true });
  host.command(0x20, { lba: 9, count: 2 });
  host.bench.settle();
  assert.deepEqual(host.read(1024), data);
});

Deno.test("ATA without write cache writes each block before it asks for the next (ATA-6, 8.46)", () => {
  const host = diskHost();
  host.command(0xef, { features: 0x82 });
  host.expect(READY, { interrupt: true });
  host.command(0x30, { lba: 0, count: 2 });
  host.write(new Uint8Array(512).fill(0xaa));
  host.expect(BSY | READY, { interrupt: false });
  host.bench.settle();
  host.expect(DRQ, { interrupt: true });
  host.write(new Uint8Array(512).fill(0xbb));
  host.bench.settle();
  host.expect(READY, { interrupt: true });
  host.command(0x20, { lba: 0, count: 2 });
  host.bench.settle();
  const data = host.read(1024);
  assert.deepEqual([data[0], data[511], data[512], data[1023]], [0xaa, 0xaa, 0xbb, 0xbb]);
});

Deno.test("ATA READ MULTIPLE moves the blocks of SET MULTIPLE MODE (ATA-6, 8.30)", () => {
  const host = diskHost();
  host.command(0xc4, { count: 1 });
  host.expect(ERROR, { interrupt: true });
  assert.equal(host.in(1), 0x04, "ABRT before SET MULTIPLE MODE");
  host.command(0xc6, { count: 3 });
  host.expect(ERROR, { interrupt: true });
  host.command(0xc6, { count: 4 });
  host.expect(READY, { interrupt: true });
  host.command(0xc4, { lba: 1, count: 6 });
  host.bench.settle();
  host.expect(DRQ, { interrupt: true });
  assert.deepEqual(host.read(2048), pattern(1, 4));
  host.expect(DRQ, { interrupt: true });
  assert.deepEqual(host.read(1024), pattern(5, 2));
  host.expect(READY, { interrupt: false });
  assert.equal(word(identify(host), 59), 0x0104);
});

Deno.test("ATA WRITE MULTIPLE EXT ends with a short block (ATA-6, 8.65)", () => {
  const host = diskHost();
  host.command(0xc6, { count: 2 });
  host.command48(0x39, 20, 3);
  host.expect(DRQ, { interrupt: false });
  host.write(new Uint8Array(1024).fill(1));
  host.expect(DRQ, { interrupt: true });
  host.write(new Uint8Array(512).fill(2));
  host.bench.settle();
  host.expect(READY, { interrupt: true });
  host.command48(0x24, 19, 5);
  host.bench.settle();
  const data = host.read(5 * 512);
  assert.deepEqual([0, 1, 2, 3, 4].map((n) => data[n * 512]), [19, 1, 1, 2, 23]);
});

Deno.test("ATA count 0 stands for 256 sectors, read in chunks of the buffer (ATA-6, 8.34)", () => {
  const host = diskHost(300);
  host.command(0x20, { lba: 44, count: 0 });
  host.bench.settle();
  const data = host.read(256 * 512);
  host.expect(READY, { interrupt: true });
  assertSameBytes(data, pattern(44, 256));
});

Deno.test("ATA READ SECTORS EXT goes on with a second chunk after 256 sectors (ATA-6, 8.35)", () => {
  const host = diskHost(300);
  host.command48(0x24, 10, 258);
  host.bench.settle();
  assertSameBytes(host.read(256 * 512), pattern(10, 256));
  host.expect(BSY | READY, { interrupt: true });
  host.bench.settle();
  assert.deepEqual(host.read(1024), pattern(266, 2));
  host.expect(READY, { interrupt: true });
});

Deno.test("ATA cylinder, head and sector follow INITIALIZE DEVICE PARAMETERS (ATA-2, 9.6)", () => {
  const host = diskHost();
  host.command(0x91, { count: 9, device: 0xa1 });
  host.expect(READY, { interrupt: true });
  // Cylinder 3, head 1, sector 4 of 2 heads and 9 sectors: (3 * 2 + 1) * 9 + 3.
  host.command(0x20, { count: 1, lba: 0x0304, device: 0xa1 });
  host.bench.settle();
  assert.equal(host.read(512)[0], 66);
  host.command(0x20, { count: 1, lba: 0x0300, device: 0xa0 });
  host.expect(ERROR, { interrupt: true });
  assert.equal(host.in(1), 0x10, "IDNF: there is no sector 0");
  host.command(0x20, { count: 1, lba: 1, device: 0xa2 });
  host.expect(ERROR, { interrupt: true });
  assert.deepEqual([54, 55, 56].map((n) => word(identify(host), n)), [7, 2, 9]);
});

Deno.test("ATA addresses past the end fail with IDNF and name the first of them (ATA-6, 8.34)", () => {
  const host = diskHost(128);
  host.command(0x20, { lba: 127, count: 2 });
  host.expect(ERROR, { interrupt: true });
  assert.deepEqual(host.registers, [0x10, 2, 128, 0, 0, 0xe0]);
  host.command48(0x25, 2 ** 47 + 5, 1);
  host.expect(ERROR, { interrupt: true });
  assert.equal(host.in(1), 0x10);
  host.command(0x70, { lba: 128 });
  host.expect(ERROR, { interrupt: true });
  host.command(0x70, { lba: 127 });
  host.expect(READY, { interrupt: true });
});

Deno.test("ATA HOB shows what a register held before, until the next write (ATA-6, 6.20)", () => {
  const host = diskHost();
  host.command48(0x27, 0, 0);
  host.expect(READY, { interrupt: true });
  assert.deepEqual(host.registers.slice(2, 5), [127, 0, 0]);
  host.out(2, 0x12);
  host.out(2, 0x34);
  assert.equal(host.in(2), 0x34);
  host.control(0x80);
  assert.equal(host.in(2), 0x12);
  host.out(3, 0);
  assert.equal(host.in(2), 0x34);
});

Deno.test("ATA read errors name the sector, and those before it arrive (ATA-6, 8.34)", () => {
  const host = diskHost();
  // The medium fails at sector 12.
  const failing = () => {
    for (let i = 0; i < 10 && host.port.posted; i++) {
      const { offset, length } = host.port.state;
      const bad = offset <= 12 * 512 && offset + length > 12 * 512;
      if (!bad) host.port.buffer.set(pattern(offset / 512, length / 512));
      host.port.finish(bad ? BlockResult.ioError : BlockResult.ok);
    }
  };
  host.command(0x20, { lba: 10, count: 4 });
  failing();
  host.expect(DRQ, { interrupt: true });
  assert.deepEqual(host.read(512), pattern(10, 1));
  failing();
  assert.deepEqual(host.read(512), pattern(11, 1));
  failing();
  host.expect(ERROR, { interrupt: true });
  assert.deepEqual(host.registers, [0x40, 2, 12, 0, 0, 0xe0]);
  host.command(0x40, { lba: 10, count: 4 });
  failing();
  host.expect(ERROR, { interrupt: true });
  assert.deepEqual(host.registers, [0x40, 2, 12, 0, 0, 0xe0]);
  host.command(0x40, { lba: 13, count: 4 });
  failing();
  host.expect(READY, { interrupt: true });
});

Deno.test("ATA write errors end the command; a protected medium aborts it (ATA-6, 8.62)", () => {
  const host = diskHost(128, { readOnly: true });
  host.command(0x30, { lba: 3, count: 1 });
  host.write(new Uint8Array(512));
  host.bench.settle();
  host.expect(ERROR, { interrupt: true });
  assert.deepEqual(host.registers, [0x04, 1, 3, 0, 0, 0xe0]);
  host.command(0xe7);
  host.port.finish(BlockResult.ioError);
  host.expect(ERROR, { interrupt: true });
  host.command(0xea);
  host.expect(BSY | READY, { interrupt: false });
  host.bench.settle();
  host.expect(READY, { interrupt: true });
});

Deno.test("ATA power modes are told by CHECK POWER MODE (ATA-6, 8.8)", () => {
  const host = diskHost();
  for (const [opcode, mode] of [[0xe0, 0], [0xe1, 0xff], [0xe2, 0], [0xe3, 0xff], [0x99, 0]]) {
    host.command(opcode);
    host.expect(READY, { interrupt: true });
    host.command(0xe5);
    assert.equal(host.in(2), mode);
  }
  host.command(0x40, { count: 1 });
  host.bench.settle();
  host.command(0x98);
  assert.equal(host.in(2), 0xff, "access to the medium wakes it");
});

Deno.test("ATA SET FEATURES chooses transfer modes and refuses what it lacks (ATA-6, 8.46)", () => {
  const host = diskHost();
  const set = (features: number, count: number) => {
    host.command(0xef, { features, count });
    return host.in(7) === READY;
  };
  assert.ok(set(3, 0x22));
  assert.deepEqual([63, 88].map((n) => word(identify(host), n)), [0x0407, 0x003f]);
  assert.ok(set(3, 0x45));
  assert.deepEqual([63, 88].map((n) => word(identify(host), n)), [0x0007, 0x203f]);
  assert.ok(set(3, 0x0c));
  for (const mode of [0x02, 0x0d, 0x10, 0x23, 0x46, 0xff]) assert.ok(!set(3, mode), `${mode}`);
  assert.ok(set(0x82, 0) && set(0x55, 0));
  assert.equal(word(identify(host), 85) & 0x60, 0);
  assert.ok(set(0xcc, 0));
  host.control(4);
  host.control(0);
  assert.equal(word(identify(host), 85) & 0x60, 0x60, "the reset brought back the defaults");
  assert.ok(!set(0x05, 0x80) && !set(0xdd, 0));
});

Deno.test("ATA aborts commands that it has not (ATA-6, 6.1)", () => {
  const host = diskHost();
  for (const opcode of [0x00, 0x08, 0x22, 0x50, 0xa0, 0xa1, 0xb0, 0xc7, 0xcc, 0xf1, 0xff]) {
    host.command(opcode);
    host.expect(ERROR, { interrupt: true });
    assert.equal(host.in(1), 0x04);
  }
  for (const opcode of [0x10, 0x1f, 0xf5]) {
    host.command(opcode);
    host.expect(READY, { interrupt: true });
  }
});

Deno.test("ATA READ BUFFER gives what WRITE BUFFER took (ATA-6, 8.63)", () => {
  const host = diskHost();
  const data = Uint8Array.from({ length: 512 }, (_, i) => i ^ 0x5a);
  host.command(0xe8);
  host.expect(DRQ, { interrupt: false });
  host.write(data);
  host.expect(READY, { interrupt: true });
  host.command(0xe4);
  host.expect(DRQ, { interrupt: true });
  assert.deepEqual(host.read(512), data);
});

Deno.test("ATA READ NATIVE MAX ADDRESS gives the last sector in either form (ATA-6, 8.32)", () => {
  const host = diskHost(1008);
  host.command(0xf8, { device: 0x40 });
  host.expect(READY, { interrupt: true });
  assert.deepEqual(host.registers.slice(2), [0xef, 0x03, 0, 0xe0]);
  host.command(0xf8, { device: 0 });
  assert.deepEqual(host.registers.slice(2), [63, 0, 0, 0xaf], "cylinder 0, head 15, sector 63");
});
