import assert from "node:assert/strict";
import { SerialEngine } from "../../../devices/disk/engine/serial_engine.ts";
import { VirtioBlk, VirtioBlkState } from "../../../devices/virtio/blk/virtio_blk.ts";
import { BlockResult } from "../../../hv/core/media/block.ts";
import type { BlockEngine, BlockRequest } from "../../../hv/core/media/block_engine.ts";
import { RateLimit, RateLimitState, type Rates } from "../../../hv/core/time/rate_limit.ts";
import { MemoryImage } from "../../support/memory_image.ts";
import { TestBench } from "../../support/test_bench.ts";
import { NEEDS_RESET, ready } from "./support.ts";

const SECTORS = 64;
const HEADER = 0x6000;
const DATA = 0x8000;
const STATUS = 0x7000;

interface DiskOptions {
  readonly readOnly?: boolean;
  readonly engine?: BlockEngine;
  /** What the driver accepts. */
  readonly features?: readonly number[];
  readonly rates?: Rates;
}
const FLUSH = 9;
const INDIRECT_DESC = 28;
const CONFIG_WCE = 11;
const DISCARD = 13;
const WRITE_ZEROES = 14;
const ALL = [FLUSH, CONFIG_WCE];

/** A disk with its driver; requests are chains of header, data and status byte (5.2.6). */
function disk({ readOnly = false, engine, features = ALL, rates }: DiskOptions = {}) {
  const bench = new TestBench();
  const { memory } = bench;
  const image = new MemoryImage(SECTORS * 512, readOnly);
  const errors: string[] = [];
  const limit = rates && new RateLimit(rates, {
    state: bench.state(RateLimitState),
    clock: bench.clock,
    timer: bench.timer("limit"),
  });
  const blk = new VirtioBlk(bench.state(VirtioBlkState), {
    sizeBytes: SECTORS * 512,
    readOnly,
    geometry: { cylinders: 2, heads: 4, sectors: 8 },
    serial: "HV-7",
    queues: 1,
  }, limit);
  blk.engine = engine ?? new SerialEngine(image, memory, ({ message }) => errors.push(message));
  const made = ready(bench, blk, { size: 16, features });
  if (limit !== undefined) limit.timer.onExpire = () => made.core.revisitAll();
  const header = (type: number, sector: number, at = HEADER) => {
    memory.writeU32(at, type);
    memory.writeU32(at + 4, 0);
    memory.writeU32(at + 8, sector % 2 ** 32);
    memory.writeU32(at + 12, Math.floor(sector / 2 ** 32));
    return { address: at, length: 16 };
  };
  const serve = () => {
    made.core.notify(0);
    made.core.serve(false);
  };
  /** One request from beginning to end: the status byte and the used length. */
  const request = (type: number, sector: number, length: number, write: boolean) => {
    memory.writeU8(STATUS, 0xee);
    const data = length === 0 ? [] : [{ address: DATA, length, write }];
    made.driver.add(header(type, sector), ...data, { address: STATUS, length: 1, write: true });
    serve();
    return { status: memory.readU8(STATUS), used: made.driver.takeUsed()[0]?.length };
  };
  return { ...made, bench, memory, image, errors, blk, header, serve, request };
}

Deno.test("the configuration space has capacity, geometry and limits (5.2.4)", () => {
  const { core } = disk();
  assert.equal(core.readConfig(0, 4), SECTORS);
  assert.equal(core.readConfig(4, 4), 0);
  assert.equal(core.readConfig(12, 4), 254, "seg_max: the queue less header and status");
  assert.deepEqual([core.readConfig(16, 2), core.readConfig(18, 1), core.readConfig(19, 1)], [
    2,
    4,
    8,
  ]);
  assert.equal(core.readConfig(20, 4), 512);
  assert.equal(core.readConfig(24, 1), 3, "4096-byte physical blocks");
  assert.equal(core.readConfig(34, 2), 1, "num_queues");
});

Deno.test("OUT writes sectors and IN reads them back (5.2.6)", () => {
  const { memory, request, image } = disk();
  const written = memory.view(DATA, 1024)!;
  for (let i = 0; i < 1024; i++) written[i] = i * 7;
  const expected = written.slice();
  assert.deepEqual(request(1, 5, 1024, false), { status: 0, used: 1 });
  const there = new Uint8Array(1024);
  image.read(5 * 512, there);
  assert.deepEqual(there, expected);
  written.fill(0);
  assert.deepEqual(request(0, 5, 1024, true), { status: 0, used: 1025 });
  assert.deepEqual(memory.view(DATA, 1024)!.slice(), expected);
});

Deno.test("data and header may be cut anywhere (2.6.4.1)", () => {
  const { memory, driver, header, serve, image } = disk();
  const { address } = header(1, 2);
  memory.view(DATA, 512)!.fill(0x5a);
  driver.add(
    { address, length: 3 },
    { address: address + 3, length: 13 },
    { address: DATA, length: 100 },
    { address: DATA + 100, length: 412 },
    { address: STATUS, length: 1, write: true },
  );
  memory.writeU8(STATUS, 0xee);
  serve();
  assert.equal(memory.readU8(STATUS), 0);
  const there = new Uint8Array(512);
  image.read(2 * 512, there);
  assert.ok(there.every((byte) => byte === 0x5a));
});

Deno.test("FLUSH reaches the medium", () => {
  const { request, image } = disk();
  let flushed = 0;
  image.flush = () => void flushed++;
  assert.deepEqual(request(4, 0, 0, false), { status: 0, used: 1 });
  assert.equal(flushed, 1);
});

Deno.test("GET_ID gives 20 bytes, padded with zeros (5.2.6)", () => {
  const { memory, request } = disk();
  memory.view(DATA, 20)!.fill(0xee);
  assert.deepEqual(request(8, 0, 20, true), { status: 0, used: 21 });
  const id = new TextDecoder().decode(memory.view(DATA, 20)!.slice());
  assert.equal(id, "HV-7".padEnd(20, "\0"));
});

Deno.test("an unknown type is answered UNSUPP", () => {
  assert.equal(disk().request(77, 0, 512, true).status, 2);
});

Deno.test("what lies beyond the medium is an I/O error, and claims no data (2.7.8.2)", () => {
  const { request } = disk();
  for (const sector of [SECTORS, SECTORS - 1, 2 ** 32, 2 ** 44, 2 ** 55, 2 ** 63]) {
    assert.deepEqual(request(0, sector, 1024, true), { status: 1, used: 0 }, `sector ${sector}`);
    assert.equal(request(1, sector, 1024, false).status, 1);
  }
});

Deno.test("parts of sectors are an I/O error (5.2.6.1)", () => {
  const { request } = disk();
  assert.equal(request(0, 0, 511, true).status, 1);
  assert.equal(request(1, 0, 513, false).status, 1);
});

Deno.test("a read-only disk says RO and fails writes, leaving the medium alone (5.2.6.2)", () => {
  const { core, request, image } = disk({ readOnly: true });
  assert.equal(core.deviceFeatures(0) & (1 << 5), 1 << 5);
  assert.equal(request(1, 0, 512, false).status, 1);
  assert.equal(image.writes, 0);
});

Deno.test("a request without header or status byte has no answer: the device needs a reset", () => {
  for (
    const buffers of [
      [{ address: HEADER, length: 15 }, { address: STATUS, length: 1, write: true }],
      [{ address: HEADER, length: 16 }],
    ]
  ) {
    const { core, driver, serve } = disk();
    driver.add(...buffers);
    serve();
    assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
    core.status = 0;
    assert.equal(core.status, 0);
  }
});

Deno.test("what the host fails with is an I/O error for the guest, and told to the user", () => {
  const { request, image, errors } = disk();
  image.write = () => {
    throw new Error("no space left on device");
  };
  assert.equal(request(1, 0, 512, false).status, 1);
  assert.deepEqual(errors, ["no space left on device"]);
  assert.equal(request(0, 0, 512, true).status, 0, "the machine goes on");
});

Deno.test("many requests are under way at once, and end in any order with one interrupt for all", () => {
  const begun: { request: BlockRequest; done: (result: BlockResult) => void }[] = [];
  const { blk, driver, memory, header, serve, transport } = disk({
    engine: { start: (request, done) => void begun.push({ request, done }) },
  });
  for (let i = 0; i < 3; i++) {
    driver.add(
      header(0, i, HEADER + i * 16),
      { address: DATA + i * 512, length: 512, write: true },
      { address: STATUS + i, length: 1, write: true },
    );
  }
  serve();
  assert.deepEqual(
    begun.map(({ request }) => request),
    [0, 1, 2].map((i) => ({
      op: "read",
      offset: i * 512,
      length: 512,
      ranges: [{ address: DATA + i * 512, length: 512 }],
    })),
  );
  assert.equal(driver.usedIndex, 0);
  memory.writeU8(STATUS, 0xee);
  begun[2].done(BlockResult.ok);
  begun[0].done(BlockResult.ioError);
  assert.equal(driver.usedIndex, 0, "the driver sees them with the interrupt");
  assert.equal(transport.take(), 0);
  blk.signal();
  assert.deepEqual(driver.takeUsed(), [{ id: 6, length: 513 }, { id: 0, length: 0 }]);
  assert.equal(memory.readU8(STATUS), 1);
  assert.equal(transport.take(), 1);
  blk.signal();
  assert.equal(transport.take(), 0);
  begun[1].done(BlockResult.ok);
  blk.signal();
  assert.equal(driver.takeUsed()[0].id, 3);
});

Deno.test("a guest that asks for gigabytes at once gets them part by part", () => {
  const begun: { bytes: number; sector: number; done: (result: BlockResult) => void }[] = [];
  const { blk, driver, memory, header, serve, core } = disk({
    features: [INDIRECT_DESC],
    engine: {
      start: (request, done) => {
        assert.ok("ranges" in request);
        begun.push({ bytes: request.length, sector: request.offset / 512, done });
      },
    },
  });
  // All of memory, again and again: 62 MiB each.
  const all = { address: 0, length: memory.lowBytes, write: true };
  const data = new Array(248).fill(all);
  for (let i = 0; i < 8; i++) {
    const status = { address: STATUS, length: 1, write: true };
    const request = [header(0, i, HEADER + i * 16), ...data, status];
    driver.add(driver.indirect(0x1_0000 + i * 0x1000, request));
  }
  serve();
  const { bytes } = begun[0];
  assert.ok(bytes > 60 << 20);
  assert.equal(begun.length, 5, "256 MiB are reached");
  for (let i = 0; i < begun.length; i++) {
    begun[i].done(BlockResult.ok);
    core.serve(false);
    assert.equal(begun.length, Math.min(8, 6 + i), "one for each that has ended");
  }
  assert.deepEqual(begun.map(({ sector }) => sector), [0, 1, 2, 3, 4, 5, 6, 7]);
  blk.signal();
  assert.equal(driver.takeUsed().length, 8);
});

/** Ranges as DISCARD and WRITE_ZEROES have them: sector, sectors, flags (5.2.6). */
function ranges(made: ReturnType<typeof disk>, ...list: [number, number, number][]): number {
  for (const [i, [sector, sectors, flags]] of list.entries()) {
    const at = DATA + i * 16;
    made.memory.writeU32(at, sector % 2 ** 32);
    made.memory.writeU32(at + 4, Math.floor(sector / 2 ** 32));
    made.memory.writeU32(at + 8, sectors);
    made.memory.writeU32(at + 12, flags);
  }
  return list.length * 16;
}

const filled = (features: readonly number[] = [...ALL, DISCARD, WRITE_ZEROES]) => {
  const made = disk({ features });
  made.image.write(0, new Uint8Array(SECTORS * 512).fill(0x77));
  const sectors = () => {
    const bytes = new Uint8Array(SECTORS * 512);
    made.image.read(0, bytes);
    return Array.from({ length: SECTORS }, (_, i) => i).filter((i) => bytes[i * 512] !== 0x77);
  };
  return { ...made, sectors };
};

Deno.test("WRITE_ZEROES clears every range of a request (5.2.6)", () => {
  const made = filled();
  const length = ranges(made, [1, 2, 0], [10, 1, 1], [63, 1, 0]);
  assert.deepEqual(made.request(13, 0, length, false), { status: 0, used: 1 });
  assert.deepEqual(made.sectors(), [1, 2, 10, 63]);
});

Deno.test("DISCARD reaches the medium, range by range", () => {
  const made = filled();
  const discarded: [number, number][] = [];
  made.image.discard = (offset, length) => void discarded.push([offset, length]);
  assert.equal(made.request(11, 0, ranges(made, [2, 3, 0], [8, 8, 0]), false).status, 0);
  assert.deepEqual(discarded, [[1024, 1536], [4096, 4096]]);
});

Deno.test("DISCARD with unmap and any unknown flag are UNSUPP, and nothing is done (5.2.6.2)", () => {
  const made = filled();
  assert.equal(made.request(11, 0, ranges(made, [0, 1, 1]), false).status, 2);
  assert.equal(made.request(11, 0, ranges(made, [0, 1, 2]), false).status, 2);
  assert.equal(made.request(13, 0, ranges(made, [0, 1, 0], [4, 1, 2]), false).status, 2);
  assert.deepEqual(made.sectors(), []);
});

Deno.test("ranges beyond the medium or the limits, none, and parts of one are I/O errors", () => {
  const made = filled();
  const status = (type: number, length: number) => made.request(type, 0, length, false).status;
  assert.equal(status(13, ranges(made, [SECTORS - 1, 2, 0])), 1);
  assert.equal(status(13, ranges(made, [2 ** 55, 1, 0])), 1);
  assert.equal(status(13, ranges(made, [0, 0xffff_ffff, 0])), 1);
  assert.equal(status(13, 0), 1);
  assert.equal(status(13, ranges(made, [0, 1, 0]) - 1), 1);
  assert.equal(status(11, ranges(made, ...Array(17).fill([0, 1, 0]))), 1);
  assert.deepEqual(made.sectors(), []);
});

Deno.test("of several ranges one that fails fails the request", () => {
  const made = filled();
  assert.equal(made.request(13, 0, ranges(made, [0, 1, 0], [SECTORS, 1, 0]), false).status, 1);
});

Deno.test("a read-only disk offers neither DISCARD nor WRITE_ZEROES and refuses them", () => {
  const made = disk({ readOnly: true });
  assert.equal(made.core.deviceFeatures(0) & (1 << DISCARD | 1 << WRITE_ZEROES), 0);
  assert.equal(made.request(13, 0, ranges(made, [0, 1, 0]), false).status, 1);
});

/** How often the medium was flushed by one write. */
function flushes(made: ReturnType<typeof disk>): number {
  let count = 0;
  made.image.flush = () => void count++;
  assert.equal(made.request(1, 0, 512, false).status, 0);
  return count;
}

Deno.test("a write lasts when it is reported unless the driver has agreed to a cache (5.2.6.2)", () => {
  assert.equal(flushes(disk({ features: [] })), 1, "neither FLUSH nor CONFIG_WCE");
  assert.equal(flushes(disk({ features: [FLUSH] })), 0);
  assert.equal(flushes(disk({ features: [FLUSH, CONFIG_WCE] })), 0);
  assert.equal(flushes(disk({ features: [CONFIG_WCE] })), 1, "writeback is 0 then (5.2.5.2)");
});

Deno.test("the driver turns the cache off and on by writeback (5.2.5)", () => {
  const made = disk({ features: [FLUSH, CONFIG_WCE] });
  assert.equal(made.core.readConfig(32, 1), 1);
  made.core.writeConfig(32, 1, 0);
  assert.equal(flushes(made), 1);
  made.core.writeConfig(32, 1, 1);
  assert.equal(flushes(made), 0);
  const without = disk({ features: [FLUSH] });
  without.core.writeConfig(32, 1, 0);
  assert.equal(without.core.readConfig(32, 1), 1, "not without CONFIG_WCE");
});

Deno.test("nothing else of the configuration space can be written", () => {
  const made = disk();
  const before = [0, 4, 12, 20, 36, 48, 56].map((at) => made.core.readConfig(at, 4));
  for (const at of [0, 4, 12, 20, 36, 48, 56]) made.core.writeConfig(at, 4, 0xffff_ffff);
  assert.deepEqual([0, 4, 12, 20, 36, 48, 56].map((at) => made.core.readConfig(at, 4)), before);
});

Deno.test("a limit of requests lets a burst pass and then one at a time, in guest time", () => {
  const { core, driver, header, serve, bench } = disk({ rates: { requestsPerSecond: 20 } });
  for (let i = 0; i < 5; i++) {
    driver.add(
      header(0, i, HEADER + i * 16),
      { address: DATA + i * 512, length: 512, write: true },
      { address: STATUS + i, length: 1, write: true },
    );
  }
  // 50 ms a request, and 100 ms of them at once.
  serve();
  assert.equal(driver.usedIndex, 3);
  const after = (ns: number) => {
    bench.advance(ns);
    core.serve(false);
    return driver.usedIndex;
  };
  assert.equal(after(49_000_000), 3);
  assert.equal(after(2_000_000), 4);
  assert.equal(after(48_000_000), 4);
  assert.equal(after(2_000_000), 5);
});

Deno.test("a limit of bytes counts what is read and written", () => {
  const { core, request, bench } = disk({ rates: { bytesPerSecond: 10_240 } });
  assert.equal(request(1, 0, 4096, false).status, 0);
  const late = request(0, 0, 512, true);
  assert.equal(late.status, 0xee, "the first took 400 ms of what is allowed");
  bench.advance(299_000_000);
  core.serve(false);
  assert.equal(bench.memory.readU8(STATUS), 0xee);
  bench.advance(2_000_000);
  core.serve(false);
  assert.equal(bench.memory.readU8(STATUS), 0);
});
