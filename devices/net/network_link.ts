/** The cable between a network card and its host end: what the I/O worker does of it at each turn. */

import { type Frame, LOST, type NetworkCard, type NetworkEnd } from "../../hv/core/net/network.ts";

/** Frames that one turn takes from the guest, so that others have their turn. */
const FRAMES_A_TURN = 256;

/** See above. */
export class NetworkLink implements Disposable {
  readonly #card: NetworkCard;
  readonly #end: NetworkEnd;
  /** What the host end had no room for. It stays valid until the card is asked for the next. */
  #held: Frame | undefined;

  /** Takes the host end over. */
  constructor(card: NetworkCard, end: NetworkEnd) {
    this.#card = card;
    this.#end = end;
  }

  /**
   * Moves what there is to move, both ways.
   *
   * @param nowNs Monotonic time of the host.
   * @returns When it wants its next turn at the latest; 0: at once.
   */
  serve(nowNs: number): number {
    const hasMore = this.#sendFrames();
    this.#card.endFetching();
    const next = this.#end.serve(this.#card, nowNs);
    // The end may have made room just now, and then nothing else would say so.
    const goesOn = this.#held !== undefined && this.#end.send(this.#held);
    if (goesOn) this.#held = undefined;
    return hasMore || goesOn ? 0 : next;
  }

  [Symbol.dispose](): void {
    this.#end[Symbol.dispose]();
  }

  #sendFrames(): boolean {
    for (let count = 0; count < FRAMES_A_TURN; count++) {
      const frame = this.#held ?? this.#card.fetch();
      if (frame === undefined) return false;
      if (frame === LOST) continue;
      this.#held = this.#end.send(frame) ? undefined : frame;
      if (this.#held !== undefined) return false;
    }
    return true;
  }
}
