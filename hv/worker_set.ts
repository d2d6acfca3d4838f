/** The workers of a machine, as main sees them: made, posted to, waited for, ended. */

import { HostError } from "./errors.ts";
import type { DiskHandle } from "../devices/disk/disk_handle.ts";
import type { IoWorkerStart } from "./io_worker.ts";
import type { MachineSeed } from "./machine_thread.ts";
import type { VcpuWorkerStart } from "./vcpu_worker.ts";

/** How often a wait for threads looks by itself, ms, should a wake-up be missed. */
const POLL_MS = 50;

/** See above. */
export class WorkerSet implements Disposable {
  /** Resolves with what a worker failed of, outside of its own error handling. */
  readonly failure: Promise<Error>;
  readonly #vcpus: Worker[];
  readonly #io: Worker;
  readonly #looks = new Set<() => void>();

  /** Begins to load the workers' modules. */
  constructor(cpus: number) {
    // The addresses stand here as literals so that `deno compile` finds and embeds them.
    this.#vcpus = Array.from(
      { length: cpus },
      () => new Worker(new URL("./vcpu_worker.ts", import.meta.url), { type: "module" }),
    );
    this.#io = new Worker(new URL("./io_worker.ts", import.meta.url), { type: "module" });
    const failure = Promise.withResolvers<Error>();
    this.failure = failure.promise;
    for (const worker of [...this.#vcpus, this.#io]) {
      worker.onerror = (event) => {
        event.preventDefault();
        failure.resolve(new HostError(`Cannot run a thread of the machine: ${event.message}`));
      };
    }
  }

  /** Has the workers attach to the machine. */
  start(seed: MachineSeed, media: readonly (DiskHandle | undefined)[]): void {
    const io: IoWorkerStart = { seed, media };
    this.#io.postMessage(io);
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
    for (const worker of [...this.#vcpus, this.#io]) worker.terminate();
  }
}
