/**
 * Devices that come and go while the machine runs: a few PCI slots, each with a part of the arena of its
 * own and a record that says what is in it. While all threads rest, main changes the record; every
 * thread, when it goes on, brings its own board to what the records say (`follow`). A thread that is
 * started later finds them there.
 *
 * The guest is told by ACPI: see devices/system/acpi_pci_hotplug.ts.
 */

import {
  AcpiPciHotplug,
  AcpiPciHotplugState,
  PCI_HOTPLUG_GPE,
  PCI_HOTPLUG_PORTS,
} from "../../devices/system/acpi_pci_hotplug.ts";
import type { Virtio9p } from "../../devices/virtio/virtio_9p.ts";
import type { VirtioBlk } from "../../devices/virtio/blk/virtio_blk.ts";
import { Event } from "../core/control.ts";
import { fromJson, toJson } from "../core/state/plain_json.ts";
import { bytes, record, u32, words } from "../core/state/record.ts";
import type { NetworkCard } from "../core/net/network.ts";
import type { DriveConfig, NetworkCardConfig } from "./board_config.ts";
import type { PcBuilder } from "./builder.ts";
import { HOTPLUG_SLOTS, PCI_HOTPLUG_PORT } from "./layout.ts";
import type { PcPci } from "./pci.ts";
import type { HotDrive, PcStorage } from "./storage.ts";
import { HotSlot } from "./pci_slot.ts";
import type { PcVirtio, PcVsock } from "./virtio/virtio.ts";

/** Room for what describes a device: names of files are its largest part. */
const DESCRIPTION_BYTES = 16 << 10;
/** Room for a device's state. */
const AREA_BYTES = 256 << 10;
/** Room for why the host's end of a device cannot be opened. */
const FAILURE_BYTES = 512;

/** What is put into a slot. */
export type HotDevice =
  | { readonly kind: "disk"; readonly drive: DriveConfig }
  | { readonly kind: "network"; readonly card: NetworkCardConfig }
  | { readonly kind: "rng" }
  | { readonly kind: "share"; readonly tag: string }
  | { readonly kind: "vsock"; readonly cid: number };

/** A device in a slot, on this thread's board. */
export type PluggedDevice =
  & {
    readonly slot: number;
    /** What the I/O worker opens the host's end by; the board does not look into it. */
    readonly backEnd: unknown;
  }
  & (
    | { readonly kind: "disk"; readonly blk: VirtioBlk; readonly hotDrive: HotDrive }
    | { readonly kind: "network"; readonly card: NetworkCard }
    | { readonly kind: "rng" }
    | { readonly kind: "share"; readonly share: Virtio9p }
    | { readonly kind: "vsock"; readonly vsock: PcVsock }
  );

/** What a slot's record says, as JSON. */
type Description = HotDevice & { readonly backEnd: unknown };

const SlotState = record("hotplug_slot", 1, {
  /** Changes whenever a device is put in or taken out. */
  generation: words(1),
  /** Bytes of the description; 0: the slot is empty. */
  length: u32,
  description: bytes(DESCRIPTION_BYTES),
});
const AreaState = record("hotplug_area", 1, { bytes: bytes(AREA_BYTES) });
const HotplugState = record("hotplug", 1, {
  /** Changes with any slot's. */
  generation: words(1),
  /** The generation up to which the I/O worker has opened and closed the hosts' ends. */
  ioGeneration: words(1),
  /** Slots whose device the guest has let go and main has not taken out yet. */
  ejected: words(1),
  failureLength: u32,
  /** Why the I/O worker could not open the host's end of the newest device. */
  failure: bytes(FAILURE_BYTES),
});

/** A slot as a thread knows it. */
interface Slot {
  readonly number: number;
  readonly state: InstanceType<typeof SlotState>;
  readonly area: Uint8Array;
  /** The generation that this thread's board is at. */
  seen: number;
  /** What is in it on this thread's board. */
  plugged: { readonly part: HotSlot; readonly device: PluggedDevice } | undefined;
}

/** What of the board takes part. */
export interface PcHotplugParts {
  readonly pci: PcPci;
  readonly storage: PcStorage;
  /** Gives the board's virtio devices, having loaded what they need. */
  readonly loadVirtio: () => Promise<PcVirtio>;
}

/** See above. What changes the slots is for main alone, while all threads rest. */
export class PcHotplug {
  readonly #builder: PcBuilder;
  readonly #pci: PcPci;
  readonly #parts: PcHotplugParts;
  readonly #state: InstanceType<typeof HotplugState>;
  readonly #slots: readonly Slot[];
  readonly #registers: AcpiPciHotplug;

  constructor(builder: PcBuilder, parts: PcHotplugParts) {
    const b = this.#builder = builder;
    const { pm, pmLock } = this.#pci = parts.pci;
    this.#parts = parts;
    this.#state = b.state(HotplugState);
    this.#slots = HOTPLUG_SLOTS.map((number): Slot => ({
      number,
      state: b.state(SlotState, `slot${number}`),
      area: b.state(AreaState, `slot${number} area`).bytes,
      seen: 0,
      plugged: undefined,
    }));
    this.#registers = b.device(
      new AcpiPciHotplug(b.state(AcpiPciHotplugState), {
        raiseEvent: () => pm.raiseGpe(PCI_HOTPLUG_GPE),
        onEject: (slots) => this.#ejected(slots),
      }),
    );
    b.ports.claim({
      name: "pci hot-plug",
      base: PCI_HOTPLUG_PORT,
      length: PCI_HOTPLUG_PORTS,
      device: this.#registers.registers,
      widths: { min: 4, max: 4 },
      lock: pmLock,
    });
  }

  // --- for every thread ----------------------------------------------------------------------

  /** Brings this thread's board to what the slots' records say; at its start and after every rest. */
  async follow(): Promise<void> {
    for (const slot of this.#slots) {
      const generation = Atomics.load(slot.state.generation, 0);
      if (generation === slot.seen) continue;
      slot.plugged?.part.remove();
      slot.plugged = undefined;
      slot.plugged = await this.#build(slot);
      slot.seen = generation;
    }
  }

  /** What is in the slots. */
  get devices(): readonly PluggedDevice[] {
    return this.#slots.flatMap(({ plugged }) => plugged === undefined ? [] : [plugged.device]);
  }

  /** Power-on state of the devices in the slots, with the board. */
  reset(): void {
    for (const { plugged } of this.#slots) plugged?.part.reset();
  }

  // --- for the I/O worker --------------------------------------------------------------------

  /** The hosts' ends are what the slots say; `failure`: the newest could not be opened. */
  ioFollowed(failure = ""): void {
    const state = this.#state;
    const text = new TextEncoder().encode(failure).subarray(0, FAILURE_BYTES);
    state.failure.set(text);
    state.failureLength = text.length;
    Atomics.store(state.ioGeneration, 0, Atomics.load(state.generation, 0));
    this.#builder.control.notify(Event.phase);
  }

  // --- for main ------------------------------------------------------------------------------

  /** Has the I/O worker opened and closed what the slots ask for? */
  get ioHasFollowed(): boolean {
    const { generation, ioGeneration } = this.#state;
    return Atomics.load(generation, 0) === Atomics.load(ioGeneration, 0);
  }

  /** Why the I/O worker could not open the newest device's end of the host; empty: it could. */
  get failure(): string {
    const { failure, failureLength } = this.#state;
    return new TextDecoder().decode(failure.slice(0, failureLength));
  }

  /** A slot without a device, or undefined when all have one. */
  get freeSlot(): number | undefined {
    return this.#slots.find(({ state }) => state.length === 0)?.number;
  }

  /** Are there shared directories in slots? */
  get hasShares(): boolean {
    return this.devices.some(({ kind }) => kind === "share");
  }

  /** The network card in the slot, where one is. */
  cardIn(number: number): NetworkCard | undefined {
    const device = this.#slot(number).plugged?.device;
    return device?.kind === "network" ? device.card : undefined;
  }

  /**
   * Puts a device into a slot that has none; the guest is not told yet.
   *
   * @param backEnd What the I/O worker opens the host's end by, as plain data.
   * @throws {RangeError} When its description is too long.
   */
  async insert(number: number, device: HotDevice, backEnd?: unknown): Promise<void> {
    const slot = this.#slot(number);
    const text = new TextEncoder().encode(toJson({ ...device, backEnd }));
    if (text.length > DESCRIPTION_BYTES) {
      throw new RangeError("the names of its files are too long");
    }
    slot.area.fill(0);
    slot.state.description.set(text);
    slot.state.length = text.length;
    await this.#changed(slot);
    slot.plugged?.part.reset();
    if (slot.plugged?.device.kind === "disk") insertMedium(slot.plugged.device.hotDrive);
  }

  /** Takes the device out of a slot. */
  async remove(number: number): Promise<void> {
    const slot = this.#slot(number);
    // Its interrupt line, base addresses and doorbells go with the reset.
    slot.plugged?.part.reset();
    slot.state.length = 0;
    await this.#changed(slot);
    this.#pci.pmLock.with(() => this.#registers.removed(number));
    // What the guest has let go meanwhile must not be taken for the next device here.
    Atomics.and(this.#state.ejected, 0, ~(1 << number));
  }

  /** Tells the guest that there is a device in the slot. */
  announce(number: number): void {
    this.#pci.pmLock.with(() => this.#registers.inserted(number));
  }

  /** Asks the guest to let the device in the slot go. */
  requestEject(number: number): void {
    this.#pci.pmLock.with(() => this.#registers.requestEject(number));
  }

  /** Does not ask for it any more. */
  withdrawEject(number: number): void {
    this.#pci.pmLock.with(() => this.#registers.withdrawEject(number));
  }

  /** Does the guest use ACPI? If not, it hears nothing of devices that come and go. */
  get guestListens(): boolean {
    return this.#pci.pm.acpiMode;
  }

  /** Has the guest let devices go that have not been taken out yet? */
  get hasEjected(): boolean {
    return Atomics.load(this.#state.ejected, 0) !== 0;
  }

  /** The slots whose device the guest has let go, once. */
  takeEjected(): readonly number[] {
    const slots = Atomics.exchange(this.#state.ejected, 0, 0);
    return HOTPLUG_SLOTS.filter((number) => (slots & (1 << number)) !== 0);
  }

  // -------------------------------------------------------------------------------------------

  /** No more happens in the guest before main has taken the devices out. */
  #ejected(slots: number): void {
    const { control } = this.#builder;
    Atomics.or(this.#state.ejected, 0, slots);
    control.notify(Event.ejected);
    control.parkAll();
  }

  #slot(number: number): Slot {
    return this.#slots.find((slot) => slot.number === number)!;
  }

  #changed(slot: Slot): Promise<void> {
    Atomics.add(slot.state.generation, 0, 1);
    Atomics.add(this.#state.generation, 0, 1);
    return this.follow();
  }

  async #build({ number, state, area }: Slot): Promise<Slot["plugged"]> {
    if (state.length === 0) return undefined;
    const text = new TextDecoder().decode(state.description.slice(0, state.length));
    const described = fromJson(text) as Description;
    const part = new HotSlot(this.#pci.slot(number), this.#builder.timers, area);
    return { part, device: await this.#add(part, described, number) };
  }

  async #add(part: HotSlot, described: Description, slot: number): Promise<PluggedDevice> {
    const common = { slot, backEnd: described.backEnd };
    const { loadVirtio } = this.#parts;
    switch (described.kind) {
      case "disk": {
        const { storage } = this.#parts;
        const virtio = await loadVirtio();
        const { blk, limit } = virtio.addDisk(described.drive, part);
        const hotDrive = storage.addHotDrive(part, described.drive, limit);
        return { ...common, kind: "disk", blk, hotDrive };
      }
      case "network": {
        const { addNetwork } = await import("./networks.ts");
        const isVirtio = described.card.model === "virtio";
        const card = addNetwork(this.#builder, described.card, {
          place: part,
          name: `network in slot ${slot}`,
          virtio: isVirtio ? await loadVirtio() : undefined,
        });
        return { ...common, kind: "network", card };
      }
      case "rng":
        (await loadVirtio()).addRng(part);
        return { ...common, kind: "rng" };
      case "share": {
        const share = (await loadVirtio()).addShare("share", described.tag, part);
        return { ...common, kind: "share", share };
      }
      case "vsock":
        return {
          ...common,
          kind: "vsock",
          vsock: (await loadVirtio()).addVsock(described.cid, part),
        };
    }
  }
}

/** Tells the firmware what is in the drive. */
function insertMedium({ config: { sizeBytes = 0, readOnly }, firmwarePort }: HotDrive): void {
  firmwarePort.setMedium({ sizeBytes, readOnly });
  firmwarePort.state.changed = false;
}
