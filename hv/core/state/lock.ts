/**
 * A mutex between threads, in one 32-bit word of shared memory: 0 free, 1 held, 2 held and awaited.
 *
 * It is not recursive. Hold it briefly and never while waiting for the host; take a device's lock
 * before an interrupt controller's, and never two devices'. Whoever holds it must not be terminated.
 */

const SPINS = 100;

/** See above. */
export class Lock {
  readonly #word: Int32Array;

  /** @param word One 32-bit word in shared memory, 0 at first. */
  constructor(word: Int32Array) {
    this.#word = word;
  }

  /** Waits until the lock is free and takes it. */
  acquire(): void {
    const word = this.#word;
    for (let i = 0; i < SPINS; i++) {
      if (Atomics.compareExchange(word, 0, 0, 1) === 0) return;
    }
    while (Atomics.exchange(word, 0, 2) !== 0) Atomics.wait(word, 0, 2);
  }

  /** Gives the lock back; only its holder may. */
  release(): void {
    if (Atomics.exchange(this.#word, 0, 0) === 2) Atomics.notify(this.#word, 0, 1);
  }

  /** Runs `body` while holding the lock. */
  with<T>(body: () => T): T {
    this.acquire();
    try {
      return body();
    } finally {
      this.release();
    }
  }
}
