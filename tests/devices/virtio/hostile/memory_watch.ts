/**
 * Which bytes of guest memory a device changes: only those that it may, and never without telling those
 * that run guest code; nothing behind guest memory.
 */

import assert from "node:assert/strict";
import type { GuestRange } from "../../../../hv/core/media/block_engine.ts";
import { type HostileBench, RAM_BYTES } from "./hostile_bench.ts";

/** See above. */
export class MemoryWatch {
  readonly #bench: HostileBench;
  readonly #ram: Uint8Array;
  readonly #before = new Uint8Array(RAM_BYTES);
  readonly #ramWords: BigUint64Array;
  readonly #beforeWords = new BigUint64Array(this.#before.buffer);
  /** Of each byte, used when some have changed. */
  readonly #mayWrite = new Uint8Array(RAM_BYTES);
  readonly #wasTold = new Uint8Array(RAM_BYTES);
  /** Of this step. */
  #writable: GuestRange[] = [];
  #touched: GuestRange[] = [];
  #steps = 0;

  constructor(bench: HostileBench) {
    this.#bench = bench;
    const { buffer } = bench.memory.memory;
    this.#ram = new Uint8Array(buffer, 0, RAM_BYTES);
    this.#ramWords = new BigUint64Array(buffer, 0, RAM_BYTES / 8);
    bench.memory.onTouch = (address, length) => this.#touched.push({ address, length });
  }

  /** A step begins. */
  begin(): void {
    this.#before.set(this.#ram);
    this.#touched = [];
    this.#writable = [];
  }

  /** In this step the device may write there. */
  allow(...ranges: readonly GuestRange[]): void {
    this.#writable.push(...ranges);
  }

  /** The guest writes a byte during the step. */
  guestWrites(address: number, value: number): void {
    this.#ram[address] = value;
    this.#before[address] = value;
  }

  /** The step has ended. */
  end(): void {
    // Where nobody has been told of a write, it is looked for every now and then.
    if (this.#touched.length === 0 && this.#steps++ % 8 !== 0) return;
    assert.ok(this.#bench.behindIsIntact, "memory of the host's behind guest memory was written");
    let marked = false;
    for (let word = 0; word < this.#ramWords.length; word++) {
      if (this.#ramWords[word] === this.#beforeWords[word]) continue;
      if (!marked) this.#mark();
      marked = true;
      for (let at = word * 8; at < word * 8 + 8; at++) {
        if (this.#ram[at] === this.#before[at]) continue;
        if (this.#mayWrite[at] && this.#wasTold[at]) continue;
        const what = this.#mayWrite[at] ? "without telling processors" : "and must not be";
        assert.fail(`guest memory at ${at.toString(16)}h was written ${what}`);
      }
    }
  }

  #mark(): void {
    const marks = [[this.#mayWrite, this.#writable], [this.#wasTold, this.#touched]] as const;
    for (const [bytes, ranges] of marks) {
      bytes.fill(0);
      for (const { address, length } of ranges) bytes.fill(1, address, address + length);
    }
  }
}
