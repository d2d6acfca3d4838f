/** The I/O worker's part of virtio disks: their engines, and the transfers that these have under way. */

import { AsyncEngine } from "../../devices/disk/engine/async_engine.ts";
import type { AioKind } from "../../devices/disk/engine/aio_kind.ts";
import type { DiskHandle } from "../../devices/disk/disk_handle.ts";
import type { DiskImage } from "../../devices/disk/disk_image.ts";
import { openTransfers } from "../../devices/disk/engine/open_transfers.ts";
import type { Transfers } from "../../devices/disk/engine/transfers.ts";
import type { GuestMemory } from "../core/memory/guest_memory.ts";
import type { VirtioBlk } from "../../devices/virtio/blk/virtio_blk.ts";
import type { IoService } from "./io_service.ts";
import type { DescriptorSet } from "../sys/wait/descriptor_set.ts";

/** See above. */
export class VirtioDisks implements IoService, Disposable {
  readonly #disks = new Set<VirtioBlk>();
  readonly #memory: GuestMemory;
  readonly #descriptors: DescriptorSet;
  readonly #transfers = new Map<AioKind, Transfers>();

  /** @param descriptors What the thread waits for. */
  constructor(memory: GuestMemory, descriptors: DescriptorSet) {
    this.#memory = memory;
    this.#descriptors = descriptors;
  }

  /**
   * Serves a disk from now on.
   *
   * @param handle As main has opened it.
   * @param onError Told of what the host failed with.
   * @returns What begins to flush the image.
   */
  add(
    blk: VirtioBlk,
    { aio = "threads" }: DiskHandle,
    image: DiskImage,
    onError: (error: Error) => void,
  ): () => void {
    const transfers = this.#transfersBy(aio);
    const engine = new AsyncEngine(image, this.#memory, transfers, onError);
    blk.engine = engine;
    this.#disks.add(blk);
    return () => {
      // `onError` is told when it fails.
      engine.start({ op: "flush" }, () => {});
      transfers.submit();
    };
  }

  /** Serves it no more; nothing of the guest's is under way. */
  remove(blk: VirtioBlk): void {
    this.rest();
    blk.engine = undefined;
    this.#disks.delete(blk);
  }

  #transfersBy(kind: AioKind): Transfers {
    const known = this.#transfers.get(kind);
    if (known !== undefined) return known;
    const transfers = openTransfers(kind);
    this.#descriptors.add(transfers.engine.fd, () => {}).await({ readable: true });
    this.#transfers.set(kind, transfers);
    return transfers;
  }

  /** Begins what the disks have been asked for since, and gives back what has ended. */
  serve(): number {
    for (const transfers of this.#transfers.values()) {
      if (!transfers.busy) continue;
      transfers.submit();
      transfers.serve();
    }
    // Also of what has ended while a request waited for all others.
    this.#signal();
    return Infinity;
  }

  /** Returns when nothing is under way. */
  rest(): void {
    for (const transfers of this.#transfers.values()) transfers.drain();
    this.#signal();
  }

  [Symbol.dispose](): void {
    this.rest();
    for (const transfers of this.#transfers.values()) transfers[Symbol.dispose]();
  }

  #signal(): void {
    for (const blk of this.#disks) blk.signal();
  }
}
