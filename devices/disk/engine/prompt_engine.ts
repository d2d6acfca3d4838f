/**
 * Transfers that are over before they have been handed to anybody: what only goes into the host's page
 * cache, or comes out of it, takes less time than telling others of it (measured: a write of 4 KiB 1 µs,
 * by io_uring 6, and 25 when it is the only one). What waits for the medium, the engine behind does.
 *
 * That a write will wait cannot be known beforehand: ext4 has no RWF_NOWAIT for writes into the cache.
 * One that took long tells: the host holds its writers back, and for some time the engine behind gets
 * all of them, so that the thread stands still for one write and not for each.
 */

import { Iovecs, type MemoryRange } from "../../../hv/sys/file/iovecs.ts";
import { transferNow, TransferOp } from "../../../hv/sys/file/transfer.ts";
import { MAX_PIECES, type TransferEngine } from "./transfer_engine.ts";

/** A write that takes longer has waited for something, ms. */
const SLOW_MS = 5;
/** The engine behind gets all writes for so many times as long: at most 2 % of the time is lost. */
const PAUSE_FACTOR = 50;
/** What one turn does itself, so that others have theirs, bytes. */
const TURN_BYTES = 4 << 20;

/** What an engine is put in front of, and how. */
export interface PromptEngineOptions {
  /** Does the engine behind look into the cache itself, as io_uring does when it is told of a read? */
  readonly readsPromptly: boolean;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
}

/** See above. */
export class PromptEngine implements TransferEngine {
  readonly #behind: TransferEngine;
  readonly #options: PromptEngineOptions;
  readonly #iovecs = Iovecs.ofLength(MAX_PIECES);
  /** Tokens and results of what is over and not taken. */
  #over: number[] = [];
  /** No writes until then. */
  #writesFromMs = 0;
  /** Left of what this turn may do. */
  #bytesLeft = TURN_BYTES;

  /** Takes the engine `behind` over. */
  constructor(behind: TransferEngine, options: PromptEngineOptions) {
    this.#behind = behind;
    this.#options = options;
  }

  get fd(): number {
    return this.#behind.fd;
  }

  get depth(): number {
    return this.#behind.depth;
  }

  get inFlight(): number {
    return this.#behind.inFlight + this.#over.length / 2;
  }

  read(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    if (!this.#options.readsPromptly) {
      const bytes = bytesOf(memory);
      const result = this.#mayDo(memory, bytes)
        ? this.#transfer(TransferOp.readCached, fd, offset, memory, bytes)
        : -1;
      // Part of it, at the file's end or not: the engine behind finds out.
      if (result === bytes) return this.#end(token, result);
    }
    this.#behind.read(fd, offset, memory, token);
  }

  write(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    const { nowMs } = this.#options;
    const begun = nowMs();
    const bytes = bytesOf(memory);
    if (begun < this.#writesFromMs || !this.#mayDo(memory, bytes)) {
      return this.#behind.write(fd, offset, memory, token);
    }
    const result = this.#transfer(TransferOp.write, fd, offset, memory, bytes);
    const now = nowMs();
    if (now - begun > SLOW_MS) this.#writesFromMs = now + (now - begun) * PAUSE_FACTOR;
    this.#end(token, result);
  }

  dataSync(fd: number, token: number): void {
    this.#behind.dataSync(fd, token);
  }

  allocate(fd: number, mode: number, offset: number, length: number, token: number): void {
    this.#behind.allocate(fd, mode, offset, length, token);
  }

  submit(): void {
    this.#behind.submit();
  }

  take(done: (token: number, result: number) => void): number {
    const over = this.#over;
    this.#over = [];
    this.#bytesLeft = TURN_BYTES;
    for (let i = 0; i < over.length; i += 2) done(over[i], over[i + 1]);
    return over.length / 2 + this.#behind.take(done);
  }

  wait(): void {
    if (this.#over.length === 0) this.#behind.wait();
  }

  [Symbol.dispose](): void {
    this.#behind[Symbol.dispose]();
  }

  #mayDo(memory: readonly MemoryRange[], bytes: number): boolean {
    return memory.length <= MAX_PIECES && bytes <= this.#bytesLeft;
  }

  #transfer(
    op: TransferOp,
    fd: number,
    offset: number,
    memory: readonly MemoryRange[],
    bytes: number,
  ): number {
    this.#bytesLeft -= bytes;
    const iovecs = this.#iovecs.put(0, memory);
    return transferNow({ op, fd, offset, iovecs, pieces: memory.length, mode: 0, length: 0 });
  }

  #end(token: number, result: number): void {
    this.#over.push(token, result);
  }
}

function bytesOf(memory: readonly MemoryRange[]): number {
  let bytes = 0;
  for (const { length } of memory) bytes += length;
  return bytes;
}
