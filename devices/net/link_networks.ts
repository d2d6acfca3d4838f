/** Connects a machine's network cards with their host ends, on the thread that serves them. */

import type { NetworkCard } from "../../hv/core/net/network.ts";
import { attachNetwork, type EndContext, type NetworkHandle } from "./network_handle.ts";
import { NetworkLink } from "./network_link.ts";

/** @param handles The host end of each card, in the same order. */
export function linkNetworks(
  cards: readonly NetworkCard[],
  handles: readonly NetworkHandle[],
  context: EndContext,
): NetworkLink[] {
  return cards.map((card, i) => new NetworkLink(card, attachNetwork(handles[i], context)));
}
