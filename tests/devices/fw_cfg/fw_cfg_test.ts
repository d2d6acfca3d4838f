import assert from "node:assert/strict";
import { FwCfg, fwCfgState } from "../../../devices/fw_cfg/fw_cfg.ts";
import { FwCfgContents, FwCfgKey } from "../../../devices/fw_cfg/contents.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const READ = 2;
const SKIP = 4;
const SELECT = 8;
const WRITE = 16;
const FILE = FwCfgKey.fileFirst;
const WRITABLE = FILE + 1;
/** Where the tests put the DMA request and its data. */
const REQUEST = 0x1000;
const DATA = 0x2000;

function contents(told: Uint8Array[] = []) {
  const all = new FwCfgContents();
  all.number(FwCfgKey.nbCpus, 2, 2);
  all.number(FwCfgKey.ramSize, 0x1_2345_6789, 8);
  all.text(FwCfgKey.kernelCommandLine, "ro");
  all.file("etc/e820", Uint8Array.of(1, 2, 3, 4, 5));
  all.writableFile("etc/vmgenid_addr", Uint8Array.of(9, 9, 9, 9), (bytes) => {
    told.push(bytes.slice());
  });
  return all;
}

function fwCfgOn(bench: TestBench, told?: Uint8Array[]) {
  const all = contents(told);
  return new FwCfg(bench.state(fwCfgState(all)), all, bench.memory);
}

function started() {
  const bench = new TestBench();
  const told: Uint8Array[] = [];
  const device = fwCfgOn(bench, told);
  device.reset();
  const { ports, dma } = device;
  const memory = bench.memory;
  return {
    memory,
    device,
    told,
    dma,
    select: (key: number) => ports.write(0, 2, key),
    read: (count: number) => Array.from({ length: count }, () => ports.read(1, 1)),
    /** Posts a DMA request and gives the control word that it ends with. */
    request(control: number, length: number, address = DATA, at = REQUEST): number {
      const view = memory.view(at, 16);
      const data = view && new DataView(view.buffer, view.byteOffset, 16);
      data?.setUint32(0, control);
      data?.setUint32(4, length);
      data?.setBigUint64(8, BigInt(address));
      const swapped = new DataView(new ArrayBuffer(8));
      swapped.setBigUint64(0, BigInt(at));
      dma.write(0, 4, swapped.getUint32(0, true));
      dma.write(4, 4, swapped.getUint32(4, true));
      return data?.getUint32(0) ?? -1;
    },
    bytes: (count: number, at = DATA) => [...memory.view(at, count)!],
  };
}

deviceContract("fw_cfg", (bench) => {
  const device = fwCfgOn(bench);
  return {
    device,
    ports: [
      { handler: device.ports, length: 2, sizes: [1, 2] },
      { handler: device.dma, length: 8, sizes: [1, 2, 4] },
    ],
    likely: [
      { port: 0, offset: 0, size: 2, values: [0, 1, 5, 0x19, FILE, WRITABLE, 0x4020] },
      { port: 1, offset: 4, size: 4, values: [0x0010_0000, 0x0000_0400] },
    ],
    events: [
      // A request that makes sense, at 1000h.
      (random) => {
        const { memory } = bench;
        const control = random.pick([READ, SKIP, WRITE, SELECT | READ, SELECT | WRITE]);
        const view = memory.view(REQUEST, 16)!;
        const data = new DataView(view.buffer, view.byteOffset, 16);
        data.setUint32(0, random.pick([FILE, WRITABLE, 0x19]) * 2 ** 16 + control);
        data.setUint32(4, random.below(64));
        data.setUint32(8, 0);
        data.setUint32(12, DATA);
      },
    ],
  };
});

Deno.test("fw_cfg shows its signature and that it knows DMA (fw_cfg, items 0 and 1)", () => {
  const { select, read } = started();
  select(FwCfgKey.signature);
  assert.deepEqual(read(5), [0x51, 0x45, 0x4d, 0x55, 0]);
  select(FwCfgKey.id);
  assert.deepEqual(read(4), [3, 0, 0, 0]);
});

Deno.test("the DMA register reads as QEMU CFG, most significant byte first (fw_cfg, DMA)", () => {
  const { dma } = started();
  const text = Array.from({ length: 8 }, (_, i) => String.fromCharCode(dma.read(i, 1))).join("");
  assert.equal(text, "QEMU CFG");
  assert.equal(dma.read(0, 4), 0x554d_4551);
});

Deno.test("the data register gives byte after byte, then zeros; selecting starts anew", () => {
  const { select, read } = started();
  select(FILE);
  assert.deepEqual(read(7), [1, 2, 3, 4, 5, 0, 0]);
  select(FILE);
  assert.deepEqual(read(2), [1, 2]);
  select(0x3fff);
  assert.deepEqual(read(2), [0, 0]);
});

Deno.test("numbers are little-endian, text ends with a zero (fw_cfg, items)", () => {
  const { select, read } = started();
  select(FwCfgKey.nbCpus);
  assert.deepEqual(read(2), [2, 0]);
  select(FwCfgKey.ramSize);
  assert.deepEqual(read(8), [0x89, 0x67, 0x45, 0x23, 1, 0, 0, 0]);
  select(FwCfgKey.kernelCommandLine);
  assert.deepEqual(read(3), [0x72, 0x6f, 0]);
});

Deno.test("the directory lists count, size, number and name, big-endian (fw_cfg, item 19h)", () => {
  const { device } = started();
  const bytes = device.content(FwCfgKey.fileDirectory)!;
  const data = new DataView(bytes.buffer, bytes.byteOffset);
  assert.equal(bytes.length, 4 + 2 * 64);
  assert.equal(data.getUint32(0), 2);
  assert.equal(data.getUint32(4), 5);
  assert.equal(data.getUint16(8), 0x20);
  assert.equal(new TextDecoder().decode(bytes.subarray(12, 21)), "etc/e820\0");
  assert.equal(data.getUint32(68), 4);
  assert.equal(data.getUint16(72), 0x21);
});

Deno.test("DMA selects and reads in one request, zeros beyond the end (fw_cfg, DMA)", () => {
  const { memory, request, bytes } = started();
  memory.view(DATA, 16)!.fill(0xee);
  assert.equal(request(FILE * 2 ** 16 + (SELECT | READ), 7), 0);
  assert.deepEqual(bytes(8), [1, 2, 3, 4, 5, 0, 0, 0xee]);
});

Deno.test("DMA goes on where the last access stopped, and skips (fw_cfg, DMA)", () => {
  const { request, select, read, bytes } = started();
  select(FILE);
  assert.deepEqual(read(1), [1]);
  assert.equal(request(SKIP, 2), 0);
  assert.equal(request(READ, 1), 0);
  assert.deepEqual(bytes(1), [4]);
  assert.deepEqual(read(2), [5, 0]);
  assert.equal(request(SKIP, 0xffff_ffff), 0);
});

Deno.test("DMA writes writable files, and whoever wants to know is told (fw_cfg, DMA)", () => {
  const { memory, request, device, told } = started();
  memory.view(DATA, 2)!.set([7, 8]);
  assert.equal(request(WRITABLE * 2 ** 16 + (SELECT | SKIP), 1), 0);
  assert.equal(request(WRITE, 2), 0);
  assert.deepEqual([...device.content(WRITABLE)!], [9, 7, 8, 9]);
  assert.deepEqual(told, [Uint8Array.of(9, 7, 8, 9)]);
  device.reset();
  assert.deepEqual([...device.content(WRITABLE)!], [9, 9, 9, 9]);
});

Deno.test("DMA cannot write what is not writable, nor beyond a file's end (fw_cfg, DMA)", () => {
  const { request, device } = started();
  assert.equal(request(FILE * 2 ** 16 + (SELECT | WRITE), 1), 1);
  assert.equal(request(WRITABLE * 2 ** 16 + (SELECT | WRITE), 5), 1);
  assert.equal(request(0x3000 * 2 ** 16 + (SELECT | WRITE), 1), 1);
  assert.deepEqual([...device.content(FILE)!], [1, 2, 3, 4, 5]);
  assert.deepEqual([...device.content(WRITABLE)!], [9, 9, 9, 9]);
});

Deno.test("DMA outside of RAM ends with an error before a byte has moved (fw_cfg, DMA)", () => {
  const { memory, request, bytes } = started();
  const end = memory.lowBytes;
  memory.view(end - 2, 2)!.fill(0xee);
  const read = FILE * 2 ** 16 + (SELECT | READ);
  assert.equal(request(read, 5, end - 2), 1);
  assert.deepEqual(bytes(2, end - 2), [0xee, 0xee]);
  assert.equal(request(read, 0xffff_ffff, 0), 1);
  assert.equal(request(read, 5, 2 ** 52), 1);
  assert.equal(request(WRITABLE * 2 ** 16 + (SELECT | WRITE), 4, end), 1);
});

Deno.test("a DMA request that is itself outside of RAM does nothing (fw_cfg, DMA)", () => {
  const { memory, request, select, read } = started();
  select(FILE);
  assert.equal(request(SKIP, 1, DATA, memory.lowBytes), -1);
  assert.equal(request(SKIP, 1, DATA, 2 ** 40), -1);
  assert.deepEqual(read(1), [1]);
});

Deno.test("the high half of the address counts for one request only (fw_cfg, DMA)", () => {
  const { dma, memory, request } = started();
  dma.write(0, 4, 0x0100_0000);
  dma.write(4, 4, 0x0010_0000);
  assert.equal(request(FILE * 2 ** 16 + (SELECT | READ), 1), 0);
  memory.writeU32(REQUEST, 0x0200_0000);
  dma.write(4, 4, 0x0010_0000);
  assert.equal(memory.readU32(REQUEST), 0);
});

Deno.test("accesses of other widths are no accesses (fw_cfg, ports)", () => {
  const { device, select, read, dma, memory } = started();
  select(FILE);
  device.ports.write(0, 1, 1);
  device.ports.write(1, 1, 1);
  assert.equal(device.ports.read(0, 1), 0xff);
  assert.deepEqual(read(1), [1]);
  memory.writeU32(REQUEST, 0x0200_0000);
  dma.write(6, 2, 0x0010);
  assert.equal(memory.readU32(REQUEST), 0x0200_0000);
});

Deno.test("files need a name of 1 to 55 bytes that is free", () => {
  const all = contents();
  const add = (name: string) => () => all.file(name, new Uint8Array(1));
  assert.throws(add("etc/e820"), /"etc\/e820": the name is taken/);
  assert.throws(add(""), /0 bytes/);
  assert.throws(add("x".repeat(56)), /56 bytes; 1 to 55/);
  add("x".repeat(55))();
  assert.equal(all.files.at(-1)!.key, 0x22);
});
