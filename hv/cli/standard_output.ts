/** The standard output: a terminal is written to at once, anything else at its reader's pace. */

import { fileProblem } from "../core/file_problem.ts";
import { type HeldGuest, QueuedOutput } from "./queued_output.ts";
import { say } from "./say.ts";

/** See above. */
export class StandardOutput {
  readonly #isTerminal = Deno.stdout.isTerminal();
  readonly #queued: QueuedOutput;
  #isGone = false;

  constructor(guest: HeldGuest) {
    this.#queued = new QueuedOutput(guest, Deno.stdout, tell);
  }

  /** Writes all of it, in order; an output that is gone or full does not end the machine. */
  write(bytes: Uint8Array): void {
    if (this.#isTerminal) this.#writeNow(bytes);
    else this.#queued.write(bytes);
  }

  /** Resolves when everything has been written. */
  flush(): Promise<void> {
    return this.#queued.flush();
  }

  #writeNow(bytes: Uint8Array): void {
    if (this.#isGone) return;
    try {
      for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
    } catch (error) {
      this.#isGone = true;
      tell(error);
    }
  }
}

/** Whoever has read enough and closed it needs no word. */
function tell(error: unknown): void {
  if (error instanceof Deno.errors.BrokenPipe) return;
  say(`hv: writing to the standard output has failed: ${fileProblem(error)}`);
}
