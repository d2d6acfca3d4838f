/**
 * A machine's threads as main leads them: they come up, run, come to rest, stop; vCPUs always before
 * the I/O worker when they rest, so that what they wait for is finished, and guest time last.
 */

import type { AcceleratedVm } from "../accel/accelerator.ts";
import { EndKind, Request, WorkerPhase } from "../core/control.ts";
import { HostError } from "../errors.ts";
import { type IoParts, needsIo } from "../io/io_parts.ts";
import type { MachineSeed, MachineThread } from "../threads/machine_thread.ts";
import type { WorkerSet } from "./worker_set.ts";

/** Longest that parking and stopping may take, ms: a disk that hangs, a host that swaps or is busy. */
const PHASE_TIMEOUT_MS = 30_000;
/** Longest that threads may take to load: Deno may check their types first, on a busy host. */
const START_TIMEOUT_MS = 60_000;

/** What the threads belong to. */
export interface ThreadGroupParts {
  readonly seed: MachineSeed;
  /** Main's own attachment to the machine. */
  readonly thread: MachineThread;
  readonly vm: AcceleratedVm;
  readonly io: IoParts;
  readonly workers: WorkerSet;
}

/** See above. Only one of its methods is under way at a time. */
export class ThreadGroup {
  readonly #parts: ThreadGroupParts;
  readonly #cpus: readonly number[];

  /**
   * Has the I/O worker attach; without anything to serve, only when somebody needs it.
   *
   * @param parts Of its workers, those of the processors have been started.
   */
  constructor(parts: ThreadGroupParts) {
    const { seed, thread, io, workers } = this.#parts = parts;
    this.#cpus = Array.from({ length: seed.config.cpus }, (_, index) => index);
    if (needsIo(seed.config)) workers.startIo(seed, io.handOut());
    else thread.control.withoutIo();
  }

  /**
   * Resolves when all have attached and rest.
   *
   * @param onStarting Told now and then how many of the processors do.
   * @throws {HostError} When one cannot, or has not within a minute.
   */
  async up(onStarting?: (up: number, of: number) => void): Promise<void> {
    const { thread: { control }, workers } = this.#parts;
    const tell = () => {
      const up = this.#cpus.filter((index) => hasReached(control.phase(index), WorkerPhase.parked));
      onStarting?.(up.length, this.#cpus.length);
    };
    const parked = Promise.all([
      this.#cpusReach(WorkerPhase.parked, { timeoutMs: START_TIMEOUT_MS, again: tell }),
      this.#ioReaches(WorkerPhase.parked),
    ]);
    const result = await Promise.race([parked, workers.failure]);
    if (result instanceof Error) throw result;
    const { kind, failure } = control.ending;
    if (kind !== EndKind.none) throw new HostError(`Cannot start the machine: ${failure}`);
    if (!result.every(Boolean)) {
      throw new HostError("Cannot start the machine: its threads did not come up in 60 s");
    }
  }

  /** Calls `listener` when a worker fails of what it cannot handle itself; after `up`. */
  onFailure(listener: (message: string) => void): void {
    void this.#parts.workers.failure.then(({ message }) => {
      // Only the I/O worker may still have to load.
      this.#parts.thread.control.setIoPhase(WorkerPhase.ended);
      listener(message);
    });
  }

  /** Somebody has work for the I/O worker that the machine has done without. */
  startIo(): void {
    const { seed, thread: { control }, io, workers } = this.#parts;
    if (control.ioPhase !== WorkerPhase.absent) return;
    control.setIoPhase(WorkerPhase.starting);
    workers.startIo(seed, io.handOut());
  }

  /** Has the I/O worker there, where the machine has done without; the others go on meanwhile. */
  async ioUp(): Promise<void> {
    const { thread: { control }, workers } = this.#parts;
    this.startIo();
    await workers.until(() => control.ioPhase !== WorkerPhase.starting, START_TIMEOUT_MS);
  }

  /** Lets guest time and the I/O worker run, and the vCPUs unless `cpusWait`. */
  run({ cpusWait }: { cpusWait: boolean }): void {
    const { control, clock } = this.#parts.thread;
    clock.start();
    control.requestIo(Request.run);
    if (!cpusWait) control.request(Request.run);
  }

  /**
   * Brings all to rest.
   *
   * @throws {HostError} When one does not come to rest in 30 s.
   */
  async park(): Promise<void> {
    const { control, clock } = this.#parts.thread;
    control.request(Request.park);
    const parked = await this.#cpusReach(WorkerPhase.parked, { again: () => this.#kick() });
    control.requestIo(Request.park);
    const ioParked = await this.#ioReaches(WorkerPhase.parked);
    if (!parked || !ioParked) {
      throw new HostError("Cannot pause the machine: a thread has not come to rest in 30 s");
    }
    clock.stop();
  }

  /**
   * While all rest: has the I/O worker alone look after what main has changed, until `done`.
   *
   * @throws {HostError} When it has not in 30 s.
   */
  async ioVisit(done: () => boolean): Promise<void> {
    const { thread: { control }, workers } = this.#parts;
    this.startIo();
    control.requestIo(Request.run);
    const visited = await workers.until(done, this.#ioTimeoutMs);
    control.requestIo(Request.park);
    if (!visited || !await this.#ioReaches(WorkerPhase.parked)) {
      throw new HostError("Cannot change the machine: its I/O thread has not answered in 30 s");
    }
  }

  /**
   * Ends all; false when one is still in the kernel after 30 s, and holds on to what it uses.
   *
   * @param handOver Others will go on: keep what the I/O worker leaves for the next.
   */
  async stop({ handOver = false } = {}): Promise<boolean> {
    const { thread: { control, pc }, io, workers } = this.#parts;
    control.request(Request.stop);
    const ended = await this.#cpusReach(WorkerPhase.ended, { again: () => this.#kick() });
    const isLeft = handOver && (io.hasSessions || pc.hotplug.hasShares);
    control.requestIo(isLeft ? Request.handOver : Request.stop);
    const ioEnded = await this.#ioReaches(WorkerPhase.ended);
    if (isLeft) await workers.until(() => workers.left !== undefined, PHASE_TIMEOUT_MS);
    if (workers.left !== undefined) io.keep(workers.left.shareSessions);
    // The I/O worker's last message may say that an image could not be flushed.
    await new Promise((resolve) => setTimeout(resolve, 0));
    workers[Symbol.dispose]();
    return ended && ioEnded;
  }

  /** A worker has changed its phase: whoever waits looks again. */
  phaseChanged(): void {
    this.#parts.workers.phaseChanged();
  }

  #kick(): void {
    const { thread: { control }, vm } = this.#parts;
    for (const index of this.#cpus) {
      const threadId = control.threadId(index);
      if (threadId !== 0 && control.phase(index) === WorkerPhase.running) {
        vm.kick(index, threadId);
      }
    }
  }

  #cpusReach(
    phase: number,
    { timeoutMs = PHASE_TIMEOUT_MS, again }: { timeoutMs?: number; again?: () => void } = {},
  ): Promise<boolean> {
    const { thread: { control }, workers } = this.#parts;
    return workers.until(
      () => this.#cpus.every((index) => hasReached(control.phase(index), phase)),
      timeoutMs,
      again,
    );
  }

  #ioReaches(phase: number): Promise<boolean> {
    const { thread: { control }, workers } = this.#parts;
    return workers.until(() => hasReached(control.ioPhase, phase), this.#ioTimeoutMs);
  }

  /** Longer while it is still loading. */
  get #ioTimeoutMs(): number {
    const loading = this.#parts.thread.control.ioPhase === WorkerPhase.starting;
    return loading ? START_TIMEOUT_MS : PHASE_TIMEOUT_MS;
  }
}

function hasReached(phase: number, wanted: number): boolean {
  return phase === wanted || phase === WorkerPhase.ended || phase === WorkerPhase.absent;
}
