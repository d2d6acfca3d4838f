/** The other thread of lock_test.ts: one job a message, answered when it is done. */

import { BlockPort, BlockPortState } from "../../../hv/core/media/block.ts";
import { Lock } from "../../../hv/core/state/lock.ts";
import { ByteStream, StreamState } from "../../../hv/core/state/stream.ts";

/** What a test asks of the other thread. */
export type Job =
  | { readonly kind: "count"; readonly buffer: SharedArrayBuffer; readonly times: number }
  | { readonly kind: "lock"; readonly buffer: SharedArrayBuffer }
  | { readonly kind: "produce"; readonly buffer: SharedArrayBuffer; readonly length: number }
  | { readonly kind: "wait"; readonly buffer: SharedArrayBuffer };

/** Word 0 is the lock, word 1 the counter that it guards, word 2 tells that the lock was taken. */
function count(words: Int32Array, times: number): number {
  const lock = new Lock(words.subarray(0, 1));
  for (let i = 0; i < times; i++) {
    lock.acquire();
    const before = words[1];
    // Time enough for another thread to come in between, were there no lock.
    for (let spin = 0; spin < 20; spin++) Atomics.load(words, 3);
    words[1] = before + 1;
    lock.release();
  }
  return times;
}

function run(job: Job): number {
  if (job.kind === "count") return count(new Int32Array(job.buffer), job.times);
  if (job.kind === "lock") {
    const words = new Int32Array(job.buffer);
    return new Lock(words.subarray(0, 1)).with(() => Atomics.add(words, 2, 1));
  }
  if (job.kind === "produce") {
    const stream = new ByteStream(new StreamState(job.buffer), () => {});
    for (let i = 0; i < job.length;) if (stream.write(i % 251)) i++;
    return job.length;
  }
  return new BlockPort(new BlockPortState(job.buffer), () => {}).wait(() => false) ?? -1;
}

self.onmessage = ({ data }: MessageEvent<Job>) => self.postMessage(run(data));
