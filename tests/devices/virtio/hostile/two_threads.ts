/**
 * A hostile driver and the I/O worker that serves its device, each on a thread of its own over the same
 * bytes, as in a machine.
 */

import assert from "node:assert/strict";
import type { Random } from "../../../support/random.ts";
import { HostileBench, type HostileBytes } from "./hostile_bench.ts";
import { HostileRig } from "./hostile_rig.ts";
import { SUBJECTS } from "./subjects/subjects.ts";
import type { StepWatch } from "./watch.ts";

/** What the threads tell each other. */
export const Word = { asked: 0, settled: 1, stop: 2, quiet: 3 } as const;
/** Longer than any machine takes for that. */
const LIMIT_MS = 120_000;

/** Two threads at once cannot be watched: there are no steps. */
const unwatched = (rig: HostileRig): StepWatch => ({
  racing: true,
  act: (body) => body(),
  guestWrites: (address, value) => rig.bench.ram.setUint8(address, value),
  get inFlight() {
    return rig.core.queues.reduce(
      (sum, { index }) => sum + rig.core.queueState(index)!.inFlight,
      0,
    );
  },
});

/** The guest's side: what the I/O worker does is asked of the other thread. */
export class GuestSide extends HostileRig {
  readonly words = new Int32Array(new SharedArrayBuffer(16));

  constructor(name: string) {
    super({ make: SUBJECTS[name], makeWatch: unwatched });
  }

  override serve(): boolean {
    return false;
  }

  override host(): void {}

  override settle(): void {
    const asked = Atomics.add(this.words, Word.asked, 1) + 1;
    Atomics.notify(this.words, Word.asked);
    for (;;) {
      assert.equal(Atomics.load(this.words, Word.stop), 0, "the I/O worker has ended");
      const settled = Atomics.load(this.words, Word.settled);
      if (settled >= asked) return;
      const woken = Atomics.wait(this.words, Word.settled, settled, LIMIT_MS);
      assert.notEqual(woken, "timed-out", "the I/O worker does not settle");
    }
  }

  /** Nothing more comes from the host by itself. */
  quieten(): void {
    Atomics.store(this.words, Word.quiet, 1);
    this.settle();
  }

  /** The I/O worker's thread ends. */
  stop(): void {
    Atomics.store(this.words, Word.stop, 1);
  }
}

/** The I/O worker's side: serves until it is told to stop. */
export function serveUntilStopped(
  name: string,
  bytes: HostileBytes,
  words: Int32Array,
  random: Random,
): void {
  const rig = new HostileRig({
    make: SUBJECTS[name],
    makeWatch: unwatched,
    bench: new HostileBench(bytes),
  });
  try {
    while (Atomics.load(words, Word.stop) === 0) {
      const asked = Atomics.load(words, Word.asked);
      rig.serve(true);
      if (Atomics.load(words, Word.quiet) === 0) rig.host(random);
      if (asked === Atomics.load(words, Word.settled)) continue;
      rig.settle();
      Atomics.store(words, Word.settled, asked);
      Atomics.notify(words, Word.settled);
    }
  } finally {
    Atomics.store(words, Word.stop, 1);
    Atomics.notify(words, Word.settled);
  }
}
