/**
 * Virtio 9P transport: a driver's 9P messages, each answered in the buffer that came with it. Linux's
 * module 9pnet_virtio finds it by its mount tag.
 *
 * A request is a chain of a message that the device reads and room for the reply. Messages are copied
 * before they are looked at, so that nothing changes under the server.
 *
 * Threats: chains of any length (only as much is copied as the largest message has); the messages are
 * the server's affair.
 *
 * References: VIRTIO 1.3, 5.11 (reserves device 9) and, since no version describes it further,
 * <linux/virtio_9p.h>.
 */

import { MAX_MSIZE } from "../9p/message.ts";
import type { DescriptorChain } from "./queue/descriptor_chain.ts";
import { type VirtioDevice, VirtioDeviceId } from "./virtio_device.ts";
import type { Virtqueue } from "./queue/virtqueue.ts";

/** Feature bits. */
export const P9Feature = {
  /** The configuration space has the mount tag. */
  MOUNT_TAG: 0,
} as const;

/** What answers messages: see devices/9p/server.ts. */
export interface MessageServer {
  /** Bytes of the reply to `request` that it has put into `reply`; 0: there can be none. */
  serve(request: Uint8Array, reply: Uint8Array): number;
}

/** Descriptors of a message of Linux's at most. */
const QUEUE_SIZE = 128;

/** See above. */
export class Virtio9p implements VirtioDevice {
  readonly id = VirtioDeviceId.p9;
  readonly features = [P9Feature.MOUNT_TAG];
  readonly queueSizes = [QUEUE_SIZE];
  readonly config: Uint8Array;
  /** What answers; the I/O worker sets it. */
  server: MessageServer | undefined;
  /** One request and one reply: made when they are needed, on the thread that serves. */
  #buffers: { readonly request: Uint8Array; readonly reply: Uint8Array } | undefined;

  /** @param tag ASCII, by which the guest mounts it. */
  constructor(tag: string) {
    // tag_len[2] tag[tag_len], without a zero at the end.
    this.config = Uint8Array.of(tag.length, tag.length >> 8, ...new TextEncoder().encode(tag));
  }

  /** A session ends with the driver's next Tversion. */
  reset(): void {}

  serve(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const length = this.#answer(chain);
      if (length > 0) queue.push(chain, length);
      else queue.reject(chain);
    }
  }

  #answer(chain: DescriptorChain): number {
    this.#buffers ??= { request: new Uint8Array(MAX_MSIZE), reply: new Uint8Array(MAX_MSIZE) };
    const { request, reply } = this.#buffers;
    const length = chain.read(0, request);
    const room = Math.min(chain.writableBytes, MAX_MSIZE);
    const written = this.server?.serve(request.subarray(0, length), reply.subarray(0, room)) ?? 0;
    chain.write(0, reply.subarray(0, written));
    return written;
  }
}
