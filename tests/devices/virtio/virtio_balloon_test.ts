import assert from "node:assert/strict";
import {
  VirtioBalloon,
  VirtioBalloonState,
} from "../../../devices/virtio/balloon/virtio_balloon.ts";
import { TestBench } from "../../support/test_bench.ts";
import { NEEDS_RESET, ready } from "./support.ts";

const STATS_VQ = 1;
const DEFLATE_ON_OOM = 2;
const PAGE_REPORTING = 5;
const FEATURES = [STATS_VQ, DEFLATE_ON_OOM, PAGE_REPORTING];
const INFLATE = 0;
const DEFLATE = 1;
const STATS = 2;
const REPORTING = 3;
const BUFFER = 0x1_0000;
const RAM_PAGES = (1 << 18) / 4096;

/** A balloon with its driver, and what goes back to the host, as pages. */
function balloon(features: readonly number[] = FEATURES) {
  const bench = new TestBench();
  const { memory } = bench;
  const device = new VirtioBalloon(bench.state(VirtioBalloonState));
  const returned: [page: number, pages: number][] = [];
  device.discard = (address, length) => {
    if (memory.view(address, length) === undefined) return false;
    returned.push([address / 4096, length / 4096]);
    return true;
  };
  const made = ready(bench, device, { features });
  const serve = (queue: number) => {
    made.core.notify(queue);
    made.core.serve(false);
  };
  /** Sends page numbers as a driver does (5.5.6.2). */
  const pages = (queue: number, ...numbers: readonly number[]) => {
    numbers.forEach((number, i) => memory.writeU32(BUFFER + i * 4, number));
    made.drivers[queue].add({ address: BUFFER, length: numbers.length * 4 });
    serve(queue);
    return made.drivers[queue].takeUsed();
  };
  /** Makes statistics available, as pairs of tag and value. */
  const statistics = (...entries: readonly [tag: number, value: number][]) => {
    entries.forEach(([tag, value], i) => {
      memory.writeU16(BUFFER + i * 10, tag);
      memory.writeU32(BUFFER + i * 10 + 2, value % 2 ** 32);
      memory.writeU32(BUFFER + i * 10 + 6, Math.floor(value / 2 ** 32));
    });
    made.drivers[STATS].add({ address: BUFFER, length: entries.length * 10 });
    serve(STATS);
  };
  return { ...made, bench, memory, device, returned, serve, pages, statistics };
}

Deno.test("a balloon is device 5, and offers what gives memory back without being asked (5.5.1, 5.5.3)", () => {
  const { core } = balloon();
  assert.equal(core.device.id, 5);
  assert.equal(core.deviceFeatures(0) & 0xff_ffff, 1 << 1 | 1 << 2 | 1 << 5);
  assert.deepEqual([core.readConfig(0, 4), core.readConfig(4, 4)], [0, 0]);
});

Deno.test("the host's wish is in num_pages, and the driver is told; its answer is in actual (5.5.4)", () => {
  const { core, device, transport } = balloon();
  device.wantedBytes = 10 * 4096 + 4095;
  assert.equal(core.readConfig(0, 4), 10);
  assert.equal(transport.configInterrupts, 1);
  core.writeConfig(4, 4, 7);
  core.writeConfig(0, 4, 99);
  assert.deepEqual([core.readConfig(0, 4), device.actualBytes], [10, 7 * 4096]);
  core.reset();
  assert.deepEqual(
    [device.wantedBytes, device.actualBytes],
    [10 * 4096, 0],
    "a wish outlives a reset",
  );
});

Deno.test("inflated pages go back to the host, neighbours together, whatever their order (5.5.6.2)", () => {
  const { pages, returned, device } = balloon();
  assert.deepEqual(pages(INFLATE, 33, 32, 34, 40, 32), [{ id: 0, length: 0 }]);
  assert.deepEqual(returned, [[32, 3], [40, 1]]);
  assert.equal(device.returnedBytes, 4 * 4096);
});

Deno.test("deflated pages come back to the guest with nothing to do: they are there when touched", () => {
  const { pages, returned } = balloon();
  assert.deepEqual(pages(DEFLATE, 33, 34), [{ id: 0, length: 0 }]);
  assert.deepEqual(returned, []);
});

Deno.test("reported pages go back, as far as whole ones are in a range (5.5.6.8)", () => {
  const { drivers, serve, returned } = balloon();
  drivers[REPORTING].add(
    { address: 0x2_0000, length: 0x4000, write: true },
    { address: 0x2_8010, length: 0x2ff0, write: true },
    { address: 0x3_0001, length: 0x1000, write: true },
  );
  serve(REPORTING);
  assert.deepEqual(drivers[REPORTING].takeUsed(), [{ id: 0, length: 0 }]);
  assert.deepEqual(returned, [[0x20, 4], [0x29, 2]]);
});

Deno.test("the queue of reports is 4 as the standard counts, 3 or 2 as Linux does (5.5.2)", () => {
  for (const [queue, features] of [[4, FEATURES], [3, FEATURES], [2, [PAGE_REPORTING]]] as const) {
    const { drivers, serve, returned } = balloon(features);
    drivers[queue].add({ address: 0x2_0000, length: 0x1000, write: true });
    serve(queue);
    assert.deepEqual(returned, [[0x20, 1]], `queue ${queue}`);
  }
});

Deno.test("without PAGE_REPORTING reports have no meaning", () => {
  const { drivers, serve, returned } = balloon([STATS_VQ]);
  drivers[REPORTING].add({ address: 0x2_0000, length: 0x1000, write: true });
  serve(REPORTING);
  assert.deepEqual(drivers[REPORTING].takeUsed(), [{ id: 0, length: 0 }]);
  assert.deepEqual(returned, []);
});

Deno.test("the device keeps the driver's statistics, and gives the buffer back for new ones (5.5.6.3)", () => {
  const { core, device, drivers, serve, statistics, transport } = balloon();
  statistics([4, 5000], [5, 2 ** 33 + 1], [77, 1]);
  assert.deepEqual(device.statistics, { freeBytes: 5000, totalBytes: 2 ** 33 + 1 });
  assert.equal(device.heard, 1);
  serve(STATS);
  assert.equal(device.heard, 1, "what has been read is not read again");
  assert.deepEqual(drivers[STATS].takeUsed(), [], "the buffer stays with the device");
  transport.take(STATS);
  device.askForStatistics();
  core.serve(false);
  assert.deepEqual(drivers[STATS].takeUsed(), [{ id: 0, length: 0 }]);
  assert.equal(transport.take(STATS), 1);
  assert.equal(drivers[STATS].usedFlags, 0, "the driver is to notify about the next");
  assert.equal(device.heard, 1);
  statistics([0, 4096], [6, 1]);
  assert.deepEqual(device.statistics, { swapInBytes: 4096, availableBytes: 1 });
  assert.equal(device.heard, 2);
  assert.deepEqual(drivers[STATS].takeUsed(), []);
});

Deno.test("who asks before the driver is there gets its first statistics, and new ones at once", () => {
  const { device, statistics, drivers, core } = balloon();
  device.askForStatistics();
  core.serve(false);
  statistics([1, 1]);
  assert.equal(device.heard, 1);
  assert.deepEqual(drivers[STATS].takeUsed(), [{ id: 0, length: 0 }], "they may be old");
});

Deno.test("a reset takes the statistics' buffer at once, and they begin anew", () => {
  const { core, device, statistics } = balloon();
  statistics([1, 1]);
  core.status = 0;
  assert.equal(core.status, 0);
  assert.deepEqual(device.statistics, {});
});

// --- threats ---------------------------------------------------------------------------------

Deno.test("page numbers that are no RAM are passed over, and those beside them are not", () => {
  const { core, pages, returned } = balloon();
  pages(INFLATE, 1 << 20, 0xffff_ffff, 50, RAM_PAGES + 5, 0xfee00);
  assert.deepEqual(returned, [[50, 1]]);
  assert.equal(core.status & NEEDS_RESET, 0);
});

Deno.test("of a buffer 1024 numbers are heeded, of parts of numbers none, and empty ones come back", () => {
  const { drivers, memory, serve, returned } = balloon();
  for (let i = 0; i < 2048; i++) memory.writeU32(BUFFER + i * 4, i < 1024 ? 48 : 50);
  drivers[INFLATE].add({ address: BUFFER, length: 8192 });
  drivers[INFLATE].add({ address: BUFFER, length: 3 });
  drivers[INFLATE].add({ address: BUFFER, length: 0 });
  drivers[INFLATE].add({ address: BUFFER, length: 64, write: true });
  serve(INFLATE);
  assert.deepEqual(returned, [[48, 1]]);
  assert.equal(drivers[INFLATE].takeUsed().length, 4);
});

Deno.test("statistics of any length are read as far as they make sense", () => {
  const { device, drivers, serve, memory } = balloon();
  memory.view(BUFFER, 0x8000)!.fill(0);
  drivers[STATS].add({ address: BUFFER, length: 0x8000 });
  serve(STATS);
  assert.deepEqual(device.statistics, { swapInBytes: 0 });
});
