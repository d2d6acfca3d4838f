/**
 * The I/O thread: it fires the devices' timers and does the work of disks and networks, and sleeps in
 * between until its doorbell rings, a descriptor is ready or the next timer is due.
 */

import { EndKind, Request, WorkerPhase } from "../core/control.ts";
import {
  attachMachine,
  loadParts,
  type MachineSeed,
  type ThreadParts,
} from "../threads/machine_thread.ts";
import { attachDisk } from "../../devices/disk/disk_handle.ts";
import type { DiskImage } from "../../devices/disk/disk_image.ts";
import type { linkNetworks } from "../../devices/net/link_networks.ts";
import { BlockPorts } from "./block_ports.ts";
import { DiskWriteback } from "./disk_writeback.ts";
import { DiskWarnings } from "./disk_warnings.ts";
import { HotParts } from "./hot_parts.ts";
import { type IoService, serveAll } from "./io_service.ts";
import { NetworkLinks } from "./network_links.ts";
import { returnPages } from "./return_pages.ts";
import type { IoHandles } from "./io_parts.ts";
import type { ShareSessions } from "./share_sessions.ts";
import type * as ServeShares from "./serve_shares.ts";
import type { serveVsock } from "./serve_vsock.ts";
import { ignoreFileSizeSignal } from "../sys/thread.ts";
import { DescriptorSet } from "../sys/wait/descriptor_set.ts";
import type { VirtioDisks } from "./virtio_disks.ts";

/** What main posts to start the thread. */
export interface IoWorkerStart {
  readonly seed: MachineSeed;
  readonly handles: IoHandles;
}

declare const self: {
  onmessage: ((event: MessageEvent<IoWorkerStart>) => void) | null;
  postMessage(message: IoWarning | IoLeft): void;
  close(): void;
};

/** What the thread posts: a line for the user. */
export interface IoWarning {
  readonly warning: string;
}

/** What the thread, which was asked to hand over, leaves for the next. */
export interface IoLeft {
  readonly shareSessions: ShareSessions;
}

const warn = (warning: string) => self.postMessage({ warning });

/** What is loaded only for a machine that needs it. */
interface LateParts {
  readonly Disks: typeof VirtioDisks | undefined;
  readonly linkNetworks: typeof linkNetworks | undefined;
  readonly serveShares: typeof ServeShares | undefined;
  readonly serveVsock: typeof serveVsock | undefined;
}

async function run(
  { seed, handles }: IoWorkerStart,
  parts: ThreadParts,
  { Disks, linkNetworks, serveShares, serveVsock }: LateParts,
): Promise<void> {
  const { media, networks, vsock, shares, shareSessions } = handles;
  ignoreFileSizeSignal();
  using thread = attachMachine(seed, parts);
  const { control, pc, memory } = thread;
  using descriptors = new DescriptorSet();
  descriptors.addDoorbell(seed.doorbell);
  const images = media.map((handle) => handle && attachDisk(handle));
  const warnings = new DiskWarnings(warn, () => performance.now());
  const onError = media.map((handle) => (error: Error) =>
    warnings.failed(handle?.path ?? "a drive", error)
  );

  const ports = new BlockPorts();
  for (const { ports: own, medium, limit } of pc.drives) {
    const service = { image: images[medium], memory, onError: onError[medium], limit };
    for (const { port, lock } of own) ports.add(port, { ...service, lock });
  }
  using ends = new DisposableStack();
  const writeback = new DiskWriteback(flush, () => performance.now());
  let disks = Disks && ends.use(new Disks(memory, descriptors));
  for (const { blk, medium } of pc.virtio?.disks ?? []) {
    const [handle, image] = [media[medium], images[medium]];
    if (!handle || !image || !disks) continue;
    writeback.add(image, handle.path, disks.add(blk, handle, image, onError[medium]));
  }
  for (const [i, image] of images.entries()) {
    if (image && !writeback.has(image)) writeback.add(image, media[i]?.path ?? "");
  }
  const { balloon } = pc.virtio ?? {};
  if (balloon) balloon.discard = (at, length) => returnPages(memory, at, length);
  const links = new NetworkLinks();
  for (const link of linkNetworks?.(pc.networks, networks, { descriptors, warn }) ?? []) {
    links.add(link);
  }
  const openFiles = serveShares?.openFilesOf(shares.length) ?? 0;
  const served = (pc.virtio?.shares ?? []).map((share, i) => {
    const session = shareSessions.board[i];
    return serveShares &&
      ends.use(new serveShares.ServedShare(share, shares[i], { openFiles, session }));
  });
  const ownVsock = pc.virtio?.vsock;
  if (vsock && ownVsock && serveVsock) ends.use(serveVsock(vsock, ownVsock, descriptors));
  const hotParts = new HotParts({
    hotplug: pc.hotplug,
    memory,
    loadDisks: async () => {
      const { VirtioDisks } = await import("./virtio_disks.ts");
      return disks ??= ends.use(new VirtioDisks(memory, descriptors));
    },
    ports,
    links,
    descriptors,
    shareSessions: shareSessions.slots,
    warn,
    failed: (path, error) => warnings.failed(path, error),
    writeback,
  });

  const services: readonly IoService[] = [
    ports,
    { serve: () => pc.virtio?.serve() === true ? 0 : Infinity },
    // There may be none yet.
    { serve: () => disks?.serve() ?? Infinity, rest: () => disks?.rest() },
    links,
    writeback,
  ];
  const rest = () => {
    for (const service of services) service.rest?.();
  };
  const park = async () => {
    rest();
    control.parkIo();
    await hotParts.follow();
  };
  await hotParts.follow();
  await park();
  for (;;) {
    const requested = control.ioRequested;
    control.ioWakes();
    const more = serveAll(services) <= 0;
    const next = pc.timers.run();
    if (requested === Request.stop || requested === Request.handOver) break;
    if (requested === Request.park) {
      await park();
      continue;
    }
    if (more) continue;
    control.ioSleeps(next);
    // What came before the line above did not ring: look once more.
    const againNs = serveAll(services);
    const due = pc.timers.run();
    if (againNs <= 0 || control.ioRequested !== requested) continue;
    const now = thread.clock.nowNs();
    descriptors.wait(Math.max(0, Math.min(due - now, next - now, againNs)));
  }
  disks?.rest();
  if (control.ioRequested === Request.handOver) {
    const board = served.map((share) => share?.save());
    self.postMessage({ shareSessions: { board, slots: hotParts.saveSessions() } });
  }
  hotParts.close();
  links[Symbol.dispose]();
  // Main closes the images and the networks: it has opened them.
  writeback.close();
  // Once it has ended, main closes what these have been using.
  ends.dispose();
  control.setIoPhase(WorkerPhase.ended);
}

/** What cannot be brought onto the medium is the user's to know; the other images are still flushed. */
function flush(image: DiskImage, path: string): void {
  try {
    image.flush();
  } catch (error) {
    warn(`${path}: ${(error as Error).message}; what the guest wrote last may be lost`);
  }
}

async function loadLateParts({ seed: { config }, handles }: IoWorkerStart): Promise<LateParts> {
  const hasDisks = config.drives.some((drive) => drive.interface === "virtio");
  return {
    Disks: hasDisks ? (await import("./virtio_disks.ts")).VirtioDisks : undefined,
    linkNetworks: config.networks.length > 0
      ? (await import("../../devices/net/link_networks.ts")).linkNetworks
      : undefined,
    serveShares: handles.shares.length > 0 ? await import("./serve_shares.ts") : undefined,
    serveVsock: handles.vsock && (await import("./serve_vsock.ts")).serveVsock,
  };
}

self.onmessage = async ({ data }) => {
  const parts = await loadParts(data.seed.config);
  try {
    await run(data, parts, await loadLateParts(data));
  } catch (error) {
    const { control } = attachMachine(data.seed, parts);
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    control.end(EndKind.workerError, 0, `the I/O thread: ${what}`);
    control.setIoPhase(WorkerPhase.ended);
  }
  self.close();
};
