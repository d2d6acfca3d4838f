/**
 * The standard output. A terminal is written to at once. A pipe's reader may stop reading: what it has
 * not taken waits here, and the guest is held when that is too much, so that hv stays awake to signals.
 */

import { fileProblem } from "../core/file_problem.ts";
import { say } from "./say.ts";

/** Bytes that may wait before the guest is held, and below which it goes on. */
const MOST_BYTES = 1 << 17;
const FEW_BYTES = 1 << 14;

/** What is to stop while the reader does. */
export interface Holdable {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/** See above. */
export class StandardOutput {
  readonly #guest: Holdable;
  readonly #isTerminal = Deno.stdout.isTerminal();
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isHeld = false;
  #isGone = false;
  #writing: Promise<void> | undefined;

  constructor(guest: Holdable) {
    this.#guest = guest;
  }

  /** Writes all of it, in order; an output that is gone or full does not end the machine. */
  write(bytes: Uint8Array): void {
    if (this.#isGone || bytes.length === 0) return;
    if (this.#isTerminal) return this.#writeNow(bytes);
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > MOST_BYTES && !this.#isHeld) {
      this.#isHeld = true;
      this.#guest.pause().catch(() => {});
    }
    this.#writing ??= this.#drain();
  }

  /** Resolves when everything has been written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  #writeNow(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
    } catch (error) {
      this.#fail(error);
    }
  }

  async #drain(): Promise<void> {
    try {
      for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift()) {
        for (let done = 0; done < bytes.length;) {
          done += await Deno.stdout.write(bytes.subarray(done));
        }
        this.#queuedBytes -= bytes.length;
        if (this.#queuedBytes < FEW_BYTES) this.#release();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#writing = undefined;
  }

  #release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#guest.resume().catch(() => {});
  }

  #fail(error: unknown): void {
    this.#isGone = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#release();
    if (error instanceof Deno.errors.BrokenPipe) return;
    say(`hv: writing to the standard output has failed: ${fileProblem(error)}`);
  }
}
