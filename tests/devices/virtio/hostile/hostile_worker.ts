/** The I/O worker of a hostile driver: see two_threads.ts. */

import { Random } from "../../../support/random.ts";
import type { HostileBytes } from "./hostile_bench.ts";
import { serveUntilStopped } from "./two_threads.ts";

declare const self: {
  onmessage: ((event: MessageEvent<HostileJob>) => void) | null;
  postMessage(message: "ended"): void;
};

/** What the thread has to do. */
export interface HostileJob {
  readonly name: string;
  readonly bytes: HostileBytes;
  readonly words: Int32Array;
  readonly seed: number;
}

self.onmessage = ({ data: { name, bytes, words, seed } }) => {
  serveUntilStopped(name, bytes, words, new Random(seed));
  self.postMessage("ended");
};
