/**
 * What the threads of a machine tell each other: shared words, and nothing else.
 *
 * Main asks for a run state; workers report theirs. Workers leave events for main and ring its bell;
 * whoever has work for the I/O worker rings that one's doorbell. Only main calls `request`.
 */

import { BootReport } from "./boot_report.ts";
import type { Arena } from "./state/arena.ts";
import { bytes, f64, record, u32, u8, words } from "./state/record.ts";

/** What main wants of the workers; of the I/O worker also that it ends and another goes on. */
export const Request = { park: 0, run: 1, stop: 2, handOver: 3 } as const;
/** One of `Request`. */
export type Request = typeof Request[keyof typeof Request];

/** What a worker is doing. */
export const WorkerPhase = {
  starting: 0,
  parked: 1,
  running: 2,
  ended: 3,
  /** There is no such worker yet. */
  absent: 4,
} as const;

/** Bits that workers leave for main. */
export const Event = {
  /** A stream has guest output, or room for input. */
  stream: 1,
  /** The guest asked for a reset. */
  reset: 2,
  /** The machine has come to an end: see `ending`. */
  ended: 4,
  /** A worker has parked, started or ended. */
  phase: 8,
  /** The guest asked for a reset of the processors alone. */
  cpuReset: 16,
  /** There is work for the I/O worker, which does not exist yet. */
  ioNeeded: 32,
  /** The guest has let devices go that it was asked for, or of its own accord. */
  ejected: 64,
} as const;

/** How a guest's life can end. */
export const EndKind = {
  none: 0,
  powerOff: 1,
  debugExit: 2,
  tripleFault: 3,
  failed: 4,
  workerError: 5,
} as const;
/** One of `EndKind`. */
export type EndKind = typeof EndKind[keyof typeof EndKind];

/** Most virtual processors of a machine. */
export const MAX_CPUS = 64;
const FAILURE_BYTES = 4096;

const ControlState = record("control", 1, {
  request: words(1),
  /** The I/O worker has a request of its own: it parks last and runs first. */
  ioRequest: words(1),
  ioPhase: words(1),
  /** 1 while the I/O worker is awake, or has been rung. */
  ioAwake: words(1),
  events: words(1),
  phases: words(MAX_CPUS),
  /** Kernel thread ids, for kicks. */
  threadIds: words(MAX_CPUS),
  /** First come, first served: 0 until a worker has claimed the ending. */
  endClaim: words(1),
  endKind: u8,
  endCode: u8,
  failureLength: u32,
  /** Guest time until which the I/O worker sleeps, ns. */
  ioSleepUntilNs: f64,
  failure: bytes(FAILURE_BYTES),
});

/** See above; every thread has its own object over the same words. */
export class Control {
  /** What became of booting. */
  readonly boot: BootReport;
  readonly #state: InstanceType<typeof ControlState>;
  readonly #ringIo: () => void;

  /** @param ringIo Wakes the I/O worker from its sleep: writes to its eventfd. */
  constructor(arena: Arena, ringIo: () => void) {
    this.#state = arena.allocate(ControlState, "control");
    this.boot = new BootReport(arena);
    this.#ringIo = ringIo;
  }

  // --- the run state -------------------------------------------------------------------------

  /** What main wants of the vCPU workers. */
  get requested(): Request {
    return Atomics.load(this.#state.request, 0) as Request;
  }

  /** Main asks the vCPU workers for something. */
  request(request: Request): void {
    Atomics.store(this.#state.request, 0, request);
    Atomics.notify(this.#state.request, 0);
  }

  /** What main wants of the I/O worker. */
  get ioRequested(): Request {
    return Atomics.load(this.#state.ioRequest, 0) as Request;
  }

  /** Main asks the I/O worker for something. */
  requestIo(request: Request): void {
    Atomics.store(this.#state.ioRequest, 0, request);
    Atomics.notify(this.#state.ioRequest, 0);
    if (this.ioPhase !== WorkerPhase.absent) this.ringIo();
  }

  /** Main is about to start workers anew, in place of those that have ended: they are to park. */
  restart(cpus: number): void {
    this.request(Request.park);
    for (let index = 0; index < cpus; index++) this.setPhase(index, WorkerPhase.starting);
    this.setIoPhase(WorkerPhase.starting);
    Atomics.store(this.#state.ioRequest, 0, Request.park);
  }

  /** A vCPU worker waits here while it is to be parked; it runs when this returns. */
  parkVcpu(index: number): void {
    // Main may have found it parked after it was woken: having said that it runs, it looks again.
    do {
      this.setPhase(index, WorkerPhase.parked);
      waitWhileParked(this.#state.request);
      this.setPhase(index, WorkerPhase.running);
    } while (this.requested === Request.park);
  }

  /** The I/O worker waits here while it is to be parked; it runs when this returns. */
  parkIo(): void {
    do {
      this.setIoPhase(WorkerPhase.parked);
      waitWhileParked(this.#state.ioRequest);
      this.setIoPhase(WorkerPhase.running);
    } while (this.ioRequested === Request.park);
  }

  /** One of `WorkerPhase`. */
  phase(index: number): number {
    return Atomics.load(this.#state.phases, index);
  }

  /** A vCPU worker reports what it does. */
  setPhase(index: number, phase: number): void {
    Atomics.store(this.#state.phases, index, phase);
    this.notify(Event.phase);
  }

  /** One of `WorkerPhase`. */
  get ioPhase(): number {
    return Atomics.load(this.#state.ioPhase, 0);
  }

  /** The I/O worker reports what it does. */
  setIoPhase(phase: number): void {
    Atomics.store(this.#state.ioPhase, 0, phase);
    this.notify(Event.phase);
  }

  /** Kernel thread id of vCPU `index`'s worker; 0 before it has started. */
  threadId(index: number): number {
    return Atomics.load(this.#state.threadIds, index);
  }

  /** A vCPU worker tells its kernel thread id. */
  setThreadId(index: number, threadId: number): void {
    Atomics.store(this.#state.threadIds, index, threadId);
  }

  // --- events for main -----------------------------------------------------------------------

  /** Leaves an event for main. */
  notify(event: number): void {
    if ((Atomics.or(this.#state.events, 0, event) & event) === 0) {
      Atomics.notify(this.#state.events, 0);
    }
  }

  /** Main takes what has come, as bits of `Event`. */
  takeEvents(): number {
    return Atomics.exchange(this.#state.events, 0, 0);
  }

  /** Has any of `events` been left that main has not taken? */
  isPending(events: number): boolean {
    return (Atomics.load(this.#state.events, 0) & events) !== 0;
  }

  /** Main waits until there is an event. */
  async event(): Promise<void> {
    const wait = Atomics.waitAsync(this.#state.events, 0, 0);
    if (wait.async) await wait.value;
  }

  // --- the end of the guest ------------------------------------------------------------------

  /** Ends the guest's life; the first caller says how. All vCPUs park. */
  end(kind: EndKind, code: number, failure = ""): void {
    const state = this.#state;
    if (Atomics.compareExchange(state.endClaim, 0, 0, 1) === 0) {
      const { written } = new TextEncoder().encodeInto(failure, new Uint8Array(FAILURE_BYTES));
      const text = new TextEncoder().encode(failure).subarray(0, written);
      state.failure.set(text);
      state.failureLength = text.length;
      state.endCode = code;
      state.endKind = kind;
      this.notify(Event.ended);
    }
    this.parkAll();
  }

  /** How the guest ended; `EndKind.none` while it lives. */
  get ending(): { kind: EndKind; code: number; failure: string } {
    const { endKind, endCode, failure, failureLength } = this.#state;
    return {
      kind: endKind as EndKind,
      code: endCode,
      failure: new TextDecoder().decode(failure.slice(0, failureLength)),
    };
  }

  /** Stops the vCPUs at their next exit, unless main has asked them to end. */
  parkAll(): void {
    Atomics.compareExchange(this.#state.request, 0, Request.run, Request.park);
  }

  // --- the I/O worker's sleep ----------------------------------------------------------------

  /** Has the I/O worker look for work; when there is none yet, main is asked for it. */
  ringIo(): void {
    if (Atomics.exchange(this.#state.ioAwake, 0, 1) !== 0) return;
    if (this.ioPhase === WorkerPhase.absent) this.notify(Event.ioNeeded);
    this.#ringIo();
  }

  /** Main does without the I/O worker until somebody rings for it. Called before anybody can. */
  withoutIo(): void {
    this.setIoPhase(WorkerPhase.absent);
    this.ioSleeps(Infinity);
  }

  /** Has the I/O worker sleep no longer than guest time `deadlineNs`. */
  wakeBy(deadlineNs: number): void {
    // A fence: the timer's new deadline must be out before it is asked how long the worker sleeps,
    // which looks at the deadlines once more after it has said so.
    Atomics.add(this.#state.ioAwake, 0, 0);
    if (deadlineNs < this.#state.ioSleepUntilNs) this.ringIo();
  }

  /**
   * The I/O worker is about to sleep until guest time `untilNs`. Whatever is posted from here on
   * rings; what was posted before, it must look for once more before it sleeps.
   */
  ioSleeps(untilNs: number): void {
    this.#state.ioSleepUntilNs = untilNs;
    Atomics.store(this.#state.ioAwake, 0, 0);
  }

  /** The I/O worker is awake and will look for work before it sleeps again. */
  ioWakes(): void {
    Atomics.store(this.#state.ioAwake, 0, 1);
    this.#state.ioSleepUntilNs = 0;
  }
}

function waitWhileParked(request: Int32Array): void {
  while (Atomics.load(request, 0) === Request.park) Atomics.wait(request, 0, Request.park);
}
