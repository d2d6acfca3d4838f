import assert from "node:assert/strict";
import { Reg } from "../../../devices/interrupts/local_apic/registers.ts";
import { attach, LINE, VECTOR, Word } from "./pc_interrupts_worker.ts";

const TIMES = 5_000;
const LEVEL = 0x8000;

Deno.test("a level-triggered line interrupts a processor on another thread once an assertion", async () => {
  const arena = new SharedArrayBuffer(1 << 16);
  const words = new SharedArrayBuffer(12);
  const shared = new Int32Array(words);
  const chips = attach(arena, shared);
  chips.reset();
  chips.apics[0].write(Reg.SVR, 4, 0x1ff);
  chips.ioapic.write(0, 4, 0x10 + 2 * LINE);
  chips.ioapic.write(0x10, 4, LEVEL | VECTOR);
  const worker = new Worker(new URL("./pc_interrupts_worker.ts", import.meta.url), {
    type: "module",
  });
  try {
    const interrupts = new Promise<number>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
    worker.postMessage({ arena, words });
    for (let i = 0; i < TIMES; i++) {
      chips.setIrq(LINE, true);
      // The next assertion often comes before the end of this one's interrupt.
      Atomics.wait(shared, Word.served, i);
    }
    Atomics.store(shared, Word.done, 1);
    Atomics.store(shared, Word.woken, 1);
    Atomics.notify(shared, Word.woken);
    assert.equal(await interrupts, TIMES);
  } finally {
    worker.terminate();
  }
  assert.equal(Atomics.load(shared, Word.served), TIMES);
  chips.ioapic.write(0, 4, 0x10 + 2 * LINE);
  assert.equal(chips.ioapic.read(0x10, 4), LEVEL | VECTOR, "nothing awaits its end");
});
