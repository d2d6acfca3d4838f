/** The I/O worker's part of virtio disks: their engines, and the transfers that these have under way. */

import { AsyncEngine } from "../devices/disk/async_engine.ts";
import type { AioKind } from "../devices/disk/aio_kind.ts";
import type { DiskHandle } from "../devices/disk/disk_handle.ts";
import type { DiskImage } from "../devices/disk/disk_image.ts";
import { openTransfers } from "../devices/disk/open_transfers.ts";
import type { Transfers } from "../devices/disk/transfers.ts";
import type { MachineThread } from "./machine_thread.ts";
import type { PcVirtioDisk } from "./pc/virtio.ts";
import type { DescriptorSet } from "./sys/mod.ts";

/** See above. */
export class VirtioDisks implements Disposable {
  readonly #disks: readonly PcVirtioDisk[];
  readonly #transfers = new Map<AioKind, Transfers>();

  /**
   * @param media By their numbers, as main has opened them.
   * @param images By the number of the medium.
   * @param onError By the number of the medium: told of what the host failed with.
   * @param descriptors What the thread waits for.
   */
  constructor(
    { pc, memory }: MachineThread,
    media: readonly (DiskHandle | undefined)[],
    images: readonly (DiskImage | undefined)[],
    onError: readonly ((error: Error) => void)[],
    descriptors: DescriptorSet,
  ) {
    this.#disks = pc.virtio?.disks ?? [];
    for (const { blk, medium } of this.#disks) {
      const image = images[medium];
      if (image === undefined) continue;
      const transfers = this.#transfersBy(media[medium]?.aio ?? "threads", descriptors);
      blk.engine = new AsyncEngine(image, memory, transfers, onError[medium]);
    }
  }

  #transfersBy(kind: AioKind, descriptors: DescriptorSet): Transfers {
    const known = this.#transfers.get(kind);
    if (known !== undefined) return known;
    const transfers = openTransfers(kind);
    descriptors.add(transfers.engine.fd, () => {}).await({ readable: true });
    this.#transfers.set(kind, transfers);
    return transfers;
  }

  /** Begins what the disks have been asked for since, and gives back what has ended. */
  serve(): void {
    for (const transfers of this.#transfers.values()) {
      if (!transfers.busy) continue;
      transfers.submit();
      if (transfers.serve() > 0) this.#signal();
    }
  }

  /** Returns when nothing is under way. */
  drain(): void {
    for (const transfers of this.#transfers.values()) transfers.drain();
    this.#signal();
  }

  [Symbol.dispose](): void {
    this.drain();
    for (const transfers of this.#transfers.values()) transfers[Symbol.dispose]();
  }

  #signal(): void {
    for (const { blk } of this.#disks) blk.signal();
  }
}
