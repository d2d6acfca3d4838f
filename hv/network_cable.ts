/** The cable of a network card, which a user pulls out and puts back while the guest runs. */

import { type NetworkCard, Unplugged } from "./core/network.ts";

/** See above. The guest's driver is told; what is sent meanwhile is lost, as on a wire. */
export class NetworkCable {
  readonly #card: NetworkCard;

  /** Made by the machine. */
  constructor(card: NetworkCard) {
    this.#card = card;
  }

  /** Pulls it out. */
  unplug(): void {
    this.#card.setLink(false, Unplugged.user);
  }

  /** Puts it back. */
  plug(): void {
    this.#card.setLink(true, Unplugged.user);
  }
}
