/**
 * What became of booting, and whether somebody is there who could type what else to boot: the firmware's
 * ROM monitor asks, and main says.
 */

import type { Arena } from "./state/arena.ts";
import { bytes, record, u32, words } from "./state/record.ts";

const REASONS_BYTES = 1024;

const BootReportState = record("boot-report", 1, {
  /** 1: nobody is there. */
  unattended: words(1),
  reasonsLength: u32,
  /** UTF-8, with "; " between. */
  reasons: bytes(REASONS_BYTES),
});

/** See above; every thread has its own object over the same words. Only processor 0's writes reasons. */
export class BootReport {
  readonly #state: InstanceType<typeof BootReportState>;

  /** Allocates it. */
  constructor(arena: Arena) {
    this.#state = arena.allocate(BootReportState, "boot-report");
  }

  /** Is somebody there who could type? */
  get attended(): boolean {
    return Atomics.load(this.#state.unattended, 0) === 0;
  }

  set attended(value: boolean) {
    Atomics.store(this.#state.unattended, 0, value ? 0 : 1);
  }

  /** Booting begins anew. */
  clear(): void {
    this.#state.reasonsLength = 0;
  }

  /** Why one thing could not be booted, or did not stay. */
  add(reason: string): void {
    const { reasons, reasonsLength } = this.#state;
    const text = new TextEncoder().encode(reasonsLength === 0 ? reason : `; ${reason}`);
    if (reasonsLength + text.length > REASONS_BYTES) return; // what is there says enough
    reasons.set(text, reasonsLength);
    this.#state.reasonsLength = reasonsLength + text.length;
  }

  /** What was tried, and why each could not be booted; "" before anything was. */
  get reasons(): string {
    const { reasons, reasonsLength } = this.#state;
    return new TextDecoder().decode(reasons.slice(0, reasonsLength));
  }
}
