/** A processor's thread in pc_interrupts_threads_test.ts: serves one level-triggered line. */

import { Reg } from "../../../devices/interrupts/local_apic/registers.ts";
import { PcInterrupts } from "../../../devices/interrupts/pc_interrupts.ts";
import { Arena } from "../../../hv/core/state/arena.ts";
import { Timers } from "../../../hv/core/time/timer.ts";
import { FakeClock } from "../../support/test_bench.ts";

/** What the test tells the thread. */
export interface Job {
  readonly arena: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
}

/** The line, and the vector of its entry. */
export const LINE = 18;
export const VECTOR = 0x41;

/** Words that both sides share. */
export const Word = {
  /** How often the device has been served. */
  served: 0,
  /** The device has nothing more. */
  done: 1,
  /** The processor's mark: it has been woken. */
  woken: 2,
} as const;

/** The chips over `buffer`, whose processor is woken by its word. */
export function attach(buffer: SharedArrayBuffer, shared: Int32Array): PcInterrupts {
  const arena = new Arena(buffer);
  const clock = new FakeClock();
  return new PcInterrupts({
    arena,
    clock,
    timers: new Timers(arena, clock, () => {}),
    cpus: 1,
    physicalAddressBits: 40,
    ioapicAddress: 0xfec0_0000,
    wake: () => {
      Atomics.store(shared, Word.woken, 1);
      Atomics.notify(shared, Word.woken);
    },
    tscDeadlineNs: () => Infinity,
  });
}

function serve({ arena, words }: Job): number {
  const shared = new Int32Array(words);
  const chips = attach(arena, shared);
  let interrupts = 0;
  for (;;) {
    // The mark is taken back before the questions, so that nothing is slept through.
    Atomics.store(shared, Word.woken, 0);
    const done = Atomics.load(shared, Word.done) !== 0;
    const vector = chips.takeInterrupt(0);
    if (vector < 0) {
      if (done) return interrupts;
      Atomics.wait(shared, Word.woken, 0);
      continue;
    }
    if (vector !== VECTOR) throw new Error(`vector ${vector} came`);
    interrupts++;
    // As a driver: the device first, then the interrupt's end.
    chips.setIrq(LINE, false);
    Atomics.add(shared, Word.served, 1);
    Atomics.notify(shared, Word.served);
    chips.apics[0].write(Reg.EOI, 4, 0);
  }
}

self.onmessage = ({ data }: MessageEvent<Job>) => self.postMessage(serve(data));
