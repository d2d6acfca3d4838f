/**
 * The processors of a machine among each other: whoever must change memory in a way that no single
 * access can (an atomic operation across two words) stops the others first.
 *
 * A processor is inside while it may touch guest memory on behalf of its guest. It comes in only while
 * nobody has stopped the world, and goes out at its next branch when somebody wants to. Whoever waits
 * to stop the world is outside itself, so that two of them do not wait for each other.
 */

import { Lock } from "../../core/state/lock.ts";

const LOCK = 0;
const STOPPED = 1;
const INSIDE = 2;
/** Longest sleep between two looks at a processor that is still inside, ms. */
const LOOK_MS = 1;

/** What the processors share; see `World`. */
export const worldBuffer = (cpus: number): SharedArrayBuffer =>
  new SharedArrayBuffer((INSIDE + cpus) * 4);

/** See above; one processor's view. */
export class World {
  readonly #words: Int32Array;
  readonly #lock: Lock;
  readonly #index: number;
  readonly #cpus: number;
  readonly #ask: (other: number) => void;

  /** @param ask Has processor `other` go out at its next branch. */
  constructor(buffer: SharedArrayBuffer, index: number, ask: (other: number) => void) {
    this.#words = new Int32Array(buffer);
    this.#lock = new Lock(this.#words.subarray(LOCK, LOCK + 1));
    this.#index = index;
    this.#cpus = this.#words.length - INSIDE;
    this.#ask = ask;
  }

  /** Comes in; waits while the world is stopped. */
  enter(): void {
    if (this.#cpus === 1) return;
    const words = this.#words;
    const own = INSIDE + this.#index;
    for (;;) {
      Atomics.store(words, own, 1);
      if (Atomics.load(words, STOPPED) === 0) return;
      this.leave();
      Atomics.wait(words, STOPPED, 1);
    }
  }

  /** Goes out. */
  leave(): void {
    if (this.#cpus === 1) return;
    const own = INSIDE + this.#index;
    Atomics.store(this.#words, own, 0);
    if (Atomics.load(this.#words, STOPPED) !== 0) Atomics.notify(this.#words, own);
  }

  /** Does something while no other processor is inside; called from inside, between two accesses. */
  stop<T>(body: () => T): T {
    if (this.#cpus === 1) return body();
    const words = this.#words;
    this.leave();
    this.#lock.acquire();
    Atomics.store(words, STOPPED, 1);
    Atomics.store(words, INSIDE + this.#index, 1);
    try {
      for (let other = 0; other < this.#cpus; other++) {
        if (other === this.#index) continue;
        if (Atomics.load(words, INSIDE + other) === 0) continue;
        this.#ask(other);
        while (Atomics.load(words, INSIDE + other) !== 0) {
          Atomics.wait(words, INSIDE + other, 1, LOOK_MS);
        }
      }
      return body();
    } finally {
      Atomics.store(words, STOPPED, 0);
      Atomics.notify(words, STOPPED);
      this.#lock.release();
    }
  }
}
