/**
 * What the I/O worker has under way between files and guest memory, for all disks: it hands requests
 * to a `TransferEngine`, those that follow one another as one, and their results back.
 */

import type { MemoryRange } from "../../hv/sys/mod.ts";
import { MAX_PIECES, type TransferEngine } from "./transfer_engine.ts";

/** A transfer, or a flush of what transfers have written whose results are known. */
export interface TransferRequest {
  readonly op: "read" | "write" | "flush";
  /** The file. */
  readonly fd: number;
  /** Byte offset in the file. */
  readonly offset: number;
  /** At most `MAX_PIECES`, which stay until the transfer has ended. */
  readonly pieces: readonly MemoryRange[];
  /** Bytes of all pieces. */
  readonly length: number;
  /** Told the number of bytes, fewer than `length` at the file's end, or a negated error number. */
  done(result: number): void;
}

/** Requests that are one transfer. */
interface Batch {
  readonly first: TransferRequest;
  readonly requests: TransferRequest[];
  pieces: readonly MemoryRange[];
  length: number;
  /** It has gone wrong together with others: from now on it is alone. */
  readonly isAlone: boolean;
}

/** Longest transfer that requests are put together to, bytes: longer ones gain nothing. */
const MAX_BATCH_BYTES = 1 << 20;

/** See above. Everything happens on the caller's thread. */
export class Transfers implements Disposable {
  readonly engine: TransferEngine;
  /** Batches that the engine has not been told of. */
  #waiting: Batch[] = [];
  /** Batches that it carries out, by token. */
  readonly #underWay = new Map<number, Batch>();
  #nextToken = 0;

  /** Takes `engine` over. */
  constructor(engine: TransferEngine) {
    this.engine = engine;
  }

  /** Is there anything that has not ended? */
  get busy(): boolean {
    return this.#waiting.length > 0 || this.#underWay.size > 0;
  }

  /** Has `request` begun with the next `submit`. */
  start(request: TransferRequest): void {
    const last = this.#waiting.at(-1);
    if (last !== undefined && follows(last, request)) {
      if (last.requests.length === 1) last.pieces = [...last.pieces];
      (last.pieces as MemoryRange[]).push(...request.pieces);
      last.requests.push(request);
      last.length += request.length;
    } else this.#waiting.push(batchOf(request, false));
  }

  /** Begins what waits, as much as the engine takes at once. */
  submit(): void {
    const { engine } = this;
    let begun = 0;
    for (; begun < this.#waiting.length && engine.inFlight < engine.depth; begun++) {
      const batch = this.#waiting[begun];
      const token = this.#nextToken;
      this.#nextToken = token + 1 >>> 0;
      this.#underWay.set(token, batch);
      const { op, fd, offset } = batch.first;
      if (op === "read") engine.read(fd, offset, batch.pieces, token);
      else if (op === "write") engine.write(fd, offset, batch.pieces, token);
      else engine.dataSync(fd, token);
    }
    if (begun === 0) return;
    this.#waiting = this.#waiting.slice(begun);
    engine.submit();
  }

  /** Tells requests of their ends, and begins what waited for that. How many transfers have ended. */
  serve(): number {
    let count = 0;
    while (this.#underWay.size > 0) {
      const taken = this.engine.take(this.#ended);
      count += taken;
      this.submit();
      if (taken === 0) break;
    }
    return count;
  }

  /** Returns when everything has ended. */
  drain(): void {
    this.submit();
    while (this.busy) {
      this.engine.wait();
      this.serve();
      this.submit();
    }
  }

  /** Waits for what is under way, and ends the engine. */
  [Symbol.dispose](): void {
    this.drain();
    this.engine[Symbol.dispose]();
  }

  readonly #ended = (token: number, result: number): void => {
    const batch = this.#underWay.get(token)!;
    this.#underWay.delete(token);
    const { first, requests, length } = batch;
    if (requests.length === 1) first.done(result);
    else if (result === length) { for (const request of requests) request.done(request.length); }
    // Each is told how it went by itself.
    else for (const request of requests) this.#waiting.push(batchOf(request, true));
  };
}

const batchOf = (request: TransferRequest, isAlone: boolean): Batch => ({
  first: request,
  requests: [request],
  pieces: request.pieces,
  length: request.length,
  isAlone,
});

function follows(batch: Batch, request: TransferRequest): boolean {
  const { first, length, pieces, isAlone } = batch;
  return !isAlone && request.op === first.op && request.op !== "flush" && request.fd === first.fd &&
    request.offset === first.offset + length && length + request.length <= MAX_BATCH_BYTES &&
    pieces.length + request.pieces.length <= MAX_PIECES;
}
