/**
 * What a virtio device is to its core, and what a transport is. A device knows its queues, its
 * configuration space and its feature bits; never how the guest reaches them.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2 "Basic Facilities of a Virtio Device".
 */

import type { Lock } from "../../hv/core/state/lock.ts";
import type { Virtqueue } from "./queue/virtqueue.ts";

/** Device numbers (5 "Device Types"). */
export const VirtioDeviceId = {
  net: 1,
  block: 2,
  console: 3,
  entropy: 4,
  balloon: 5,
  p9: 9,
  vsock: 19,
} as const;

/**
 * A device. Every thread of the machine has its own object over the same state; what only the I/O
 * worker has, such as the host's end, it is given there.
 */
export interface VirtioDevice {
  /** One of `VirtioDeviceId`. */
  readonly id: number;
  /** Numbers of the device's own feature bits that it offers, 0 to 23 and 50 to 127. */
  readonly features: readonly number[];
  /** The largest size of each queue, powers of two up to 1024. */
  readonly queueSizes: readonly number[];
  /**
   * Does it give buffers back in any order? Then it does not offer VIRTIO_F_IN_ORDER, for which those
   * that are ready would have to wait for those before them.
   */
  readonly anyOrder?: boolean;
  /** The device configuration space, little-endian; a view of state where the device changes it. */
  readonly config: Uint8Array;
  /**
   * The driver has written `size` bytes of the configuration space at `offset`; without it, nothing can
   * be written. Under the device's lock, on any thread.
   */
  writeConfig?(offset: number, size: number, value: number): void;
  /** The driver has settled on features; `accepted` tells of each. Under the device's lock. */
  negotiated?(accepted: (bit: number) => boolean): void;
  /** For a device that asks something of its core; once, when that is made. Writes no state. */
  connect?(core: VirtioDeviceCore): void;
  /** A queue alone has been reset: what the device knows of its buffers is over. Under the lock. */
  resetQueue?(index: number): void;
  /** State of its own to what it is after power-on. Under the device's lock, on any thread. */
  reset(): void;
  /**
   * There may be buffers in `queue`. On the I/O worker, without the lock: take with `queue.pop()` what
   * can be worked on, give it back with `queue.push()`, now or later. What is left in the queue is not
   * asked for again before the driver adds to it: see `VirtioCore.revisit`.
   */
  serve(queue: Virtqueue): void;
}

/** What a device may ask of its core: see there. */
export interface VirtioDeviceCore {
  readonly lock: Lock;
  /** For the I/O worker. */
  readonly queues: readonly Virtqueue[];
  accepted(bit: number): boolean;
  configChanged(): void;
  revisit(index: number): void;
}

/** How interrupts reach the driver. Called under the device's lock, on any thread. */
export interface VirtioTransport {
  /** May the device reach guest memory? On hot paths, with the lock or without. */
  readonly isMaster: boolean;
  /** Queue `index` has used buffers. */
  interruptQueue(index: number): void;
  /** The configuration has changed, or the device needs a reset. */
  interruptConfig(): void;
  /** The device is being reset: interrupts that wait go away with it. */
  deviceReset(): void;
}
