/** The I/O worker's part of devices that come and go: it opens and closes what they have of the host. */

import { attachDisk, type DiskHandle } from "../devices/disk/disk_handle.ts";
import type { NetworkHandle } from "../devices/net/network_handle.ts";
import type { BlockPorts } from "./block_ports.ts";
import type { GuestMemory } from "./core/guest_memory.ts";
import type { DiskWriteback } from "./disk_writeback.ts";
import type { NetworkLinks } from "./network_links.ts";
import type { PcHotplug, PluggedDevice } from "./pc/hotplug.ts";
import type { DescriptorSet } from "./sys/mod.ts";
import type { VirtioDisks } from "./virtio_disks.ts";

/** What the worker has for its parts. */
export interface HotPartsContext {
  readonly hotplug: PcHotplug;
  readonly memory: GuestMemory;
  /** Where disks are served, having loaded what that takes. */
  readonly loadDisks: () => Promise<VirtioDisks>;
  /** Where firmware's requests to disks are served. */
  readonly ports: BlockPorts;
  /** Where networks are served. */
  readonly links: NetworkLinks;
  readonly descriptors: DescriptorSet;
  /** A line for the user. */
  readonly warn: (line: string) => void;
  /** Told of what the host failed with while the guest goes on. */
  readonly failed: (path: string, error: Error) => void;
  /** Brings onto the medium what was written. */
  readonly writeback: DiskWriteback;
}

/** See above. */
export class HotParts {
  readonly #context: HotPartsContext;
  /** What closes each device's end of the host. */
  readonly #open = new Map<PluggedDevice, () => void>();

  constructor(context: HotPartsContext) {
    this.#context = context;
  }

  /** Opens and closes what has changed, and says so; at the start and after every rest. */
  async follow(): Promise<void> {
    const { hotplug } = this.#context;
    await hotplug.follow();
    const { devices } = hotplug;
    for (const [device, close] of this.#open) {
      if (devices.includes(device)) continue;
      this.#open.delete(device);
      close();
    }
    let failure = "";
    for (const device of devices) {
      if (this.#open.has(device)) continue;
      try {
        this.#open.set(device, await this.#openEnd(device));
      } catch (error) {
        failure = (error as Error).message;
      }
    }
    hotplug.ioFollowed(failure);
  }

  /** Closes everything, at the end. */
  close(): void {
    for (const close of this.#open.values()) close();
  }

  async #openEnd(device: PluggedDevice): Promise<() => void> {
    const { memory, loadDisks, ports, links, descriptors, warn, failed, writeback } = this.#context;
    switch (device.kind) {
      case "disk": {
        const handle = device.backEnd as DiskHandle;
        const { path } = handle;
        const disks = await loadDisks();
        const image = attachDisk(handle);
        const onError = (error: Error) => failed(path, error);
        writeback.add(image, path, disks.add(device.blk, handle, image, onError));
        const { firmwarePort, lock, limit } = device.hotDrive;
        ports.add(firmwarePort, { image, memory, lock, onError, limit });
        return () => {
          ports.remove(firmwarePort);
          disks.remove(device.blk);
          writeback.remove(image);
        };
      }
      case "network": {
        const handle = device.backEnd as NetworkHandle;
        const { linkNetworks } = await import("../devices/net/link_networks.ts");
        const [link] = linkNetworks([device.card], [handle], { descriptors, warn });
        links.add(link);
        return () => links.remove(link);
      }
    }
  }
}
