/** A transfer engine without files and memory, for tests. */

import assert from "node:assert/strict";
import type { TransferEngine } from "../../../../devices/disk/engine/transfer_engine.ts";
import type { MemoryRange } from "../../../../hv/sys/file/iovecs.ts";

interface Asked {
  readonly what: string;
  readonly token: number;
  readonly bytes: number;
  readonly pieces: number;
}

/** An engine that does what the test says, when it says so. */
export class FakeEngine implements TransferEngine {
  readonly fd = -1;
  readonly depth: number;
  readonly asked: Asked[] = [];
  readonly #results: [number, number][] = [];
  inFlight = 0;
  submits = 0;
  ended = false;

  constructor(depth = 64) {
    this.depth = depth;
  }

  read(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    this.#ask(`read ${fd} ${offset}`, memory, token);
  }

  write(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void {
    this.#ask(`write ${fd} ${offset}`, memory, token);
  }

  dataSync(fd: number, token: number): void {
    this.#ask(`sync ${fd}`, [], token);
  }

  allocate(): void {
    assert.fail("not used");
  }

  submit(): void {
    this.submits++;
  }

  take(done: (token: number, result: number) => void): number {
    const results = this.#results.splice(0);
    for (const [token, result] of results) {
      this.inFlight--;
      done(token, result);
    }
    return results.length;
  }

  wait(): void {
    // What is waited for goes well.
    for (const { token, bytes } of this.asked.splice(0)) this.#results.push([token, bytes]);
  }

  /** The oldest transfer that was asked for ends. */
  finish(result?: number): void {
    const { token, bytes } = this.asked.shift()!;
    this.#results.push([token, result ?? bytes]);
  }

  [Symbol.dispose](): void {
    assert.equal(this.inFlight, 0, "nothing is under way at the end");
    this.ended = true;
  }

  #ask(what: string, memory: readonly MemoryRange[], token: number): void {
    assert.ok(this.inFlight < this.depth, "more than the engine takes");
    this.inFlight++;
    const bytes = memory.reduce((sum, { length }) => sum + length, 0);
    this.asked.push({ what, token, bytes, pieces: memory.length });
  }
}
