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
import type { PcBuilder } from "./builder.ts";
import { PcDoorbells } from "./doorbells.ts";
import type { PcPci } from "./pci.ts";
import type { PcStorage } from "./storage.ts";

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
  readonly #builder: PcBuilder;
  readonly #pci: PcPci;
  readonly #doorbells: PcDoorbells;
  readonly #cores: VirtioCore[] = [];

  constructor(builder: PcBuilder, pci: PcPci, storage: PcStorage) {
    this.#builder = builder;
    this.#pci = pci;
    this.#doorbells = new PcDoorbells(builder);
    this.disks = this.#addDisks(storage);
    if (builder.config.rng) {
      this.add("virtio rng", new VirtioRng((bytes) => crypto.getRandomValues(bytes)));
    }
    this.shares = (builder.config.shares ?? []).map(({ tag }, i) => {
      const share = new Virtio9p(tag);
      this.add(`share${i}`, share);
      return share;
    });
  }

  /** Puts a device into the next slot. Every thread adds the same ones in the same order. */
  add(name: string, device: VirtioDevice): VirtioCore {
    const b = this.#builder;
    const queues = device.queueSizes.length;
    const core = new VirtioCore({
      state: b.state(virtioState(queues), name),
      lock: b.lock(name),
      memory: b.memory,
      device,
      ring: () => b.control.ringIo(),
      packed: b.config.virtioPacked,
    });
    const { slot, pin } = this.#pci.freeSlot();
    const transport = b.device(
      new VirtioPci({
        core,
        state: b.state(virtioPciState(queues), `${name} transport`),
        pciState: b.state(PciFunctionState, `${name} function`),
        msixState: b.state(msixState(queues + 1), `${name} msi-x`),
        pin,
        sendMsi: (address, data) => b.sendMsi(address, data),
        onNotifyMoved: this.#doorbells.add(name),
      }),
    );
    this.#pci.bus.attach(slot, 0, transport.pci);
    this.#cores.push(core);
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

  #addDisks(storage: PcStorage): PcVirtioDisk[] {
    const { config } = this.#builder;
    return config.drives.flatMap((drive, medium) => {
      const { sizeBytes, unit, readOnly, geometry, serial, rates } = drive;
      if (drive.interface !== "virtio" || sizeBytes === undefined) return [];
      const name = `virtio disk${unit}`;
      const limit = this.#builder.rateLimit(name, rates);
      const state = this.#builder.state(VirtioBlkState, `${name} device`);
      const blk = new VirtioBlk(state, {
        sizeBytes,
        readOnly,
        geometry: geometry ?? diskGeometry(sizeBytes),
        serial: serial ?? `HVV${String(unit).padStart(5, "0")}`,
        queues: Math.min(config.cpus, MAX_DISK_QUEUES),
      }, limit);
      const core = this.add(name, blk);
      if (limit !== undefined) limit.timer.onExpire = () => core.revisitAll();
      storage.addFirmwareDrive(name, medium, limit);
      return [{ blk, medium }];
    });
  }
}
