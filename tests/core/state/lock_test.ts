import assert from "node:assert/strict";
import { BlockOp, BlockPort, BlockPortState, BlockResult } from "../../../hv/core/media/block.ts";
import { Lock } from "../../../hv/core/state/lock.ts";
import { ByteStream, StreamState } from "../../../hv/core/state/stream.ts";
import { TestThread } from "../../support/test_thread.ts";
import type { Job } from "./shared_memory_worker.ts";

const newThread = () =>
  new TestThread<Job, number>(new URL("./shared_memory_worker.ts", import.meta.url));

/** Lets other threads go on until `condition` holds; the time limit is the test runner's. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const lockWords = () => {
  const buffer = new SharedArrayBuffer(16);
  const words = new Int32Array(buffer);
  return { buffer, words, lock: new Lock(words.subarray(0, 1)) };
};

Deno.test("a lock that is free is taken without waiting, and given back", () => {
  const { words, lock } = lockWords();
  lock.acquire();
  assert.equal(words[0], 1);
  lock.release();
  assert.equal(words[0], 0);
  assert.throws(
    () =>
      lock.with(() => {
        assert.equal(words[0], 1);
        throw new Error("inside");
      }),
    /inside/,
  );
  assert.equal(words[0], 0);
});

Deno.test("two threads that count under a lock lose no count", async () => {
  const { buffer, words } = lockWords();
  using one = newThread();
  using two = newThread();
  const times = 20_000;
  await Promise.all([one, two].map((thread) => thread.do({ kind: "count", buffer, times })));
  assert.equal(words[1], 2 * times);
  assert.equal(words[0], 0);
});

Deno.test("whoever waits for a lock says so, and gets it when it is given back", async () => {
  const { buffer, words, lock } = lockWords();
  using thread = newThread();
  lock.acquire();
  const done = thread.do({ kind: "lock", buffer });
  await until(() => Atomics.load(words, 0) === 2);
  assert.equal(Atomics.load(words, 2), 0);
  lock.release();
  await done;
  assert.equal(words[2], 1);
  assert.equal(words[0], 0);
});

Deno.test("of several that wait, each gets the lock in its turn", async () => {
  const { buffer, words, lock } = lockWords();
  using one = newThread();
  using two = newThread();
  lock.acquire();
  const done = [one, two].map((thread) => thread.do({ kind: "lock", buffer }));
  await until(() => Atomics.load(words, 0) === 2);
  lock.release();
  await Promise.all(done);
  assert.equal(words[2], 2);
  assert.equal(words[0], 0);
});

Deno.test("a stream between two threads loses and doubles no byte, full or empty", async () => {
  const buffer = new SharedArrayBuffer(StreamState.byteLength);
  const consumer = new ByteStream(new StreamState(buffer), () => {});
  using thread = newThread();
  const length = 300_000;
  let finished = false;
  const done = thread.do({ kind: "produce", buffer, length }).then(() => finished = true);
  let read = 0;
  await until(() => {
    const last = finished;
    for (const byte of consumer.take()) {
      if (byte !== read % 251) assert.fail(`byte ${read} is ${byte}`);
      read++;
    }
    return last;
  });
  await done;
  assert.equal(read, length);
});

Deno.test("a thread that waits for a disk request wakes when it is finished", async () => {
  const buffer = new SharedArrayBuffer(BlockPortState.byteLength);
  const port = new BlockPort(new BlockPortState(buffer), () => {});
  using thread = newThread();
  port.start(BlockOp.read, 0, 512);
  const done = thread.do({ kind: "wait", buffer });
  port.finish(BlockResult.outOfRange);
  assert.equal(await done, BlockResult.outOfRange);
});
