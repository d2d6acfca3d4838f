/** The ways of transferring asynchronously, as one shared body: io_uring and threads. */

import assert from "node:assert/strict";
import { PromptEngine } from "../../../../devices/disk/engine/prompt_engine.ts";
import {
  MAX_PIECES,
  type TransferEngine,
} from "../../../../devices/disk/engine/transfer_engine.ts";
import { TransferThreads } from "../../../../devices/disk/engine/transfer_threads.ts";
import { addressOf } from "../../../../hv/sys/address.ts";
import { Errno } from "../../../../hv/sys/errors.ts";
import { FileHandle } from "../../../../hv/sys/file/file.ts";
import { IoUring } from "../../../../hv/sys/file/io_uring.ts";
import type { MemoryRange } from "../../../../hv/sys/file/iovecs.ts";
import { waitReadable } from "../../../../hv/sys/wait/poll.ts";
import { Random } from "../../../support/random.ts";

const FALLOC_KEEP_SIZE_AND_PUNCH_HOLE = 3;
const MEMORY_BYTES = 1 << 20;

/** A file with memory to transfer from and to. */
class Bench implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  readonly file = FileHandle.open(this.path, { write: true });
  readonly memory = new Uint8Array(
    new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }).buffer,
  );
  readonly address = addressOf(this.memory);

  range(offset: number, length: number): MemoryRange {
    assert.ok(offset + length <= MEMORY_BYTES);
    return { address: this.address + offset, length };
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
    Deno.removeSync(this.path);
  }
}

const nowMs = () => 0;
const ENGINES: Record<string, () => TransferEngine | undefined> = {
  "io_uring": () => IoUring.open(8),
  "threads": () => new TransferThreads(),
  "promptly, or by io_uring": () => {
    const ring = IoUring.open(8);
    return ring && new PromptEngine(ring, { readsPromptly: true, nowMs });
  },
  "promptly, or by threads": () =>
    new PromptEngine(new TransferThreads(), { readsPromptly: false, nowMs }),
};

/** A test of each engine: skipped with a printed reason where the host has none. */
function engineTest(name: string, body: (engine: TransferEngine, bench: Bench) => void): void {
  for (const [kind, open] of Object.entries(ENGINES)) {
    Deno.test(`${kind}: ${name}`, () => {
      using engine = open();
      if (engine === undefined) return console.log(`skipped: no ${kind} on this host`);
      using bench = new Bench();
      body(engine, bench);
    });
  }
}

/** Submits, and takes all results: by token. */
function finish(engine: TransferEngine): Map<number, number> {
  const results = new Map<number, number>();
  engine.submit();
  while (engine.inFlight > 0) {
    engine.wait();
    engine.take((token, result) => results.set(token, result));
  }
  return results;
}

engineTest("pieces of memory are written one after the other, and read back", (engine, bench) => {
  const { file, memory } = bench;
  memory.fill(1, 0, 4096).fill(2, 10_000, 10_100);
  engine.write(file.fd, 512, [bench.range(10_000, 100), bench.range(0, 4096)], 7);
  assert.deepEqual([...finish(engine)], [[7, 4196]]);
  engine.dataSync(file.fd, 8);
  engine.read(file.fd, 512, [bench.range(20_000, 4196)], 0xffff_ffff);
  assert.deepEqual(finish(engine), new Map([[8, 0], [0xffff_ffff, 4196]]));
  assert.deepEqual(memory.slice(20_000, 20_100), new Uint8Array(100).fill(2));
  assert.deepEqual(memory.slice(20_100, 24_196), new Uint8Array(4096).fill(1));
});

engineTest("as many pieces as one transfer may have", (engine, bench) => {
  const pieces = Array.from({ length: MAX_PIECES }, (_, i) => bench.range(i * 1024, 100));
  for (let i = 0; i < MAX_PIECES; i++) bench.memory.fill(i, i * 1024, i * 1024 + 100);
  engine.write(bench.file.fd, 0, pieces, 1);
  assert.equal(finish(engine).get(1), MAX_PIECES * 100);
  const bytes = new Uint8Array(MAX_PIECES * 100);
  bench.file.read(bytes, 0);
  bytes.forEach((byte, i) => assert.equal(byte, Math.floor(i / 100) & 0xff));
});

engineTest("at the end of a file fewer bytes are read; errors are results", (engine, bench) => {
  bench.file.resize(1000);
  engine.read(bench.file.fd, 512, [bench.range(0, 4096)], 1);
  engine.read(bench.file.fd, 2000, [bench.range(0, 4096)], 2);
  engine.read(-1, 0, [bench.range(0, 4096)], 3);
  engine.write(bench.file.fd, 0, [{ address: 4096, length: 512 }], 4);
  const expected = new Map([[1, 488], [2, 0], [3, -Errno.EBADF], [4, -Errno.EFAULT]]);
  assert.deepEqual(finish(engine), expected);
});

engineTest("a hole that is punched reads as zeros", (engine, bench) => {
  bench.file.write(new Uint8Array(65536).fill(5), 0);
  engine.allocate(bench.file.fd, FALLOC_KEEP_SIZE_AND_PUNCH_HOLE, 4096, 8192, 1);
  const result = finish(engine).get(1)!;
  if (result === -Errno.EOPNOTSUPP) return console.log("skipped: this file system has no holes");
  assert.equal(result, 0);
  const bytes = new Uint8Array(65536);
  bench.file.read(bytes, 0);
  assert.deepEqual(bytes, new Uint8Array(65536).fill(5).fill(0, 4096, 12288));
});

engineTest("many transfers, as many at once as there may be: none is lost", (engine, bench) => {
  const random = new Random(1);
  const model = new Uint8Array(256 * 512);
  const from = model.length;
  for (let round = 0; round < 100; round++) {
    const starts = new Set<number>();
    while (starts.size < Math.min(engine.depth, 100)) starts.add(random.below(256) * 512);
    for (const start of starts) {
      const value = random.below(256);
      bench.memory.fill(value, from + start, from + start + 512);
      model.fill(value, start, start + 512);
      const pieces = [bench.range(from + start, 200), bench.range(from + start + 200, 312)];
      engine.write(bench.file.fd, start, pieces, start);
      if (random.below(4) === 0) engine.submit();
    }
    const results = [...finish(engine)].sort(([a], [b]) => a - b);
    assert.deepEqual(results, [...starts].sort((a, b) => a - b).map((start) => [start, 512]));
  }
  bench.file.resize(model.length);
  engine.read(bench.file.fd, 0, [bench.range(0, model.length)], 0);
  finish(engine);
  assert.deepEqual(bench.memory.slice(0, model.length), model);
});

engineTest(
  "the engine can be polled: it is readable while there are results of what it waited for",
  (engine, bench) => {
    assert.equal(waitReadable(engine.fd, 0), false);
    engine.dataSync(bench.file.fd, 1);
    engine.submit();
    assert.equal(waitReadable(engine.fd, 60e9), true);
    assert.equal(engine.take(() => {}), 1);
    assert.equal(waitReadable(engine.fd, 0), false);
  },
);

engineTest("it ends once, after what is under way", (engine, bench) => {
  engine.write(bench.file.fd, 0, [bench.range(0, 65536)], 1);
  engine.submit();
  engine[Symbol.dispose]();
  engine[Symbol.dispose]();
  assert.equal(engine.fd, -1);
});
