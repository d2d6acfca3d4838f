/** The cable of a network card, which a user pulls out and puts back while the guest runs. */

import { type NetworkCard, Unplugged } from "../core/net/network.ts";

/**
 * The cable of a network card. The guest's driver is told when it is pulled or put back; what is sent meanwhile is lost, as on a wire. The cable of a
 * card that has left the machine does nothing.
 */
export class NetworkCable {
  readonly #card: () => NetworkCard | undefined;

  /**
   * Made by the machine.
   *
   * @param card Gives the card as long as it is in the machine.
   */
  constructor(card: () => NetworkCard | undefined) {
    this.#card = card;
  }

  /** Pulls it out. */
  unplug(): void {
    this.#card()?.setLink(false, Unplugged.user);
  }

  /** Puts it back. */
  plug(): void {
    this.#card()?.setLink(true, Unplugged.user);
  }
}
