/**
 * Output for a reader that may stop reading: what it has not taken waits here, and the guest is held
 * when that is too much, so that hv stays awake to signals.
 */

/** Bytes that may wait before the guest is held, and below which it goes on. */
const MOST_BYTES = 1 << 17;
const FEW_BYTES = 1 << 14;

/** What is to stop while a reader does. */
export interface Holdable {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/** The guest, for several outputs: it goes on when none holds it any more. */
export class HeldGuest {
  readonly #guest: Holdable;
  #holders = 0;

  constructor(guest: Holdable) {
    this.#guest = guest;
  }

  /** Has it stop, for one more holder. */
  hold(): void {
    if (this.#holders++ === 0) this.#guest.pause().catch(() => {});
  }

  /** One holder fewer. */
  release(): void {
    if (--this.#holders === 0) this.#guest.resume().catch(() => {});
  }
}

/** See above. */
export class QueuedOutput {
  readonly #guest: HeldGuest;
  readonly #out: { write(bytes: Uint8Array): Promise<number> };
  readonly #onError: (error: unknown) => void;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isHeld = false;
  #isGone = false;
  #writing: Promise<void> | undefined;

  /** @param onError Told once of what ends the output; the machine goes on without it. */
  constructor(
    guest: HeldGuest,
    out: { write(bytes: Uint8Array): Promise<number> },
    onError: (error: unknown) => void,
  ) {
    this.#guest = guest;
    this.#out = out;
    this.#onError = onError;
  }

  /** Writes all of it, in order. */
  write(bytes: Uint8Array): void {
    if (this.#isGone || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > MOST_BYTES && !this.#isHeld) {
      this.#isHeld = true;
      this.#guest.hold();
    }
    this.#writing ??= this.#drain();
  }

  /** Resolves when everything has been written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    try {
      for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift()) {
        for (let done = 0; done < bytes.length;) {
          done += await this.#out.write(bytes.subarray(done));
        }
        this.#queuedBytes -= bytes.length;
        if (this.#queuedBytes < FEW_BYTES) this.#release();
      }
    } catch (error) {
      this.#isGone = true;
      this.#queue = [];
      this.#queuedBytes = 0;
      this.#release();
      this.#onError(error);
    }
    this.#writing = undefined;
  }

  #release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#guest.release();
  }
}
