/** What is over at once, and what the engine behind is left with. */

import assert from "node:assert/strict";
import { PromptEngine } from "../../../../devices/disk/engine/prompt_engine.ts";
import { MAX_PIECES } from "../../../../devices/disk/engine/transfer_engine.ts";
import { addressOf } from "../../../../hv/sys/address.ts";
import { Errno } from "../../../../hv/sys/errors.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { FakeEngine } from "./fake_engine.ts";

const MIB = 1 << 20;

/** An engine before a fake one, a file, memory, and a clock that goes on by itself between two looks. */
class Bench implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  readonly file = FileHandle.open(this.path, { write: true });
  readonly memory = new Uint8Array(new SharedArrayBuffer(8 * MIB));
  readonly behind = new FakeEngine();
  readonly engine: PromptEngine;
  /** What each look at the clock costs, ms. */
  stepMs = 0;
  nowMs = 0;

  constructor(readsPromptly: boolean) {
    const nowMs = () => this.nowMs += this.stepMs;
    this.engine = new PromptEngine(this.behind, { readsPromptly, nowMs });
  }

  range(offset: number, length: number) {
    return { address: addressOf(this.memory) + offset, length };
  }

  write(length: number, token: number): void {
    this.engine.write(this.file.fd, 0, [this.range(0, length)], token);
  }

  taken(): [number, number][] {
    const results: [number, number][] = [];
    this.engine.take((token, result) => results.push([token, result]));
    return results;
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
    Deno.removeSync(this.path);
  }
}

Deno.test("a write is over at once, and in the file, before anybody is told of it", () => {
  using bench = new Bench(true);
  bench.memory.fill(7, 100, 612);
  bench.engine.write(bench.file.fd, 1000, [bench.range(100, 200), bench.range(300, 312)], 5);
  assert.equal(bench.engine.inFlight, 1, "until its result is taken");
  bench.engine.wait();
  assert.deepEqual(bench.taken(), [[5, 512]]);
  assert.equal(bench.engine.inFlight, 0);
  const bytes = new Uint8Array(512);
  bench.file.read(bytes, 1000);
  assert.deepEqual(bytes, new Uint8Array(512).fill(7));
  assert.deepEqual(bench.behind.asked, []);
});

Deno.test("after a write that was slow the engine behind gets them, fifty times as long", () => {
  using bench = new Bench(true);
  bench.stepMs = 6;
  bench.write(512, 1);
  bench.stepMs = 0;
  bench.nowMs += 50 * 6 - 1;
  bench.write(512, 2);
  assert.deepEqual(bench.behind.asked.map(({ token }) => token), [2]);
  bench.nowMs += 1;
  bench.write(512, 3);
  assert.equal(bench.behind.asked.length, 1);
  assert.deepEqual(bench.taken(), [[1, 512], [3, 512]]);
});

Deno.test("one turn does 4 MiB itself; the rest, and what is longer, is the engine's behind", () => {
  using bench = new Bench(true);
  bench.write(5 * MIB, 1);
  bench.write(3 * MIB, 2);
  bench.write(2 * MIB, 3);
  bench.write(MIB, 4);
  assert.deepEqual(bench.behind.asked.map(({ token }) => token), [1, 3]);
  assert.deepEqual(bench.taken(), [[2, 3 * MIB], [4, MIB]]);
  bench.write(2 * MIB, 5);
  assert.deepEqual(bench.taken(), [[5, 2 * MIB]]);
});

Deno.test("errors of a prompt write are its result; too many pieces are not its business", () => {
  using bench = new Bench(true);
  bench.engine.write(-1, 0, [bench.range(0, 512)], 1);
  assert.deepEqual(bench.taken(), [[1, -Errno.EBADF]]);
  bench.engine.write(bench.file.fd, 0, new Array(MAX_PIECES + 1).fill(bench.range(0, 512)), 2);
  assert.equal(bench.behind.asked[0].pieces, MAX_PIECES + 1);
});

Deno.test("reads are looked for in the host's cache where the engine behind does not", () => {
  for (const readsPromptly of [false, true]) {
    using bench = new Bench(readsPromptly);
    bench.file.write(new Uint8Array(4096).fill(9), 0);
    bench.engine.read(bench.file.fd, 0, [bench.range(0, 4096)], 1);
    assert.equal(bench.behind.asked.length, readsPromptly ? 1 : 0);
    if (!readsPromptly) assert.deepEqual(bench.taken(), [[1, 4096]]);
    // Only part of it is there.
    bench.engine.read(bench.file.fd, 2048, [bench.range(0, 4096)], 2);
    assert.equal(bench.behind.asked.at(-1)?.token, 2);
  }
});

Deno.test("who waits gets a result that is there, without waiting for the engine behind", () => {
  using bench = new Bench(true);
  bench.engine.dataSync(bench.file.fd, 1);
  bench.write(512, 2);
  bench.engine.wait();
  assert.equal(bench.behind.asked.length, 1);
  assert.deepEqual(bench.taken(), [[2, 512]]);
});

Deno.test("results come once each, those of the engine behind among them", () => {
  using bench = new Bench(false);
  bench.engine.dataSync(bench.file.fd, 1);
  bench.write(512, 2);
  bench.behind.finish(0);
  const again: [number, number][] = [];
  const count = bench.engine.take((token, result) => {
    again.push([token, result]);
    if (token === 2) bench.write(1024, 3);
  });
  assert.equal(count, 2);
  assert.deepEqual(again, [[2, 512], [1, 0]]);
  assert.deepEqual(bench.taken(), [[3, 1024]]);
});
