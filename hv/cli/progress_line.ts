/** How far something is, in the last line of a terminal; elsewhere nothing. */

const CLEAR_LINE = "\r\x1b[K";
/** As often as a person can read it, ms. */
const PERIOD_MS = 100;

/** See above. */
export class Progress {
  readonly #live = Deno.stderr.isTerminal();
  #shownAtMs = -Infinity;

  /** @param done From 0 to 1. */
  show(what: string, done: number): void {
    const now = performance.now();
    if (!this.#live || now - this.#shownAtMs < PERIOD_MS) return;
    this.#shownAtMs = now;
    this.#write(`${CLEAR_LINE}${what}: ${(done * 100).toFixed(1)} %`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shownAtMs > -Infinity) this.#write(CLEAR_LINE);
  }

  #write(text: string): void {
    try {
      Deno.stderr.writeSync(new TextEncoder().encode(text));
    } catch {
      // Nobody can be told.
    }
  }
}
