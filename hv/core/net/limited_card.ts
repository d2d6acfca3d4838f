/** A network card that sends and receives no more than it may: a limit for each way. */

import type { Frame, NetworkCard, Offloads, Unplugged } from "./network.ts";
import type { RateLimit } from "../time/rate_limit.ts";

/** See above; for the I/O worker, whose next turn the limits' timers bring about. */
export class LimitedCard implements NetworkCard {
  readonly #card: NetworkCard;
  readonly #sending: RateLimit;
  readonly #receiving: RateLimit;

  /** @param wake Called when something may be sent or received again. */
  constructor(card: NetworkCard, sending: RateLimit, receiving: RateLimit, wake: () => void) {
    this.#card = card;
    this.#sending = sending;
    this.#receiving = receiving;
    sending.timer.onExpire = receiving.timer.onExpire = wake;
  }

  get offloads(): Offloads {
    return this.#card.offloads;
  }

  fetch(): Frame | undefined {
    if (this.#sending.mustWait()) return undefined;
    const frame = this.#card.fetch();
    if (frame !== undefined) this.#sending.spend(frame.bytes.length);
    return frame;
  }

  endFetching(): void {
    this.#card.endFetching();
  }

  receive(frame: Frame): boolean {
    if (this.#receiving.mustWait() || !this.#card.receive(frame)) return false;
    this.#receiving.spend(frame.bytes.length);
    return true;
  }

  setLink(isUp: boolean, who: Unplugged): void {
    this.#card.setLink(isUp, who);
  }
}
