/** The I/O worker's part of virtio disks: their engines, and the transfers that these have under way. */

import { AsyncEngine } from "../devices/disk/async_engine.ts";
import type { DiskImage } from "../devices/disk/disk_image.ts";
import { openTransfers } from "../devices/disk/open_transfers.ts";
import type { Transfers } from "../devices/disk/transfers.ts";
import type { MachineThread } from "./machine_thread.ts";
import type { PcVirtioDisk } from "./pc/virtio.ts";
import type { DescriptorSet } from "./sys/mod.ts";

/** See above. */
export class VirtioDisks implements Disposable {
  readonly #disks: readonly PcVirtioDisk[];
  readonly #transfers: Transfers;

  /**
   * @param images By the number of the medium.
   * @param onError By the number of the medium: told of what the host failed with.
   * @param descriptors What the thread waits for.
   */
  constructor(
    { pc, memory }: MachineThread,
    images: readonly (DiskImage | undefined)[],
    onError: readonly ((error: Error) => void)[],
    descriptors: DescriptorSet,
  ) {
    this.#disks = pc.virtio?.disks ?? [];
    const { transfers } = openTransfers();
    this.#transfers = transfers;
    for (const { blk, medium } of this.#disks) {
      const image = images[medium];
      if (image) blk.engine = new AsyncEngine(image, memory, transfers, onError[medium]);
    }
    descriptors.add(transfers.engine.fd, () => {}).await({ readable: true });
  }

  /** Begins what the disks have been asked for since, and gives back what has ended. */
  serve(): void {
    const transfers = this.#transfers;
    if (!transfers.busy) return;
    transfers.submit();
    if (transfers.serve() > 0) this.#signal();
  }

  /** Returns when nothing is under way. */
  drain(): void {
    this.#transfers.drain();
    this.#signal();
  }

  [Symbol.dispose](): void {
    this.drain();
    this.#transfers[Symbol.dispose]();
  }

  #signal(): void {
    for (const { blk } of this.#disks) blk.signal();
  }
}
