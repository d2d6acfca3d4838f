/** The board's network cards: each in a PCI slot of its own, its frames moved by the I/O worker. */

import { Dp8390State } from "../../devices/nic/ne2000/dp8390.ts";
import { E1000, E1000State } from "../../devices/nic/e1000/e1000.ts";
import { NE2000_PORTS, Ne2000Isa, Ne2000Pci } from "../../devices/nic/ne2000/ne2000.ts";
import { PciFunctionState } from "../../devices/pci/pci_function.ts";
import { VirtioNet, VirtioNetState } from "../../devices/virtio/net/virtio_net.ts";
import { LimitedCard } from "../core/net/limited_card.ts";
import type { NetworkCard } from "../core/net/network.ts";
import type { IsaPlace, NetworkCardConfig } from "./board_config.ts";
import type { DevicePlace, PcBuilder } from "./builder.ts";
import type { PcPci } from "./pci.ts";
import type { PciSlot } from "./pci_slot.ts";
import type { PcVirtio, VirtioPlace } from "./virtio/virtio.ts";

/** Queue pairs of a virtio card at most. */
const MAX_PAIRS = 8;

/** Where a card goes and what it is to be called. */
interface NetworkPlace<P> {
  readonly place: P;
  readonly name: string;
}

/** Puts a card into a slot; `virtio` has the board's virtio devices, for a card that is one. */
export function addNetwork(
  b: PcBuilder,
  config: NetworkCardConfig,
  { place, name, virtio }: NetworkPlace<PciSlot> & { readonly virtio: PcVirtio | undefined },
): NetworkCard {
  const card = config.model === "virtio" && virtio !== undefined
    ? addVirtioNet(b, config, virtio, { place, name })
    : addPciCard(b, config, { place, name });
  return limited(b, card, config, { place, name });
}

/** Adds the cards that the configuration names, and gives them in its order. */
export function addNetworks(
  b: PcBuilder,
  pci: PcPci,
  virtio: PcVirtio | undefined,
): NetworkCard[] {
  return b.config.networks.map((config, index) => {
    const { model, isa } = config;
    const name = `network${index}`;
    if (model === "virtio" && virtio !== undefined) {
      const place = virtio.nextPlace();
      return limited(b, addVirtioNet(b, config, virtio, { place, name }), config, { place, name });
    }
    if (isa !== undefined) {
      const card = addNe2000Isa(b, config, isa, name);
      return limited(b, card, config, { place: b, name });
    }
    const place = pci.freeSlot();
    return limited(b, addPciCard(b, config, { place, name }), config, { place, name });
  });
}

/** The card with the limits that it is to have. */
function limited(
  b: PcBuilder,
  card: NetworkCard,
  { bytesPerSecond }: NetworkCardConfig,
  { place, name }: NetworkPlace<DevicePlace>,
): NetworkCard {
  const rates = bytesPerSecond === undefined ? undefined : { bytesPerSecond };
  const sending = b.rateLimit(`${name} sending`, rates, place);
  const receiving = b.rateLimit(`${name} receiving`, rates, place);
  if (sending === undefined || receiving === undefined) return card;
  return new LimitedCard(card, sending, receiving, () => b.control.ringIo());
}

function addVirtioNet(
  b: PcBuilder,
  { mac, mtu }: NetworkCardConfig,
  virtio: PcVirtio,
  { place, name }: NetworkPlace<VirtioPlace>,
): NetworkCard {
  const card = new VirtioNet(place.state(VirtioNetState, `${name} device`), {
    mac,
    mtu,
    pairs: Math.min(b.config.cpus, MAX_PAIRS),
  });
  virtio.add(name, card, place);
  return card;
}

function addPciCard(
  b: PcBuilder,
  { model, mac }: NetworkCardConfig,
  at: NetworkPlace<PciSlot>,
): NetworkCard {
  return model === "ne2k_pci" ? addNe2000Pci(b, mac, at) : addE1000(b, mac, at);
}

function addNe2000Isa(
  b: PcBuilder,
  { mac }: NetworkCardConfig,
  { port, irq }: IsaPlace,
  name: string,
): NetworkCard {
  const lock = b.lock(name);
  const state = b.state(Dp8390State, name);
  const card = b.device(
    new Ne2000Isa({ state, lock, mac, ring: () => b.control.ringIo() }, b.irq(irq)),
  );
  const widths = { max: 4 } as const;
  b.ports.claim({ name, base: port, length: NE2000_PORTS, device: card.ports, widths, lock });
  return card;
}

function addNe2000Pci(
  b: PcBuilder,
  mac: Uint8Array,
  { place: slot, name }: NetworkPlace<PciSlot>,
): NetworkCard {
  const lock = slot.lock(name);
  const state = slot.state(Dp8390State, name);
  const card = slot.device(
    new Ne2000Pci(
      { state, lock, mac, ring: () => b.control.ringIo() },
      { state: slot.state(PciFunctionState, `${name} function`), pin: slot.pin },
    ),
  );
  slot.attach(card.pci);
  return card;
}

function addE1000(
  b: PcBuilder,
  mac: Uint8Array,
  { place: slot, name }: NetworkPlace<PciSlot>,
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
