/** io_uring against the real kernel: what is queued is done, in pieces, out of order, with its errors. */

import assert from "node:assert/strict";
import { addressOf, Errno, FileHandle, type HostRange, IoUring } from "../../hv/sys/mod.ts";
import { waitReadable } from "../../hv/sys/poll.ts";
import { Random } from "../support/random.ts";

const FALLOC_KEEP_SIZE_AND_PUNCH_HOLE = 3;

/** A file with memory to transfer from and to. */
class Bench implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "hv-test-" });
  readonly file = FileHandle.open(this.path, { write: true });
  readonly memory = new Uint8Array(
    new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }).buffer,
  );
  readonly address = addressOf(this.memory);

  range(offset: number, length: number): HostRange {
    return { address: this.address + offset, length };
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
    Deno.removeSync(this.path);
  }
}

/** A test of io_uring: skipped with a printed reason where the host has none. */
function uringTest(name: string, body: (ring: IoUring, bench: Bench) => void): void {
  Deno.test(name, () => {
    using ring = IoUring.open(8);
    if (ring === undefined) return console.log("skipped: no io_uring on this host");
    using bench = new Bench();
    body(ring, bench);
  });
}

/** Submits, and takes all results: by token. */
function finish(ring: IoUring): Map<number, number> {
  const results = new Map<number, number>();
  ring.submit();
  while (ring.inFlight > 0) {
    ring.wait();
    ring.take((token, result) => results.set(token, result));
  }
  return results;
}

uringTest("pieces of memory are written one after the other, and read back", (ring, bench) => {
  const { file, memory } = bench;
  memory.fill(1, 0, 4096).fill(2, 10_000, 10_100);
  ring.write(file.fd, 512, [bench.range(10_000, 100), bench.range(0, 4096)], 7);
  assert.deepEqual([...finish(ring)], [[7, 4196]]);
  ring.dataSync(file.fd, 8);
  ring.read(file.fd, 512, [bench.range(20_000, 4196)], 0xffff_ffff);
  assert.deepEqual(finish(ring), new Map([[8, 0], [0xffff_ffff, 4196]]));
  assert.deepEqual(memory.slice(20_000, 20_100), new Uint8Array(100).fill(2));
  assert.deepEqual(memory.slice(20_100, 24_196), new Uint8Array(4096).fill(1));
});

uringTest("at the end of a file fewer bytes are read; errors are results", (ring, bench) => {
  bench.file.resize(1000);
  ring.read(bench.file.fd, 512, [bench.range(0, 4096)], 1);
  ring.read(bench.file.fd, 2000, [bench.range(0, 4096)], 2);
  ring.read(-1, 0, [bench.range(0, 4096)], 3);
  ring.write(bench.file.fd, 0, [{ address: 4096, length: 512 }], 4);
  const expected = new Map([[1, 488], [2, 0], [3, -Errno.EBADF], [4, -Errno.EFAULT]]);
  assert.deepEqual(finish(ring), expected);
});

uringTest("a hole that is punched reads as zeros", (ring, bench) => {
  bench.file.write(new Uint8Array(65536).fill(5), 0);
  ring.allocate(bench.file.fd, FALLOC_KEEP_SIZE_AND_PUNCH_HOLE, 4096, 8192, 1);
  const result = finish(ring).get(1)!;
  if (result === -Errno.EOPNOTSUPP) return console.log("skipped: this file system has no holes");
  assert.equal(result, 0);
  const bytes = new Uint8Array(65536);
  bench.file.read(bytes, 0);
  assert.deepEqual(bytes, new Uint8Array(65536).fill(5).fill(0, 4096, 12288));
});

uringTest("more is queued than the ring holds: nothing is lost", (ring, bench) => {
  const random = new Random(1);
  const model = new Uint8Array(65536);
  for (let round = 0; round < 20; round++) {
    const starts = new Set<number>();
    for (let i = 0; i < 50; i++) starts.add(random.below(128) * 512);
    const expected = new Map<number, number>();
    for (const start of starts) {
      const value = random.below(256);
      const from = 65536 + start;
      bench.memory.fill(value, from, from + 512);
      model.fill(value, start, start + 512);
      ring.write(bench.file.fd, start, [bench.range(from, 200), bench.range(from, 312)], start);
      expected.set(start, 512);
    }
    assert.deepEqual([...finish(ring)].sort(byToken), [...expected].sort(byToken));
  }
  bench.file.resize(65536);
  ring.read(bench.file.fd, 0, [bench.range(0, 65536)], 0);
  finish(ring);
  assert.deepEqual(bench.memory.slice(0, 65536), model);
});

const byToken = ([a]: [number, number], [b]: [number, number]) => a - b;

uringTest("the ring can be polled: it is readable while there are results", (ring, bench) => {
  assert.equal(waitReadable(ring.fd, 0), false);
  ring.write(bench.file.fd, 0, [bench.range(0, 512)], 1);
  ring.submit();
  assert.equal(waitReadable(ring.fd, 60e9), true);
  assert.equal(ring.take(() => {}), 1);
  assert.equal(waitReadable(ring.fd, 0), false);
});

uringTest("a ring is closed once, and does nothing more", (ring) => {
  ring[Symbol.dispose]();
  ring[Symbol.dispose]();
  assert.equal(ring.fd, -1);
});
