/** The board's network cards: each in a PCI slot of its own, its frames moved by the I/O worker. */

import { E1000, E1000State } from "../../devices/e1000.ts";
import { PciFunctionState } from "../../devices/pci/pci_function.ts";
import type { NetworkCard } from "../core/network.ts";
import type { NetworkCardConfig } from "./board_config.ts";
import type { PcBuilder } from "./builder.ts";
import type { PcPci } from "./pci.ts";
import type { PciSlot } from "./pci_slot.ts";

/** Puts a card into `slot`. */
export function addNetwork(
  b: PcBuilder,
  slot: PciSlot,
  name: string,
  { mac }: NetworkCardConfig,
): NetworkCard {
  const lock = slot.lock(name);
  const card = slot.device(
    new E1000({
      state: slot.state(E1000State, name),
      pciState: slot.state(PciFunctionState, `${name} function`),
      pin: slot.pin,
      memory: b.memory,
      clock: b.clock,
      timer: slot.timer(name, lock),
      lock,
      mac,
      ring: () => b.control.ringIo(),
    }),
  );
  slot.attach(card.pci);
  return card;
}

/** Adds the cards that the configuration names, and gives them in its order. */
export function addNetworks(b: PcBuilder, pci: PcPci): NetworkCard[] {
  return b.config.networks.map((card, index) =>
    addNetwork(b, pci.freeSlot(), `network${index}`, card)
  );
}
