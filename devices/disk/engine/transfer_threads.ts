/** Transfers by threads of hv's own, for hosts without io_uring: each makes calls that may block. */

import type { MemoryRange } from "../../../hv/sys/file/iovecs.ts";
import { TransferOp } from "../../../hv/sys/file/transfer.ts";
import { EventFd } from "../../../hv/sys/wait/event_fd.ts";
import { waitReadable } from "../../../hv/sys/wait/poll.ts";
import { MAX_PIECES, type TransferEngine } from "./transfer_engine.ts";
import { QUEUE_DEPTH, TransferQueue } from "./transfer_queue.ts";
import type { TransferWorkerStart } from "./transfer_worker.ts";

const THREADS = 4;
const NO_MEMORY: readonly MemoryRange[] = [];

/** See above. The threads start with the first request. */
export class TransferThreads implements TransferEngine {
  readonly #queue = new TransferQueue();
  readonly #results = new EventFd();
  readonly #free = Array.from({ length: QUEUE_DEPTH }, (_, i) => QUEUE_DEPTH - 1 - i);
  readonly #waiting: number[] = [];
  #threads = 0;
  /** Results that have been taken in all, modulo 2^32. */
  #taken = 0;

  readonly depth = QUEUE_DEPTH;

  get fd(): number {
    return this.#results.fd;
  }

  get inFlight(): number {
    return QUEUE_DEPTH - this.#free.length;
  }

  read(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    this.#ask({ op: TransferOp.read, fd, offset, mode: 0, length: 0 }, memory, token);
  }

  write(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    this.#ask({ op: TransferOp.write, fd, offset, mode: 0, length: 0 }, memory, token);
  }

  dataSync(fd: number, token: number): void {
    this.#ask({ op: TransferOp.dataSync, fd, offset: 0, mode: 0, length: 0 }, NO_MEMORY, token);
  }

  allocate(fd: number, mode: number, offset: number, length: number, token: number): void {
    this.#ask({ op: TransferOp.allocate, fd, offset, mode, length }, NO_MEMORY, token);
  }

  submit(): void {
    if (this.#waiting.length === 0) return;
    while (this.#threads < THREADS) this.#startThread();
    this.#queue.submit(this.#waiting);
    this.#waiting.length = 0;
  }

  take(done: (token: number, result: number) => void): number {
    this.#results.take();
    let count = 0;
    for (;;) {
      const slot = this.#queue.ended(this.#taken);
      if (slot < 0) return count;
      this.#taken = this.#taken + 1 >>> 0;
      const token = this.#queue.token(slot);
      const result = this.#queue.result(slot);
      this.#free.push(slot);
      count++;
      done(token, result);
    }
  }

  wait(): void {
    if (this.inFlight > this.#waiting.length) waitReadable(this.fd, Infinity);
  }

  /** Waits for what is under way, whose results are dropped, and for the threads' end. */
  [Symbol.dispose](): void {
    if (this.fd < 0) return;
    while (this.inFlight > this.#waiting.length) {
      this.wait();
      this.take(() => {});
    }
    this.#queue.stop(this.#threads);
    this.#threads = 0;
    this.#results[Symbol.dispose]();
  }

  #ask(
    transfer: Parameters<TransferQueue["fill"]>[1],
    memory: readonly MemoryRange[],
    token: number,
  ): void {
    if (memory.length > MAX_PIECES) {
      throw new RangeError(`Cannot transfer ${memory.length} pieces of memory at once`);
    }
    const slot = this.#free.pop();
    if (slot === undefined) {
      throw new RangeError(`Cannot do more than ${QUEUE_DEPTH} transfers at once`);
    }
    this.#queue.fill(slot, transfer, memory, token);
    this.#waiting.push(slot);
  }

  #startThread(): void {
    this.#threads++;
    const worker = new Worker(new URL("./transfer_worker.ts", import.meta.url), { type: "module" });
    const start: TransferWorkerStart = {
      buffer: this.#queue.buffer,
      eventFd: this.#results.fd,
    };
    worker.postMessage(start);
  }
}
