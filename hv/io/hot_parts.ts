/** The I/O worker's part of devices that come and go: it opens and closes what they have of the host. */

import { attachDisk, type DiskHandle } from "../../devices/disk/disk_handle.ts";
import type { SavedSession } from "../../devices/9p/saved_session.ts";
import type { NetworkHandle } from "../../devices/net/network_handle.ts";
import type { ShareHandle } from "../../devices/share/open_share.ts";
import type { VsockHandle } from "../../devices/vsock/unix_vsock.ts";
import type { BlockPorts } from "./block_ports.ts";
import type { GuestMemory } from "../core/memory/guest_memory.ts";
import type { DiskWriteback } from "./disk_writeback.ts";
import type { NetworkLinks } from "./network_links.ts";
import type { PcHotplug, PluggedDevice } from "../pc/hotplug.ts";
import type { ServedShare } from "./serve_shares.ts";
import type { DescriptorSet } from "../sys/wait/descriptor_set.ts";
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
  /** What the worker before has left of shares, by slot. */
  readonly shareSessions: ReadonlyMap<number, SavedSession>;
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
  /** What the worker before has left, until it is gone on with. */
  readonly #sessions: Map<number, SavedSession>;
  /** Shares that are open, by slot. */
  readonly #shares = new Map<number, ServedShare>();

  constructor(context: HotPartsContext) {
    this.#context = context;
    this.#sessions = new Map(context.shareSessions);
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

  /** What the next worker needs to go on with the shares, by slot. */
  saveSessions(): ReadonlyMap<number, SavedSession> {
    const saved = new Map<number, SavedSession>();
    for (const [slot, share] of this.#shares) {
      const session = share.save();
      if (session !== undefined) saved.set(slot, session);
    }
    return saved;
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
        const { linkNetworks } = await import("../../devices/net/link_networks.ts");
        const [link] = linkNetworks([device.card], [handle], { descriptors, warn });
        links.add(link);
        return () => links.remove(link);
      }
      case "rng":
        return () => {};
      case "share": {
        const { attachedOpenFiles, ServedShare } = await import("./serve_shares.ts");
        const { slot, share } = device;
        const session = this.#sessions.get(slot);
        this.#sessions.delete(slot);
        const options = { openFiles: attachedOpenFiles(), session };
        const served = new ServedShare(share, device.backEnd as ShareHandle, options);
        this.#shares.set(slot, served);
        return () => {
          this.#shares.delete(slot);
          served[Symbol.dispose]();
        };
      }
      case "vsock": {
        const { serveVsock } = await import("./serve_vsock.ts");
        const served = serveVsock(device.backEnd as VsockHandle, device.vsock, descriptors);
        return () => served[Symbol.dispose]();
      }
    }
  }
}
