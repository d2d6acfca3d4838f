/** A timer that sends the kick signal to one thread, again and again. */

import { CLOCK_MONOTONIC } from "./clock.ts";
import { check } from "./descriptor.ts";
import { libc } from "./libc.ts";
import { KICK_SIGNAL } from "./thread.ts";

const SIGEV_THREAD_ID = 4;
/** struct sigevent: value (8 bytes), signal (4), how to notify (4), thread id (4). */
const SIGEVENT_BYTES = 64;

/** See above; it runs until it is disposed of. */
export class ThreadTimer implements Disposable {
  #id: bigint | undefined;

  /**
   * @param threadId As `currentThreadId` gives it.
   * @param periodNs Below one second.
   * @throws SysError
   */
  constructor(threadId: number, periodNs: number) {
    const event = new Int32Array(SIGEVENT_BYTES / 4);
    event[2] = KICK_SIGNAL;
    event[3] = SIGEV_THREAD_ID;
    event[4] = threadId;
    const id = new BigUint64Array(1);
    check(libc.timer_create(CLOCK_MONOTONIC, event, id), "create a timer");
    this.#id = id[0];
    this.setPeriod(periodNs);
  }

  /**
   * Starts anew with another period.
   *
   * @param periodNs Below one second.
   * @throws SysError
   */
  setPeriod(periodNs: number): void {
    if (this.#id === undefined) return;
    // struct itimerspec: period, then time to the first signal; seconds and nanoseconds each.
    const spec = new BigInt64Array([0n, BigInt(periodNs), 0n, BigInt(periodNs)]);
    check(libc.timer_settime(this.#id, 0, spec, null), "start a timer");
  }

  [Symbol.dispose](): void {
    if (this.#id === undefined) return;
    libc.timer_delete(this.#id);
    this.#id = undefined;
  }
}
