/** The board's virtio devices: each in a PCI slot of its own, its queues served by the I/O worker. */

import { msixState } from "../../devices/pci/msix.ts";
import { PciFunctionState } from "../../devices/pci/pci_function.ts";
import { Virtio9p } from "../../devices/virtio/virtio_9p.ts";
import { VirtioBlk, VirtioBlkState } from "../../devices/virtio/virtio_blk.ts";
import { VirtioCore, virtioState } from "../../devices/virtio/virtio_core.ts";
import type { VirtioDevice } from "../../devices/virtio/virtio_device.ts";
import { VirtioPci } from "../../devices/virtio/virtio_pci.ts";
import { virtioPciState } from "../../devices/virtio/virtio_pci_state.ts";
import { VirtioRng } from "../../devices/virtio/virtio_rng.ts";
import { diskGeometry } from "../core/disk_geometry.ts";
import type { RateLimit } from "../core/rate_limit.ts";
import type { DriveConfig } from "./board_config.ts";
import type { PcBuilder } from "./builder.ts";
import { PcDoorbells } from "./doorbells.ts";
import type { PcPci } from "./pci.ts";
import type { PciSlot } from "./pci_slot.ts";
import type { PcStorage } from "./storage.ts";
import { addConsoles, type PcConsolePort } from "./virtio_consoles.ts";

/** Queues of a disk at most: more help nobody, and each costs a vector. */
const MAX_DISK_QUEUES = 16;

/** A disk, for the I/O worker, which gives it its engine. */
export interface PcVirtioDisk {
  readonly blk: VirtioBlk;
  /** Index in `BoardConfig.drives`. */
  readonly medium: number;
}

/** See above. */
export class PcVirtio {
  readonly disks: readonly PcVirtioDisk[];
  /** In the order of `BoardConfig.shares`, for the I/O worker, which gives them their servers. */
  readonly shares: readonly Virtio9p[];
  readonly consoles: readonly PcConsolePort[];
  readonly #builder: PcBuilder;
  readonly #pci: PcPci;
  readonly #doorbells: PcDoorbells;
  #cores: readonly VirtioCore[] = [];

  constructor(builder: PcBuilder, pci: PcPci, storage: PcStorage) {
    this.#builder = builder;
    this.#pci = pci;
    this.#doorbells = new PcDoorbells(builder);
    this.disks = this.#addDisks(storage);
    this.consoles = addConsoles(builder, (name, device) => this.add(name, device));
    if (builder.config.rng) {
      this.add("virtio rng", new VirtioRng((bytes) => crypto.getRandomValues(bytes)));
    }
    this.shares = (builder.config.shares ?? []).map(({ tag }, i) => {
      const share = new Virtio9p(tag);
      this.add(`share${i}`, share);
      return share;
    });
  }

  /**
   * Puts a device into `slot`; default: the next one. Every thread adds the same ones in the same
   * order.
   */
  add(name: string, device: VirtioDevice, slot: PciSlot = this.#pci.freeSlot()): VirtioCore {
    const b = this.#builder;
    const queues = device.queueSizes.length;
    const core = new VirtioCore({
      state: slot.state(virtioState(queues), name),
      lock: slot.lock(name),
      memory: b.memory,
      device,
      ring: () => b.control.ringIo(),
      packed: b.config.virtioPacked,
    });
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
    return core;
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

  /** Puts a disk into `slot`; default: the next one. */
  addDisk(
    drive: DriveConfig,
    slot: PciSlot = this.#pci.freeSlot(),
  ): { blk: VirtioBlk; limit: RateLimit | undefined } {
    const { sizeBytes = 0, unit, readOnly, geometry, serial, rates } = drive;
    const name = diskName(drive);
    const limit = this.#builder.rateLimit(name, rates, slot);
    const blk = new VirtioBlk(slot.state(VirtioBlkState, `${name} device`), {
      sizeBytes,
      readOnly,
      geometry: geometry ?? diskGeometry(sizeBytes),
      serial: serial ?? `HVV${String(unit).padStart(5, "0")}`,
      queues: Math.min(this.#builder.config.cpus, MAX_DISK_QUEUES),
    }, limit);
    const core = this.add(name, blk, slot);
    if (limit !== undefined) limit.timer.onExpire = () => core.revisitAll();
    return { blk, limit };
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
