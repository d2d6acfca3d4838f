/** The board's network cards: each in a PCI slot of its own, its frames moved by the I/O worker. */

import { E1000, E1000State } from "../../devices/e1000.ts";
import { PciFunctionState } from "../../devices/pci/pci_function.ts";
import { VirtioNet, VirtioNetState } from "../../devices/virtio/virtio_net.ts";
import { LimitedCard } from "../core/limited_card.ts";
import type { NetworkCard } from "../core/network.ts";
import type { NetworkCardConfig } from "./board_config.ts";
import type { PcBuilder } from "./builder.ts";
import type { PcPci } from "./pci.ts";
import type { PciSlot } from "./pci_slot.ts";
import type { PcVirtio, VirtioPlace } from "./virtio.ts";

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
  const { model, mac } = config;
  const card = model === "virtio" && virtio !== undefined
    ? addVirtioNet(b, config, virtio, { place, name })
    : addE1000(b, mac, { place, name });
  return limited(b, card, config, { place, name });
}

/** Adds the cards that the configuration names, and gives them in its order. */
export function addNetworks(
  b: PcBuilder,
  pci: PcPci,
  virtio: PcVirtio | undefined,
): NetworkCard[] {
  return b.config.networks.map((config, index) => {
    const { model, mac } = config;
    const name = `network${index}`;
    if (model === "virtio" && virtio !== undefined) {
      const place = virtio.nextPlace();
      return limited(b, addVirtioNet(b, config, virtio, { place, name }), config, { place, name });
    }
    const place = pci.freeSlot();
    return limited(b, addE1000(b, mac, { place, name }), config, { place, name });
  });
}

/** The card with the limits that it is to have. */
function limited(
  b: PcBuilder,
  card: NetworkCard,
  { bytesPerSecond }: NetworkCardConfig,
  { place, name }: NetworkPlace<VirtioPlace>,
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
