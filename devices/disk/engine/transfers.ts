/**
 * What the I/O worker has under way between files and guest memory, for all disks: it hands requests
 * to a `TransferEngine`, those that follow one another as one, and their results back.
 */

import type { MemoryRange } from "../../../hv/sys/file/iovecs.ts";
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
  readonly requests: readonly TransferRequest[];
  readonly length: number;
}

/** Longest transfer that requests are put together to, bytes: longer ones gain nothing. */
const MAX_BATCH_BYTES = 1 << 20;

/** See above. Everything happens on the caller's thread. */
export class Transfers implements Disposable {
  readonly engine: TransferEngine;
  /** Requests that the engine has not been told of. */
  #waiting: TransferRequest[] = [];
  /** Those that have gone wrong together with others: each is told how it went by itself. */
  readonly #alone = new Set<TransferRequest>();
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
    this.#waiting.push(request);
  }

  /** Begins what waits, as much as the engine takes at once. */
  submit(): void {
    const { engine } = this;
    const waiting = this.#waiting;
    let begun = 0;
    while (begun < waiting.length && engine.inFlight < engine.depth) {
      begun = this.#begin(waiting, begun);
    }
    if (begun === 0) return;
    if (begun === waiting.length) waiting.length = 0;
    else this.#waiting = waiting.slice(begun);
    engine.submit();
  }

  /** Begins request `at` with those that go with it; the number of the next. */
  #begin(waiting: readonly TransferRequest[], at: number): number {
    const { engine } = this;
    const { op, fd, offset, pieces } = waiting[at];
    const token = this.#nextToken;
    this.#nextToken = token + 1 >>> 0;
    const { next, length } = this.#batchFrom(waiting, at);
    const requests = waiting.slice(at, next);
    this.#underWay.set(token, { requests, length });
    if (op === "flush") engine.dataSync(fd, token);
    else {
      const all = requests.length === 1 ? pieces : piecesOf(requests);
      if (op === "read") engine.read(fd, offset, all, token);
      else engine.write(fd, offset, all, token);
    }
    return next;
  }

  /** How far the requests from `at` on follow one another, so that they can be one transfer. */
  #batchFrom(waiting: readonly TransferRequest[], at: number): { next: number; length: number } {
    const first = waiting[at];
    let { length } = first;
    let pieces = first.pieces.length;
    let next = at + 1;
    const hasAlone = this.#alone.size > 0;
    const isAlone = first.op === "flush" || (hasAlone && this.#alone.delete(first));
    if (isAlone) return { next, length };
    for (; next < waiting.length; next++) {
      const request = waiting[next];
      length += request.length;
      pieces += request.pieces.length;
      const follows = request.op === first.op && request.fd === first.fd &&
        request.offset === first.offset + length - request.length &&
        length <= MAX_BATCH_BYTES && pieces <= MAX_PIECES &&
        !(hasAlone && this.#alone.has(request));
      if (!follows) return { next, length: length - request.length };
    }
    return { next, length };
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
    const { requests, length } = this.#underWay.get(token)!;
    this.#underWay.delete(token);
    if (requests.length === 1) requests[0].done(result);
    else if (result === length) { for (const request of requests) request.done(request.length); }
    else {
      for (const request of requests) {
        this.#alone.add(request);
        this.#waiting.push(request);
      }
    }
  };
}

function piecesOf(requests: readonly TransferRequest[]): MemoryRange[] {
  const pieces: MemoryRange[] = [];
  for (const request of requests) for (const piece of request.pieces) pieces.push(piece);
  return pieces;
}
