/** The host's end of a device that is put into a running machine: opened here, before the guest stands. */

import { closeDiskHandle } from "../../devices/disk/disk_handle.ts";
import { closeShare, openShare } from "../../devices/share/open_share.ts";
import { checkDrive, type DriveOptions } from "../options/drive_options.ts";
import { UsageError } from "../errors.ts";
import { describeDrive, openMedium } from "../io/media.ts";
import {
  cardOf,
  networkName,
  type NetworkOptions,
  type PortForward,
  resolveNetwork,
} from "../options/network_options.ts";
import { Networks } from "../io/networks.ts";
import type { HotDevice } from "../pc/hotplug.ts";
import { resolveShares, type ShareOptions } from "../options/share_options.ts";
import { listenForVsock } from "../io/vsock_listener.ts";
import { resolveVsock, type VsockOptions } from "../options/vsock_options.ts";

/** What to put into a running machine. */
export type AttachOptions =
  | {
    /** A disk image; the guest sees a virtio disk. */
    readonly disk: string | Omit<DriveOptions, "interface">;
  }
  | {
    /** A network card and what it is connected to. */
    readonly network: NetworkOptions;
  }
  | {
    /** A virtio entropy device. */
    readonly rng: true;
  }
  | {
    /** A directory of the host that the guest can mount; no other share has its tag. */
    readonly share: ShareOptions;
  }
  | {
    /** Connections between programs of both sides; a machine has one of these. */
    readonly vsock: string | VsockOptions;
  };

/** A device and its end of the host, which is open. */
export interface HostEnd extends Disposable {
  /** What the user calls it. */
  readonly name: string;
  readonly forwards: readonly PortForward[];
  /** As the board knows it, in this slot. */
  readonly device: (slot: number) => HotDevice;
  readonly backEnd: unknown;
}

/**
 * Opens what `options` names.
 *
 * @throws {UsageError | DiskError | ShareError | HostError} When it cannot be.
 */
export function openEnd(options: AttachOptions): HostEnd {
  if ("disk" in options) return openDisk(options.disk);
  if ("network" in options) return openNetwork(options.network);
  if ("rng" in options && options.rng === true) return RNG;
  if ("share" in options) return openShared(options.share);
  if ("vsock" in options && options.vsock !== undefined) return openVsock(options.vsock);
  throw new UsageError(
    `Cannot attach ${Deno.inspect(options)}: { disk: "PATH" }, { network: {…} }, { rng: true }, ` +
      '{ share: {…} } or { vsock: "PATH" } is possible',
  );
}

/** @throws {DiskError} */
function openDisk(disk: string | Omit<DriveOptions, "interface">): HostEnd {
  const checked = checkDrive(typeof disk === "string" ? { path: disk } : disk);
  const drive = { ...checked, kind: "disk", interface: "virtio", unit: 0 } as const;
  const handle = openMedium(drive);
  try {
    const config = describeDrive(drive, handle);
    return {
      name: drive.path,
      forwards: [],
      device: (slot) => ({ kind: "disk", drive: { ...config, unit: slot } }),
      backEnd: handle,
      [Symbol.dispose]: () => closeDiskHandle(handle),
    };
  } catch (error) {
    closeDiskHandle(handle);
    throw error;
  }
}

/** @throws {HostError} */
function openNetwork(options: NetworkOptions): HostEnd {
  const network = resolveNetwork(options);
  const { end } = network;
  const networks = new Networks([network]);
  return {
    name: `the network ${networkName(end)}`,
    forwards: networks.forwards,
    device: () => ({ kind: "network", card: cardOf(network) }),
    backEnd: networks.handles[0],
    [Symbol.dispose]: () => networks[Symbol.dispose](),
  };
}

const RNG: HostEnd = {
  name: "an entropy device",
  forwards: [],
  device: () => ({ kind: "rng" }),
  backEnd: undefined,
  [Symbol.dispose]() {},
};

/** @throws {ShareError | UsageError} */
function openShared(options: ShareOptions): HostEnd {
  const [share] = resolveShares(options);
  const handle = openShare(share);
  return {
    name: `the directory ${share.path}`,
    forwards: [],
    device: () => ({ kind: "share", tag: share.tag }),
    backEnd: handle,
    [Symbol.dispose]: () => closeShare(handle),
  };
}

/** @throws {HostError | UsageError} */
function openVsock(options: string | VsockOptions): HostEnd {
  const vsock = resolveVsock(options)!;
  const listener = listenForVsock(vsock);
  const { path, fd } = listener;
  return {
    name: `the vsock ${path}`,
    forwards: [],
    device: () => ({ kind: "vsock", cid: vsock.cid }),
    backEnd: { path, fd },
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  };
}
