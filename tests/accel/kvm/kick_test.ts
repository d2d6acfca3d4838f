/** Ending a run on another thread. */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/mod.ts";
import { Word } from "./run_worker.ts";
import { kvmTest, runToExit, TestMachine } from "./test_machine.ts";

/** Ends a test that hangs, on the slowest and busiest host. */
const LIMIT_MS = 300_000;

/** Processor 0 of `machine` on a thread of its own. */
class Runner {
  readonly words = new Int32Array(new SharedArrayBuffer(32));
  readonly #worker = new Worker(new URL("./run_worker.ts", import.meta.url), { type: "module" });
  readonly #machine: TestMachine;

  constructor(machine: TestMachine) {
    this.#machine = machine;
    this.#worker.postMessage({ handle: machine.vm.handle, index: 0, words: this.words });
  }

  /** Waits until `word` is no longer `value`. */
  async change(word: number, value: number): Promise<void> {
    // A pending waitAsync does not keep Deno's event loop alive, a timer does.
    const alive = setInterval(() => {}, 1000);
    const wait = Atomics.waitAsync(this.words, word, value, LIMIT_MS);
    const outcome = await wait.value;
    clearInterval(alive);
    assert.notEqual(outcome, "timed-out", `word ${word} stayed ${value}`);
  }

  async ready(): Promise<void> {
    await this.change(Word.threadId, 0);
  }

  kick(): void {
    this.#machine.vm.kick(0, this.words[Word.threadId]);
  }

  async end(): Promise<void> {
    Atomics.store(this.words, Word.stop, 1);
    this.kick();
    await this.change(Word.ended, 0);
    // The thread leaves by itself; ending it while it is inside KVM_RUN is impossible.
    this.#worker.terminate();
  }
}

for (
  const [what, program] of [
    ["halted", [0xf4, 0xeb, 0xfd]], // again: hlt; jmp again
    ["spinning", [0xeb, 0xfe]], // jmp $
  ] as const
) {
  kvmTest(`500 kicks of a ${what} processor each end a run, and none is lost`, async () => {
    using machine = new TestMachine();
    machine.start(program);
    const runner = new Runner(machine);
    await runner.ready();
    for (let i = 0; i < 500; i++) {
      const before = Atomics.load(runner.words, Word.interrupted);
      runner.kick();
      await runner.change(Word.interrupted, before);
      assert.equal(runner.words[Word.lastExit], Exit.interrupted);
    }
    await runner.end();
  });
}

kvmTest("kicks faster than they are taken neither pile up nor get lost", async () => {
  using machine = new TestMachine();
  machine.start([0xeb, 0xfe]); // jmp $
  const runner = new Runner(machine);
  await runner.ready();
  for (let i = 0; i < 20_000; i++) runner.kick();
  const before = Atomics.load(runner.words, Word.exits);
  runner.kick();
  await runner.change(Word.exits, before);
  await runner.end();
  assert.ok(runner.words[Word.interrupted] >= 1);
});

kvmTest("a kick before a run ends the run at once", async () => {
  using machine = new TestMachine();
  machine.start([0xeb, 0xfe]); // jmp $
  const { currentThreadId } = await import("../../../hv/accel/mod.ts");
  const self = currentThreadId();
  for (let i = 0; i < 3; i++) machine.vm.kick(0, self);
  assert.equal(machine.vcpu.run(), Exit.interrupted);
  machine.vm.kick(0, self);
  assert.equal(machine.vcpu.run(), Exit.interrupted);
});

kvmTest("a kick during an access lets the instruction finish first", async () => {
  using machine = new TestMachine();
  machine.start([
    ...[0xe4, 0xe0], // in al, 0E0h
    ...[0xa2, 0x00, 0x20], // mov [2000h], al
    ...[0xeb, 0xfe], // jmp $
  ]);
  const { CpuState, currentThreadId } = await import("../../../hv/accel/mod.ts");
  assert.equal(runToExit(machine.vcpu), Exit.port);
  const { access } = machine.vcpu;
  access.data.setUint8(access.dataOffset, 0x99);
  machine.vm.kick(0, currentThreadId());
  assert.equal(machine.vcpu.run(), Exit.interrupted);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  machine.vcpu.save(state);
  assert.equal(state.general[0] & 0xffn, 0x99n);
});

kvmTest("a kick of a thread that has ended is ignored", () => {
  using machine = new TestMachine();
  machine.vm.kick(0, 5_000_000);
  machine.vm.kick(0, 0);
});
