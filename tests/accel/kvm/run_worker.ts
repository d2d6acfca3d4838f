/** A thread that runs one virtual processor until it is told to end, and counts its exits. */

import { currentThreadId, Exit, openVm, type VmHandle } from "../../../hv/accel/mod.ts";

/** Words that the test and the thread share. */
export const Word = {
  /** Number of the thread, once it is ready to be kicked. */
  threadId: 0,
  /** How often the run was interrupted; notified. */
  interrupted: 1,
  /** Not 0: end. */
  stop: 2,
  /** Exits of any kind; notified. */
  exits: 3,
  /** The last exit. */
  lastExit: 4,
  /** 1 when the thread has left the machine; notified. */
  ended: 5,
} as const;

/** What the test posts. */
export interface RunWorkerStart {
  readonly handle: VmHandle;
  readonly index: number;
  readonly words: Int32Array;
}

declare const self: {
  onmessage: ((event: MessageEvent<RunWorkerStart>) => void) | null;
  close(): void;
};

function run({ handle, index, words }: RunWorkerStart): void {
  using vm = openVm(handle);
  using vcpu = vm.openVcpu(index);
  Atomics.store(words, Word.threadId, currentThreadId());
  Atomics.notify(words, Word.threadId);
  while (Atomics.load(words, Word.stop) === 0) {
    const exit = vcpu.run();
    Atomics.store(words, Word.lastExit, exit);
    if (exit === Exit.interrupted) {
      Atomics.add(words, Word.interrupted, 1);
      Atomics.notify(words, Word.interrupted);
    }
    Atomics.add(words, Word.exits, 1);
    Atomics.notify(words, Word.exits);
    if (exit !== Exit.interrupted && exit !== Exit.port) break;
  }
}

self.onmessage = ({ data }) => {
  run(data);
  Atomics.store(data.words, Word.ended, 1);
  Atomics.notify(data.words, Word.ended);
  self.close();
};
