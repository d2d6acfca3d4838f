/**
 * Virtio entropy device: fills the driver's buffers with random bytes of the host's.
 *
 * A buffer gets at most 4 KiB: the device need not fill it (5.4.6.2), and a guest that asks for
 * gigabytes is not to keep the I/O worker from others.
 *
 * Threats: the length of a buffer; its ranges have been checked.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.4 "Entropy Device".
 */

import { type VirtioDevice, VirtioDeviceId } from "./virtio_device.ts";
import type { Virtqueue } from "./queue/virtqueue.ts";

const QUEUE_SIZE = 8;
/** What one buffer gets at most. */
const MAX_BYTES = 4096;

/** See above. */
export class VirtioRng implements VirtioDevice {
  readonly id = VirtioDeviceId.entropy;
  readonly features: readonly number[] = [];
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  readonly config = new Uint8Array(0);
  readonly #randomize: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly #bytes = new Uint8Array(MAX_BYTES);

  /** @param randomize Fills what it is given, at most 4 KiB, with random bytes. */
  constructor(randomize: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#randomize = randomize;
  }

  reset(): void {}

  serve(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      // At least one byte is promised (5.4.6.2): without room for it there is no answer.
      if (chain.writableBytes === 0) {
        queue.reject(chain);
        continue;
      }
      const bytes = this.#bytes.subarray(0, Math.min(chain.writableBytes, MAX_BYTES));
      this.#randomize(bytes);
      queue.push(chain, chain.write(0, bytes));
    }
    // The guest's secrets do not stay in the host's memory.
    this.#bytes.fill(0);
  }
}
