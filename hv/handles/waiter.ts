/** Waiting for something in the guest: with a time limit, an abort signal, and an end at its death. */

import { WaitError } from "../errors.ts";

/** How long to wait, and what else may end the wait. */
export interface WaitOptions {
  /** Milliseconds; default 30,000. `Infinity`: none. */
  readonly timeoutMs?: number;
  /** Ends the wait when it aborts. */
  readonly signal?: AbortSignal;
}

/** Default time limit of every wait, ms. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/** Timers hold no more, and fire at once: what is longer (25 days) never ends. */
const MAX_TIMER_MS = 2 ** 31 - 1;

interface Pending {
  check(): void;
}

/** The expression that looks for `pattern`, without memory of earlier searches; a string is itself. */
export function searchFor(pattern: RegExp | string): RegExp {
  return typeof pattern === "string"
    ? new RegExp(pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
}

/** What a machine's waits have in common. */
export class Waiter {
  readonly #pending = new Set<Pending>();
  readonly #death: () => string | undefined;
  readonly #context: () => Promise<string>;

  /**
   * @param death Why the guest is dead, or undefined while it lives.
   * @param context Last console lines, screen and registers, for the error.
   */
  constructor(death: () => string | undefined, context: () => Promise<string>) {
    this.#death = death;
    this.#context = context;
  }

  /** Something has changed: every wait looks again. */
  changed(): void {
    for (const pending of this.#pending) pending.check();
  }

  /**
   * Waits until `find` gives something.
   *
   * @param find Looks for it; called whenever something has changed, and every `pollMs` if given.
   * @param what For the error: `Waited 30 s for <what>`.
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  until<T>(
    find: () => T | undefined,
    what: string,
    { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: WaitOptions = {},
    pollMs?: number,
  ): Promise<T> {
    const startMs = performance.now();
    return new Promise<T>((resolve, reject) => {
      const timeout = timeoutMs > MAX_TIMER_MS ? undefined : setTimeout(
        () => fail("timeout", `nothing within the time limit of ${timeoutMs / 1000} s`),
        timeoutMs,
      );
      const poll = pollMs === undefined ? undefined : setInterval(() => pending.check(), pollMs);
      const finish = () => {
        this.#pending.delete(pending);
        clearTimeout(timeout);
        clearInterval(poll);
        signal?.removeEventListener("abort", abort);
      };
      const fail = (reason: WaitError["reason"], why: string, cause?: unknown) => {
        finish();
        const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
        const message = `Waited ${seconds} s for ${what}: ${why}`;
        this.#context().catch(() => "").then((context) =>
          reject(new WaitError(reason, `${message}\n${context}`.trimEnd(), { cause }))
        );
      };
      const abort = () => fail("aborted", "the caller gave up", signal?.reason);
      const pending: Pending = {
        check: () => {
          let found: T | undefined;
          try {
            found = find();
          } catch (error) {
            finish();
            reject(error);
            return;
          }
          if (found !== undefined) {
            finish();
            resolve(found);
            return;
          }
          const death = this.#death();
          if (death !== undefined) fail("ended", death);
        },
      };
      this.#pending.add(pending);
      if (signal?.aborted) abort();
      else {
        signal?.addEventListener("abort", abort);
        pending.check();
      }
    });
  }
}
