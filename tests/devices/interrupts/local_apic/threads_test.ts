/** Interrupts between processors on threads of their own: none is lost, none is doubled. */

import assert from "node:assert/strict";
import { DeliveryMode } from "../../../../devices/interrupts/apic_message.ts";
import { Latch } from "../../../../devices/interrupts/local_apic/registers.ts";
import { TestThread } from "../../../support/test_thread.ts";
import { attach, type Counts, type Job, meet, sendAll } from "./worker.ts";

const CPUS = 2;
const TIMES = 20_000;
/** Vectors of the level-triggered interrupts, which the processors' own are below. */
const FIRST_LEVEL = 0xe0;

const newProcessor = () => new TestThread<Job, Counts>(new URL("./worker.ts", import.meta.url));

Deno.test("two processors and a device send each other interrupts at the same time: exact counts", async () => {
  const arena = new SharedArrayBuffer(1 << 16);
  const words = new SharedArrayBuffer(8);
  const shared = new Int32Array(words);
  const b = attach(arena, CPUS).start();
  using first = newProcessor();
  using second = newProcessor();
  const senders = CPUS + 1;
  const job = { arena, words, cpus: CPUS, senders, times: TIMES };
  const running = Promise.all([first.do({ ...job, index: 0 }), second.do({ ...job, index: 1 })]);
  while (Atomics.load(shared, 0) < CPUS) await new Promise((resolve) => setTimeout(resolve, 1));

  // The device's part, on this thread.
  meet(shared, senders);
  const sent = sendAll(b, TIMES, (i) => {
    const target = i % CPUS;
    const vector = FIRST_LEVEL + (i >> 1) % 16;
    const message = { destination: target, logical: false, vector, level: true };
    b.bus.deliver({ ...message, mode: DeliveryMode.fixed, levelTriggered: true });
    return { target, vector };
  }, () => {});
  b.bus.deliver({
    destination: 1,
    logical: false,
    mode: DeliveryMode.startUp,
    vector: 0x99,
    level: true,
    levelTriggered: false,
  });
  Atomics.add(shared, 1, 1);
  const counts = await running;

  const total = (numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0);
  for (let cpu = 0; cpu < CPUS; cpu++) {
    for (let vector = 0; vector < 256; vector++) {
      const requests = sent[cpu][vector] + total(counts.map((c) => c.sent[cpu][vector]));
      const what = `processor ${cpu}, vector ${vector.toString(16)}h`;
      assert.equal(counts[cpu].served[vector], requests, what);
      // Of a vector that nobody else sends, the trigger mode is known at its end.
      const ends = vector >= FIRST_LEVEL ? requests : 0;
      assert.equal(counts[cpu].ended[vector], ends, `end, ${what}`);
    }
    // On a busy host, nearly all requests for a vector come together while their processor waits.
    assert.ok(total(counts[cpu].served) > 0, "they had something to do");
    assert.equal(b.apics[cpu].pending(), -1);
  }
  assert.deepEqual(counts.map(({ started }) => started), [0, 1]);
  assert.equal(b.apics[1].startUpVector, 0x99);
  assert.equal(b.apics[1].latches & Latch.startUp, 0);
});
