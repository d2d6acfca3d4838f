/**
 * The board's virtio devices: each in a PCI slot or a window of memory of its own, its queues served by
 * the I/O worker.
 */

import { msixState } from "../../../devices/pci/msix.ts";
import { PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { Virtio9p } from "../../../devices/virtio/virtio_9p.ts";
import { VirtioBlk, VirtioBlkState } from "../../../devices/virtio/blk/virtio_blk.ts";
import { VirtioCore, virtioState } from "../../../devices/virtio/virtio_core.ts";
import type { VirtioDevice } from "../../../devices/virtio/virtio_device.ts";
import {
  MMIO_BYTES,
  MmioRegister,
  VirtioMmio,
  VirtioMmioState,
} from "../../../devices/virtio/transport/mmio.ts";
import { VirtioPci } from "../../../devices/virtio/transport/pci.ts";
import { virtioPciState } from "../../../devices/virtio/transport/pci_state.ts";
import {
  VirtioBalloon,
  VirtioBalloonState,
} from "../../../devices/virtio/balloon/virtio_balloon.ts";
import { VirtioRng } from "../../../devices/virtio/virtio_rng.ts";
import { VirtioVsock, VirtioVsockState } from "../../../devices/virtio/vsock/virtio_vsock.ts";
import { Request } from "../../core/control.ts";
import { diskGeometry } from "../../core/media/disk_geometry.ts";
import type { RateLimit } from "../../core/time/rate_limit.ts";
import type { DriveConfig } from "../board_config.ts";
import type { PcBuilder } from "../builder.ts";
import { PcDoorbells } from "./doorbells.ts";
import { VIRTIO_MMIO } from "../layout.ts";
import { MmioWindow } from "../mmio_window.ts";
import type { PcPci } from "../pci.ts";
import type { PciSlot } from "../pci_slot.ts";
import type { PcStorage } from "../storage.ts";
import { addConsoles, type PcConsolePort } from "./consoles.ts";

/** Queues of a disk at most: more help nobody, and each costs a vector. */
const MAX_DISK_QUEUES = 16;

/** A disk, for the I/O worker, which gives it its engine. */
export interface PcVirtioDisk {
  readonly blk: VirtioBlk;
  /** Index in `BoardConfig.drives`. */
  readonly medium: number;
}

/** A vsock, for the I/O worker, which connects it with the host. */
export interface PcVsock {
  readonly device: VirtioVsock;
  readonly core: VirtioCore;
}

/** Where a virtio device goes. */
export type VirtioPlace = PciSlot | MmioWindow;

/** See above. */
export class PcVirtio {
  readonly disks: readonly PcVirtioDisk[];
  /** In the order of `BoardConfig.shares`, for the I/O worker, which gives them their servers. */
  readonly shares: readonly Virtio9p[];
  readonly consoles: readonly PcConsolePort[];
  readonly vsock: PcVsock | undefined;
  readonly balloon: VirtioBalloon | undefined;
  readonly #builder: PcBuilder;
  readonly #pci: PcPci;
  readonly #doorbells: PcDoorbells;
  #cores: readonly VirtioCore[] = [];
  #nextWindow = 0;

  constructor(builder: PcBuilder, pci: PcPci, storage: PcStorage) {
    this.#builder = builder;
    this.#pci = pci;
    this.#doorbells = new PcDoorbells(builder);
    this.disks = this.#addDisks(storage);
    this.consoles = addConsoles(builder, (name, device) => this.add(name, device));
    if (builder.config.rng) this.addRng();
    this.balloon = builder.config.balloon
      ? new VirtioBalloon(builder.state(VirtioBalloonState))
      : undefined;
    if (this.balloon) this.add("balloon", this.balloon);
    this.shares = (builder.config.shares ?? []).map(({ tag }, i) =>
      this.addShare(`share${i}`, tag)
    );
    const { vsock } = builder.config;
    this.vsock = vsock && this.addVsock(vsock.cid);
  }

  /**
   * Puts a device into `place`; default: the next slot or window. Every thread adds the same ones in
   * the same order.
   */
  add(name: string, device: VirtioDevice, place: VirtioPlace = this.nextPlace()): VirtioCore {
    const b = this.#builder;
    const core = new VirtioCore({
      state: place.state(virtioState(device.queueSizes.length), name),
      lock: place.lock(name),
      memory: b.memory,
      device,
      ring: () => b.control.ringIo(),
      packed: b.config.virtioPacked,
      mustYield: () => b.control.ioRequested !== Request.run,
    });
    if ("attach" in place) this.#addToPci(name, core, place);
    else this.#addToMemory(name, core, place);
    return core;
  }

  /** The next slot or window. */
  nextPlace(): VirtioPlace {
    const { virtioTransport = "pci" } = this.#builder.config;
    if (virtioTransport === "pci") return this.#pci.freeSlot();
    return new MmioWindow(this.#builder, this.#nextWindow++);
  }

  #addToMemory(name: string, core: VirtioCore, window: MmioWindow): void {
    const b = this.#builder;
    const state = window.state(VirtioMmioState, `${name} transport`);
    const device = window.device(new VirtioMmio(core, state, b.irq(VIRTIO_MMIO.irq)));
    const { base } = window;
    b.mmio.claim({
      name,
      base,
      length: MMIO_BYTES,
      device,
      widths: { max: 4 },
      lock: core.lock,
    });
    this.#doorbells.fix(name, base + MmioRegister.QueueNotify);
    this.#cores = [...this.#cores, core];
  }

  #addToPci(name: string, core: VirtioCore, slot: PciSlot): void {
    const b = this.#builder;
    const queues = core.queues.length;
    const transport = slot.device(
      new VirtioPci({
        core,
        state: slot.state(virtioPciState(queues), `${name} transport`),
        pciState: slot.state(PciFunctionState, `${name} function`),
        msixState: slot.state(msixState(queues + 1), `${name} msi-x`),
        pin: slot.pin,
        sendMsi: (address, data) => b.sendMsi(address, data),
        onNotifyMoved: this.#doorbells.add(name, slot),
        onLegacyNotifyMoved: this.#doorbells.add(name, slot, "port"),
      }),
    );
    slot.attach(transport.pci);
    this.#cores = [...this.#cores, core];
    slot.onRemoval(() => this.#cores = this.#cores.filter((other) => other !== core));
  }

  /** Does the queue work that there is, on the I/O worker; true when there is more at once. */
  serve(): boolean {
    // Where the guest rings without an exit, nobody has noted which queue it was.
    const unannounced = this.#builder.config.accelerator === "kvm";
    let more = false;
    for (const core of this.#cores) more = core.serve(unannounced) || more;
    return more;
  }

  /** Has a virtual machine that is new to the board ring the I/O worker. */
  connect(): void {
    this.#doorbells.attachAll();
  }

  /** Puts a disk into `place`; default: the next slot or window. */
  addDisk(
    drive: DriveConfig,
    place: VirtioPlace = this.nextPlace(),
  ): { blk: VirtioBlk; limit: RateLimit | undefined } {
    const { sizeBytes = 0, unit, readOnly, geometry, serial, rates } = drive;
    const name = diskName(drive);
    const limit = this.#builder.rateLimit(name, rates, place);
    const blk = new VirtioBlk(place.state(VirtioBlkState, `${name} device`), {
      sizeBytes,
      readOnly,
      geometry: geometry ?? diskGeometry(sizeBytes),
      serial: serial ?? `HVV${String(unit).padStart(5, "0")}`,
      queues: Math.min(this.#builder.config.cpus, MAX_DISK_QUEUES),
    }, limit);
    const core = this.add(name, blk, place);
    if (limit !== undefined) limit.timer.onExpire = () => core.revisitAll();
    return { blk, limit };
  }

  /** Puts an entropy device into `place`; default: the next slot or window. */
  addRng(place?: VirtioPlace): void {
    this.add("virtio rng", new VirtioRng((bytes) => crypto.getRandomValues(bytes)), place);
  }

  /** Puts a shared directory into `place`; default: the next slot or window. */
  addShare(name: string, tag: string, place?: VirtioPlace): Virtio9p {
    const share = new Virtio9p(tag);
    this.add(name, share, place);
    return share;
  }

  /** Puts a vsock into `place`; default: the next slot or window. */
  addVsock(cid: number, place: VirtioPlace = this.nextPlace()): PcVsock {
    const device = new VirtioVsock(place.state(VirtioVsockState, "vsock device"), cid);
    return { device, core: this.add("vsock", device, place) };
  }

  #addDisks(storage: PcStorage): PcVirtioDisk[] {
    return this.#builder.config.drives.flatMap((drive, medium) => {
      if (drive.interface !== "virtio" || drive.sizeBytes === undefined) return [];
      const { blk, limit } = this.addDisk(drive);
      storage.addFirmwareDrive(diskName(drive), medium, limit);
      return [{ blk, medium }];
    });
  }
}

const diskName = ({ unit }: DriveConfig): string => `virtio disk${unit}`;
