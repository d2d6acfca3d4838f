/** Transfers of the I/O worker: put together where they follow one another, and told apart at the end. */

import assert from "node:assert/strict";
import { Transfers } from "../../../../devices/disk/engine/transfers.ts";
import { Errno } from "../../../../hv/sys/errors.ts";
import { Random } from "../../../support/random.ts";
import { FakeEngine } from "./fake_engine.ts";

/** Starts a transfer of `length` bytes; its result will be in `results` under its name. */
function start(
  transfers: Transfers,
  results: Map<string, number>,
  op: "read" | "write" | "flush",
  offset: number,
  length: number,
  pieces = 1,
): void {
  const name = `${op} ${offset}`;
  transfers.start({
    op,
    fd: 3,
    offset,
    length,
    pieces: Array.from({ length: pieces }, (_, i) => ({
      address: 0x10000 + i * length,
      length: length / pieces,
    })),
    done(result) {
      assert.ok(!results.has(name), `${name} ends twice`);
      results.set(name, result);
    },
  });
}

Deno.test("requests that follow one another in the file are one transfer", () => {
  const engine = new FakeEngine();
  const transfers = new Transfers(engine);
  const results = new Map<string, number>();
  for (const offset of [0, 4096, 8192, 20480, 24576]) {
    start(transfers, results, "read", offset, 4096, 2);
  }
  start(transfers, results, "write", 28672, 4096);
  transfers.submit();
  assert.deepEqual(engine.asked.map(({ what, bytes, pieces }) => [what, bytes, pieces]), [
    ["read 3 0", 12288, 6],
    ["read 3 20480", 8192, 4],
    ["write 3 28672", 4096, 1],
  ]);
  for (let i = 0; i < 3; i++) engine.finish();
  assert.equal(transfers.serve(), 3);
  assert.equal(results.size, 6);
  for (const [name, result] of results) assert.equal(result, 4096, name);
  assert.equal(transfers.busy, false);
});

Deno.test("requests to different files stay apart, wherever they are", () => {
  const engine = new FakeEngine();
  const transfers = new Transfers(engine);
  const pieces = [{ address: 0x10000, length: 512 }];
  for (const [fd, offset] of [[3, 0], [4, 512], [4, 1024]]) {
    transfers.start({ op: "write", fd, offset, length: 512, pieces, done: () => {} });
  }
  transfers.submit();
  assert.deepEqual(engine.asked.map(({ what }) => what), ["write 3 0", "write 4 512"]);
});

Deno.test("what is put together has at most 1 MiB and as many pieces as a transfer may have", () => {
  const engine = new FakeEngine();
  const transfers = new Transfers(engine);
  const results = new Map<string, number>();
  const quarter = 256 << 10;
  for (let i = 0; i < 5; i++) start(transfers, results, "read", i * quarter, quarter);
  transfers.submit();
  assert.deepEqual(engine.asked.map(({ bytes }) => bytes), [4 * quarter, quarter]);
  for (let i = 0; i < 4; i++) start(transfers, results, "write", i * 6400, 6400, 100);
  transfers.submit();
  assert.deepEqual(engine.asked.slice(2).map(({ pieces }) => pieces), [200, 200]);
  transfers.drain();
  assert.equal(results.size, 9);
});

Deno.test("flushes are never put together, and nothing is moved past them", () => {
  const engine = new FakeEngine();
  const transfers = new Transfers(engine);
  const results = new Map<string, number>();
  start(transfers, results, "write", 0, 512);
  start(transfers, results, "flush", 0, 0, 0);
  start(transfers, results, "write", 512, 512);
  transfers.submit();
  assert.deepEqual(engine.asked.map(({ what }) => what), ["write 3 0", "sync 3", "write 3 512"]);
});

Deno.test("requests that failed together are tried alone: each is told how it went by itself", () => {
  const engine = new FakeEngine();
  const transfers = new Transfers(engine);
  const results = new Map<string, number>();
  for (const offset of [0, 512, 1024]) start(transfers, results, "read", offset, 512);
  transfers.submit();
  engine.finish(-Errno.EIO);
  transfers.serve();
  assert.equal(results.size, 0);
  // What comes now does not get into the same trouble.
  start(transfers, results, "read", 1536, 512);
  transfers.submit();
  assert.equal(engine.asked.length, 4);
  engine.finish();
  engine.finish(-Errno.EIO);
  engine.finish(100);
  engine.finish();
  transfers.serve();
  assert.deepEqual([...results.values()], [512, -Errno.EIO, 100, 512]);
});

Deno.test("no more is under way than the engine takes; the rest waits its turn", () => {
  const engine = new FakeEngine(4);
  const transfers = new Transfers(engine);
  const results = new Map<string, number>();
  for (let i = 0; i < 10; i++) start(transfers, results, "write", i * 8192, 512);
  transfers.submit();
  assert.equal(engine.asked.length, 4);
  engine.finish();
  engine.finish();
  transfers.serve();
  assert.equal(engine.asked.length, 4);
  transfers.drain();
  assert.equal(results.size, 10);
});

Deno.test("any number of requests, in any order, with any result: each ends once", () => {
  const random = new Random(5);
  const engine = new FakeEngine(8);
  const transfers = new Transfers(engine);
  const results = new Map<string, number>();
  let offset = 0;
  let count = 0;
  for (let step = 0; step < 5000; step++) {
    if (random.below(2) === 0) {
      start(transfers, results, random.below(2) === 0 ? "read" : "write", offset, 512);
      offset += 512 * (1 + random.below(2));
      count++;
    }
    if (random.below(3) === 0) transfers.submit();
    if (engine.asked.length > 0 && random.below(3) === 0) {
      engine.finish(random.below(4) === 0 ? -Errno.EIO : undefined);
    }
    if (random.below(3) === 0) transfers.serve();
  }
  transfers[Symbol.dispose]();
  assert.equal(results.size, count);
  assert.ok(engine.ended);
});
