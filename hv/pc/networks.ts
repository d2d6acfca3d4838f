/** The board's network cards: each in a PCI slot of its own, its frames moved by the I/O worker. */

import { E1000, E1000State } from "../../devices/e1000.ts";
import { PciFunctionState } from "../../devices/pci/pci_function.ts";
import type { NetworkCard } from "../core/network.ts";
import type { PcBuilder } from "./builder.ts";
import type { PcPci } from "./pci.ts";

/** Adds the cards that the configuration names, and gives them in its order. */
export function addNetworks(b: PcBuilder, pci: PcPci): NetworkCard[] {
  return b.config.networks.map(({ mac }, index) => {
    const name = `network${index}`;
    const lock = b.lock(name);
    const { slot, pin } = pci.freeSlot();
    const card = b.device(
      new E1000({
        state: b.state(E1000State, name),
        pciState: b.state(PciFunctionState, `${name} function`),
        pin,
        memory: b.memory,
        clock: b.clock,
        timer: b.timers.create(name, lock),
        lock,
        mac,
        ring: () => b.control.ringIo(),
      }),
    );
    pci.bus.attach(slot, 0, card.pci);
    return card;
  });
}
