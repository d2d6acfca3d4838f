/** A processor's thread in threads_test.ts: sends interrupts and serves its own. */

import { Latch, Reg } from "../../../../devices/interrupts/local_apic/registers.ts";
import { Arena } from "../../../../hv/core/state/arena.ts";
import { Timers } from "../../../../hv/core/time/timer.ts";
import { ApicBench } from "../../../support/apic_bench.ts";
import { Random } from "../../../support/random.ts";
import { FakeClock } from "../../../support/test_bench.ts";

/** What a sender and a receiver have counted, by vector. */
export interface Counts {
  /** Requests that were not there before, by the number of the processor they went to. */
  readonly sent: number[][];
  /** Interrupts served, and ends that were broadcast. */
  readonly served: number[];
  readonly ended: number[];
  /** Start-up interrupts taken. */
  readonly started: number;
}

/** What the test tells a thread. */
export interface Job {
  /** Of the bench's arena: the local APICs' state. */
  readonly arena: SharedArrayBuffer;
  /** Word 0: senders that are ready; word 1: senders that are done. */
  readonly words: SharedArrayBuffer;
  readonly cpus: number;
  readonly senders: number;
  readonly index: number;
  readonly times: number;
}

const zeros = () => new Array<number>(256).fill(0);

/** The local APICs over `buffer`. */
export function attach(buffer: SharedArrayBuffer, cpus: number): ApicBench {
  const arena = new Arena(buffer);
  const clock = new FakeClock();
  return new ApicBench({
    cpus,
    parts: { arena, clock, timers: new Timers(arena, clock, () => {}) },
  });
}

/** Sends `times` interrupts by `send`, which returns the target and vector of each. */
export function sendAll(
  b: ApicBench,
  times: number,
  send: (i: number) => { target: number; vector: number },
  between: () => void,
): number[][] {
  const sent = b.apics.map(zeros);
  for (let i = 0; i < times; i++) {
    const before = [...b.wakes];
    const { target, vector } = send(i);
    if (b.wakes[target] !== before[target]) sent[target][vector]++;
    between();
  }
  return sent;
}

/** Waits until all senders are there, so that they run at the same time. */
export function meet(words: Int32Array, senders: number): void {
  Atomics.add(words, 0, 1);
  while (Atomics.load(words, 0) < senders);
}

function run({ arena, words, cpus, senders, index, times }: Job): Counts {
  const b = attach(arena, cpus);
  const apic = b.apics[index];
  const shared = new Int32Array(words);
  const random = new Random(index + 1);
  const served = zeros();
  const ended = zeros();
  let started = 0;
  const serve = () => {
    while (apic.pending() >= 0) {
      served[apic.acknowledge()]++;
      apic.write(Reg.EOI, 4, 0);
    }
    if (apic.takeLatch(Latch.startUp)) started++;
    for (const vector of b.ended.splice(0)) ended[vector]++;
  };
  meet(shared, senders);
  const sent = sendAll(b, times, () => {
    const target = (index + 1 + random.below(cpus - 1)) % cpus;
    const vector = 0x20 + random.below(0xc0);
    apic.write(Reg.ICR2, 4, target << 24);
    apic.write(Reg.ICR, 4, 0x4000 | vector);
    return { target, vector };
  }, serve);
  Atomics.add(shared, 1, 1);
  while (Atomics.load(shared, 1) < senders) serve();
  serve();
  return { sent, served, ended, started };
}

self.onmessage = ({ data }: MessageEvent<Job>) => self.postMessage(run(data));
