import assert from "node:assert/strict";
import { I8237, I8237State } from "../../../devices/system/i8237.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

function build(bench: TestBench) {
  const state = bench.state(I8237State);
  return new I8237({ state, memory: bench.memory, lock: bench.arena.lock("dma") });
}

function start() {
  const bench = new TestBench();
  const dma = build(bench);
  dma.reset();
  return { bench, dma };
}

/** Programs channel 2 as a floppy driver does: mask, mode, address, count, page, unmask. */
function program(dma: I8237, mode: number, address: number, bytes: number): void {
  const out = (port: number, value: number) => dma.first.write(port, 1, value);
  out(0x0a, 4 | 2);
  out(0x0c, 0);
  out(0x0b, mode | 2);
  out(0x04, address & 0xff);
  out(0x04, (address >> 8) & 0xff);
  out(0x05, (bytes - 1) & 0xff);
  out(0x05, (bytes - 1) >> 8);
  dma.pages.write(1, 1, address >> 16);
  out(0x0a, 2);
}

const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff);

deviceContract("i8237", (bench) => {
  const device = build(bench);
  const channels = [0, 1, 2, 3, 5, 6, 7].map((n) => device.channel(n));
  return {
    device,
    ports: [
      { handler: device.first, length: 16, sizes: [1] },
      { handler: device.second, length: 32, sizes: [1] },
      { handler: device.pages, length: 16, sizes: [1] },
    ],
    events: [
      (random) => void random.pick(channels).toMemory(pattern(random.below(3000))),
      (random) => void random.pick(channels).fromMemory(new Uint8Array(random.below(3000))),
      (random) => random.pick(channels).request(random.chance(50)),
      (random) => void random.pick(channels).remaining(),
    ],
    likely: [
      { port: 0, offset: 14, size: 1, values: [0] },
      { port: 0, offset: 11, size: 1, values: [0x46, 0x4a, 0x56, 0x66, 0x42] },
      { port: 1, offset: 28, size: 1, values: [0] },
      { port: 1, offset: 22, size: 1, values: [0x45, 0x49, 0x65, 0xc0] },
      { port: 0, offset: 8, size: 1, values: [0] },
      { port: 1, offset: 16, size: 1, values: [0] },
      { port: 2, offset: 1, size: 1, values: [0, 1, 3, 4, 0xff] },
    ],
  };
}, { blindSteps: 5000 });

Deno.test("i8237 byte pointer: low byte, high byte, and base equals current (8237A, Base Address)", () => {
  const { dma } = start();
  dma.first.write(4, 1, 0x34);
  dma.first.write(4, 1, 0x12);
  assert.equal(dma.first.read(4, 1), 0x34);
  assert.equal(dma.first.read(4, 1), 0x12);
  dma.first.write(5, 1, 0xff);
  dma.first.write(12, 1, 0);
  assert.equal(dma.first.read(5, 1), 0xff, "clear byte pointer returned to the low byte");
});

Deno.test("i8237 second chip has its registers at every other port (AT Technical Reference)", () => {
  const { dma } = start();
  dma.second.write(0x04, 1, 0xcd);
  dma.second.write(0x05, 1, 0xab);
  dma.second.write(0x18, 1, 0);
  assert.equal(dma.second.read(0x04, 1), 0xcd);
  assert.equal(dma.second.read(0x04, 1), 0xab);
});

Deno.test("i8237 write transfer stores bytes, counts down and pulses TC at the last (8237A, Terminal Count)", () => {
  const { bench, dma } = start();
  program(dma, 0x44, 0x1_2000, 512);
  const channel = dma.channel(2);
  const data = pattern(600);
  assert.equal(channel.remaining(), 512);
  assert.deepEqual(channel.toMemory(data.subarray(0, 200)), { done: 200, terminalCount: false });
  assert.equal(channel.remaining(), 312);
  assert.deepEqual(channel.toMemory(data.subarray(200)), { done: 312, terminalCount: true });
  assert.deepEqual(bench.memory.view(0x1_2000, 512), data.subarray(0, 512));
  assert.equal(bench.memory.readU8(0x1_2200), 0);
  assert.equal(dma.first.read(8, 1), 0x04, "TC of channel 2");
  assert.equal(dma.first.read(8, 1), 0, "reading clears it");
  assert.equal(dma.first.read(5, 1), 0xff, "the count has rolled over to FFFFh");
  assert.equal(dma.first.read(5, 1), 0xff);
  assert.equal(dma.first.read(15, 1) & 4, 4, "without autoinitialize the channel masks itself");
  assert.deepEqual(channel.toMemory(data), { done: 0, terminalCount: false });
});

Deno.test("i8237 read transfer fetches bytes and leaves memory alone (8237A, Read)", () => {
  const { bench, dma } = start();
  bench.memory.view(0x3_0000, 4)!.set([1, 2, 3, 4]);
  program(dma, 0x48, 0x3_0000, 4);
  const got = new Uint8Array(3);
  assert.deepEqual(dma.channel(2).fromMemory(got), { done: 3, terminalCount: false });
  assert.deepEqual([...got], [1, 2, 3]);
});

Deno.test("i8237 a transfer against the programmed direction is not served", () => {
  const { dma } = start();
  program(dma, 0x44, 0x1000, 16);
  assert.equal(dma.channel(2).fromMemory(new Uint8Array(16)).done, 0);
  program(dma, 0x48, 0x1000, 16);
  assert.equal(dma.channel(2).toMemory(new Uint8Array(16)).done, 0);
  assert.equal(dma.channel(2).remaining(), 16);
});

Deno.test("i8237 verify counts and reaches TC without storing (8237A, Verify)", () => {
  const { bench, dma } = start();
  program(dma, 0x40, 0x1000, 4);
  assert.deepEqual(dma.channel(2).toMemory(pattern(4)), { done: 4, terminalCount: true });
  assert.equal(bench.memory.readU32(0x1000), 0);
});

Deno.test("i8237 autoinitialize restores address and count and does not mask (8237A, Autoinitialize)", () => {
  const { bench, dma } = start();
  program(dma, 0x54, 0x2000, 4);
  const channel = dma.channel(2);
  assert.equal(channel.toMemory(Uint8Array.of(1, 2, 3, 4)).terminalCount, true);
  assert.equal(channel.toMemory(Uint8Array.of(9)).done, 1);
  assert.equal(bench.memory.readU32(0x2000), 0x0403_0209);
  assert.equal(channel.remaining(), 3);
});

Deno.test("i8237 the address decrements when the mode says so (8237A, Mode Register)", () => {
  const { bench, dma } = start();
  program(dma, 0x64, 0x2003, 4);
  dma.channel(2).toMemory(Uint8Array.of(1, 2, 3, 4));
  assert.equal(bench.memory.readU32(0x2000), 0x0102_0304);
});

Deno.test("i8237 a byte channel wraps within 64 KiB: the page register does not carry (AT)", () => {
  const { bench, dma } = start();
  program(dma, 0x44, 0x1_fffe, 4);
  dma.channel(2).toMemory(Uint8Array.of(1, 2, 3, 4));
  assert.equal(bench.memory.readU16(0x1_fffe), 0x0201);
  assert.equal(bench.memory.readU16(0x1_0000), 0x0403);
  assert.equal(bench.memory.readU16(0x2_0000), 0);
});

Deno.test("i8237 a word channel moves words, wraps within 128 KiB and ignores page bit 0 (AT)", () => {
  const { bench, dma } = start();
  // Channel 5: word address FFFFh in page 02h, two words.
  for (const [port, value] of [[0x18, 0], [0x04, 0xff], [0x04, 0xff], [0x06, 1], [0x06, 0]]) {
    dma.second.write(port, 1, value);
  }
  dma.pages.write(0xb, 1, 0x03);
  dma.second.write(0x16, 1, 0x45);
  dma.second.write(0x14, 1, 1);
  const channel = dma.channel(5);
  assert.equal(channel.remaining(), 4);
  const result = channel.toMemory(Uint8Array.of(1, 2, 3, 4, 5));
  assert.deepEqual(result, { done: 4, terminalCount: true });
  assert.equal(bench.memory.readU16(0x3_fffe), 0x0201);
  assert.equal(bench.memory.readU16(0x2_0000), 0x0403);
});

Deno.test("i8237 beyond RAM, reads give FFh and writes are dropped", () => {
  const { bench, dma } = start();
  const end = bench.memory.ramBytes;
  program(dma, 0x44, end - 2, 4);
  assert.equal(dma.channel(2).toMemory(Uint8Array.of(1, 2, 3, 4)).done, 4);
  assert.equal(bench.memory.readU16(end - 2), 0x0201);
  program(dma, 0x48, 0xff_0000, 4);
  const got = new Uint8Array(4);
  assert.equal(dma.channel(2).fromMemory(got).done, 4);
  assert.deepEqual([...got], [255, 255, 255, 255]);
});

Deno.test("i8237 mask, command disable and cascade keep a channel from being served", () => {
  const { dma } = start();
  const channel = dma.channel(2);
  program(dma, 0x44, 0, 16);
  dma.first.write(10, 1, 4 | 2);
  assert.equal(channel.remaining(), 0);
  dma.first.write(14, 1, 0);
  assert.equal(channel.remaining(), 16, "clear mask register");
  dma.first.write(8, 1, 4);
  assert.equal(channel.toMemory(new Uint8Array(1)).done, 0);
  dma.first.write(8, 1, 0);
  dma.first.write(11, 1, 0xc6);
  assert.equal(channel.toMemory(new Uint8Array(1)).done, 0);
});

Deno.test("i8237 master clear masks all channels, clears status and byte pointer, keeps counts (8237A, Master Clear)", () => {
  const { dma } = start();
  program(dma, 0x44, 0x1234, 1);
  dma.channel(2).toMemory(new Uint8Array(1));
  dma.first.write(15, 1, 0);
  dma.first.write(0, 1, 0x55);
  dma.first.write(13, 1, 0);
  assert.equal(dma.first.read(15, 1) & 15, 15);
  assert.equal(dma.first.read(8, 1), 0);
  assert.equal(dma.first.read(4, 1), 0x35);
  assert.equal(dma.first.read(4, 1), 0x12);
});

Deno.test("i8237 status shows who requests in its upper half (8237A, Status Register)", () => {
  const { dma } = start();
  dma.channel(2).request(true);
  dma.first.write(9, 1, 4 | 1);
  assert.equal(dma.first.read(8, 1), 0x60);
  dma.channel(2).request(false);
  dma.first.write(9, 1, 1);
  assert.equal(dma.first.read(8, 1), 0);
});

Deno.test("i8237 page registers keep what is written, also those without a channel", () => {
  const { dma } = start();
  dma.pages.write(4, 1, 0x5a);
  assert.equal(dma.pages.read(4, 1), 0x5a);
});
