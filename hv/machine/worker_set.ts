/** The workers of a machine, as main sees them: made, posted to, waited for, ended. */

import { HostError } from "../errors.ts";
import type { IoHandles } from "../io/io_parts.ts";
import { newIoThread } from "../io/io_thread.ts";
import type { IoLeft, IoWarning, IoWorkerStart } from "../io/io_worker.ts";
import type { MachineSeed } from "../threads/machine_thread.ts";
import { newVcpuThread } from "../threads/vcpu_thread.ts";
import type { VcpuWorkerStart } from "../threads/vcpu_worker.ts";

/** How often a wait for threads looks by itself, ms, should a wake-up be missed. */
const POLL_MS = 50;

/** See above. */
export class WorkerSet implements Disposable {
  /** Resolves with what a worker failed of, outside of its own error handling. */
  readonly failure: Promise<Error>;
  readonly #vcpus: Worker[];
  readonly #looks = new Set<() => void>();
  readonly #onWarning: (line: string) => void;
  readonly #setFailure: (error: Error) => void;
  #io: Worker | undefined;
  /** What the I/O worker, which was asked to hand over, has left for the next. */
  left: IoLeft | undefined;

  /**
   * Begins to load the modules of the processors' workers.
   *
   * @param onWarning Told of what the I/O worker has for the user.
   */
  constructor(cpus: number, onWarning: (line: string) => void) {
    this.#onWarning = onWarning;
    const failure = Promise.withResolvers<Error>();
    this.failure = failure.promise;
    this.#setFailure = failure.resolve;
    this.#vcpus = Array.from({ length: cpus }, () => this.#watched(newVcpuThread()));
  }

  /** Begins to load the I/O worker's modules, unless that was done. */
  loadIo(): void {
    if (this.#io !== undefined) return;
    this.#io = this.#watched(newIoThread());
    this.#io.onmessage = ({ data }: MessageEvent<IoWarning | IoLeft>) => {
      if ("warning" in data) this.#onWarning(data.warning);
      else this.left = data;
    };
  }

  /** Has the I/O worker attach to the machine; once. */
  startIo(seed: MachineSeed, handles: IoHandles): void {
    this.loadIo();
    const start: IoWorkerStart = { seed, handles };
    this.#io?.postMessage(start);
  }

  /** Has the processors' workers attach to the machine. */
  start(seed: MachineSeed): void {
    for (const [index, worker] of this.#vcpus.entries()) {
      const start: VcpuWorkerStart = { seed, index };
      worker.postMessage(start);
    }
  }

  /** A worker has changed its phase: the waits look again. */
  phaseChanged(): void {
    for (const look of this.#looks) look();
  }

  /**
   * Waits until `reached`; false when it has not been after `timeoutMs`.
   *
   * @param nudge Called at first and then at every look.
   */
  until(reached: () => boolean, timeoutMs: number, nudge?: () => void): Promise<boolean> {
    nudge?.();
    if (reached()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const deadline = performance.now() + timeoutMs;
      const look = () => {
        const done = reached();
        if (!done && performance.now() < deadline) return;
        this.#looks.delete(look);
        clearInterval(poll);
        resolve(done);
      };
      const poll = setInterval(() => {
        nudge?.();
        look();
      }, POLL_MS);
      this.#looks.add(look);
    });
  }

  [Symbol.dispose](): void {
    for (const worker of this.#vcpus) worker.terminate();
    this.#io?.terminate();
  }

  #watched(worker: Worker): Worker {
    worker.onerror = (event) => {
      event.preventDefault();
      this.#setFailure(new HostError(`Cannot run a thread of the machine: ${event.message}`));
    };
    return worker;
  }
}
