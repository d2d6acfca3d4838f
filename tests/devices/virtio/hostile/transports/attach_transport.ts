/** A virtio device's transport on the bench, and the ways by which a guest reaches it. */

import assert from "node:assert/strict";
import { msixState } from "../../../../../devices/pci/msix.ts";
import { PciFunctionState } from "../../../../../devices/pci/pci_function.ts";
import type { VirtioCore } from "../../../../../devices/virtio/virtio_core.ts";
import {
  MMIO_BYTES,
  VirtioMmio,
  VirtioMmioState,
} from "../../../../../devices/virtio/transport/mmio.ts";
import { VirtioPci } from "../../../../../devices/virtio/transport/pci.ts";
import { virtioPciState } from "../../../../../devices/virtio/transport/pci_state.ts";
import type { GuestTransport } from "./guest_transport.ts";
import type { HostileBench } from "../hostile_bench.ts";
import { LegacyGuest } from "./legacy_guest.ts";
import { MmioGuest } from "./mmio_guest.ts";
import { PciGuest } from "./pci_guest.ts";

/** What is attached. */
export interface Attached {
  /** Power-on state, the device with it. */
  reset(): void;
  /** After that: the ways of a guest, that of a legacy driver last. */
  guests(): readonly GuestTransport[];
}

/** Attaches a device to the bench. */
export type AttachTransport = (bench: HostileBench, core: VirtioCore) => Attached;

/** The device's on the bus. */
const SLOT = 3;
const MMIO_BASE = 0xfea0_0000;

/** On the PCI bus. */
export const attachPci: AttachTransport = (b, core) => {
  const queues = core.queues.length;
  const transport = new VirtioPci({
    core,
    state: b.state(virtioPciState(queues)),
    pciState: b.state(PciFunctionState),
    msixState: b.state(msixState(queues + 1)),
    pin: { update: (level) => b.pin.set(level()) },
    sendMsi: (address, data) => {
      assert.ok(address % 4 === 0 && address >= 0 && address < 2 ** 64, `message at ${address}`);
      assert.ok(Number.isInteger(data) && data >= 0 && data < 2 ** 32, `message ${data}`);
    },
  });
  b.bus.attach(SLOT, 0, transport.pci);
  return {
    reset() {
      b.bus.reset();
      transport.reset();
    },
    guests() {
      const { bars } = transport.pci;
      const memoryBars = bars.filter(({ kind }) => kind !== "io").map(({ index }) => index);
      const isTransitional = memoryBars.length < bars.length;
      const place = { ports: b.ports, mmio: b.mmio, slot: SLOT, bars: memoryBars };
      return [new PciGuest(place), ...(isTransitional ? [new LegacyGuest(place)] : [])];
    },
  };
};

/** In memory. */
export const attachMmio: AttachTransport = (b, core) => {
  const transport = new VirtioMmio(core, b.state(VirtioMmioState), b.pin);
  const { lock } = core;
  const widths = { max: 4 } as const;
  b.mmio.claim({
    name: "virtio",
    base: MMIO_BASE,
    length: MMIO_BYTES,
    device: transport,
    widths,
    lock,
  });
  return {
    reset: () => transport.reset(),
    guests: () => [new MmioGuest(b.mmio, MMIO_BASE)],
  };
};

/** By name. */
export const TRANSPORTS = { pci: attachPci, mmio: attachMmio } as const;
