/**
 * The I/O thread: it fires the devices' timers and does the disks' work, and sleeps in between until
 * its doorbell rings or the next timer is due.
 */

import { EndKind, Request, WorkerPhase } from "./control.ts";
import { attachMachine, type MachineSeed, type MachineThread } from "./machine_thread.ts";
import { attachDisk, type DiskHandle } from "../devices/disk/disk_handle.ts";
import type { DiskImage } from "../devices/disk/disk_image.ts";
import { serveBlockPort } from "../devices/disk/serve_block_port.ts";
import { EventFd, waitReadable } from "./sys/mod.ts";

/** What main posts to start the thread. */
export interface IoWorkerStart {
  readonly seed: MachineSeed;
  /** The medium of each drive of the board, in the board's order; undefined: none. */
  readonly media: readonly (DiskHandle | undefined)[];
}

declare const self: {
  onmessage: ((event: MessageEvent<IoWorkerStart>) => void) | null;
  close(): void;
};

function serveDisks(
  { pc, memory }: MachineThread,
  images: readonly (DiskImage | undefined)[],
): void {
  for (const { ports, medium } of pc.drives) {
    for (const { port, lock } of ports) {
      serveBlockPort(port, { image: images[medium], memory, lock });
    }
  }
}

function run({ seed, media }: IoWorkerStart): void {
  using thread = attachMachine(seed);
  const { control, pc } = thread;
  const doorbell = new EventFd(seed.doorbell);
  const images = media.map((handle) => handle && attachDisk(handle));
  control.parkIo();
  for (;;) {
    const requested = control.ioRequested;
    control.ioWakes();
    serveDisks(thread, images);
    const next = pc.timers.run();
    if (requested === Request.stop) break;
    if (requested === Request.park) {
      control.parkIo();
      continue;
    }
    control.ioSleeps(next);
    // What came before the line above did not ring: look once more.
    serveDisks(thread, images);
    const due = pc.timers.run();
    if (control.ioRequested !== requested) continue;
    const now = thread.clock.nowNs();
    waitReadable(doorbell.fd, Math.max(0, Math.min(due, next) - now));
    doorbell.take();
  }
  // Main closes the images: it has opened them.
  for (const image of images) image?.flush();
  control.setIoPhase(WorkerPhase.ended);
}

self.onmessage = ({ data }) => {
  try {
    run(data);
  } catch (error) {
    const { control } = attachMachine(data.seed);
    const what = error instanceof Error ? error.stack ?? error.message : String(error);
    control.end(EndKind.workerError, 0, `the I/O thread: ${what}`);
    control.setIoPhase(WorkerPhase.ended);
  }
  self.close();
};
