/** The I/O worker's part of devices that come and go: it opens and closes what they have of the host. */

import { attachDisk, type DiskHandle } from "../devices/disk/disk_handle.ts";
import { serveBlockPort, type Service } from "../devices/disk/serve_block_port.ts";
import type { NetworkHandle } from "../devices/net/network_handle.ts";
import type { NetworkLink } from "../devices/net/network_link.ts";
import type { BlockPort } from "./core/block.ts";
import type { GuestMemory } from "./core/guest_memory.ts";
import type { DiskWriteback } from "./disk_writeback.ts";
import type { PcHotplug, PluggedDevice } from "./pc/hotplug.ts";
import type { DescriptorSet } from "./sys/mod.ts";
import type { VirtioDisks } from "./virtio_disks.ts";

/** What the worker has for its parts. */
export interface HotPartsContext {
  readonly hotplug: PcHotplug;
  readonly memory: GuestMemory;
  /** Where disks are served, having loaded what that takes. */
  readonly loadDisks: () => Promise<VirtioDisks>;
  /** The networks that are served. */
  readonly links: NetworkLink[];
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
  /** What firmware asks of disks, and what answers. */
  readonly #ports = new Map<BlockPort, Service>();
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

  /** Carries out what the firmware has asked of disks. */
  serve(): void {
    for (const [port, service] of this.#ports) serveBlockPort(port, service);
  }

  /** Closes everything, at the end. */
  close(): void {
    for (const close of this.#open.values()) close();
  }

  async #openEnd(device: PluggedDevice): Promise<() => void> {
    const { memory, loadDisks, links, descriptors, warn, failed, writeback } = this.#context;
    switch (device.kind) {
      case "disk": {
        const handle = device.backEnd as DiskHandle;
        const { path } = handle;
        const disks = await loadDisks();
        const image = attachDisk(handle);
        writeback.add(image, path);
        const onError = (error: Error) => failed(path, error);
        disks.add(device.blk, handle, image, onError);
        const { firmwarePort, lock, limit } = device.hotDrive;
        this.#ports.set(firmwarePort, { image, memory, lock, onError, limit });
        return () => {
          this.#ports.delete(firmwarePort);
          disks.remove(device.blk);
          writeback.remove(image);
        };
      }
      case "network": {
        const handle = device.backEnd as NetworkHandle;
        const { linkNetworks } = await import("../devices/net/link_networks.ts");
        const [link] = linkNetworks([device.card], [handle], { descriptors, warn });
        links.push(link);
        return () => {
          links.splice(links.indexOf(link), 1);
          link[Symbol.dispose]();
        };
      }
    }
  }
}
