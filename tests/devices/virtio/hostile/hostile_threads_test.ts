/** A hostile driver and the thread that serves its device, at the same time on two processors. */

import assert from "node:assert/strict";
import { Random, seed } from "../../../support/random.ts";
import { TestThread } from "../../../support/test_thread.ts";
import type { HostileJob } from "./hostile_worker.ts";
import { anyStep } from "./steps.ts";
import { SUBJECTS } from "./subjects/subjects.ts";
import { GuestSide } from "./two_threads.ts";
import { inFull } from "../../../support/quick.ts";

const STEPS = inFull(5000, 1000);
const WORKER = new URL("./hostile_worker.ts", import.meta.url);

for (const name of Object.keys(SUBJECTS)) {
  Deno.test(`${name}: a hostile driver on one thread, its device on another, and a reset mends all`, async () => {
    const guest = new GuestSide(name);
    const random = new Random(seed());
    using thread = new TestThread<HostileJob, "ended">(WORKER);
    const { bytes } = guest.bench;
    const ended = thread.do({ name, bytes, words: guest.words, seed: seed() });
    let i = 0;
    try {
      // The thread is there.
      guest.settle();
      for (; i < STEPS; i++) anyStep(random)(guest, random);
      guest.quieten();
      guest.check(random);
      assert.ok(guest.bench.behindIsIntact, "memory of the host's was written");
    } catch (cause) {
      // What the thread died of says more.
      guest.stop();
      await ended;
      throw new Error(`step ${i}: ${(cause as Error).message}`, { cause });
    }
    guest.stop();
    await ended;
  });
}
