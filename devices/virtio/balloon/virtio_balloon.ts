/**
 * Virtio memory balloon: the guest gives pages up that the host asks for (inflation) and takes them
 * back (deflation), and reports pages that happen to be free; all of those go back to the host at once.
 * Touched again, a page is there again, full of zeros: the guest need not ask (no MUST_TELL_HOST).
 *
 * The statistics queue holds one buffer, which the device gives back to ask for new ones. It stays in
 * the queue meanwhile, so that a reset waits for nothing.
 *
 * Queues are numbered by the standard as if all of them were there (reporting is 4) and by Linux without
 * those whose feature is not accepted (reporting is 3 or 2). There is no free-page-hint queue here, so
 * that both numbers can be heard.
 *
 * Threats: page numbers and ranges anywhere, any number of them. What is not RAM is passed over, and a
 * buffer's numbers are heeded up to a limit. Which of its pages a guest loses is its own affair.
 *
 * Left out: free page hints (for migration), page poison.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.5 "Traditional Memory Balloon Device".
 */

import { bytes, f64, flag, record, u16, u64s, words } from "../../../hv/core/state/record.ts";
import {
  BALLOON_STATISTICS,
  type BalloonStatistics,
  namedStatistics,
  readStatistics,
  STATISTICS_BYTES,
} from "./statistics.ts";
import type { DescriptorChain } from "../queue/descriptor_chain.ts";
import { type VirtioDevice, type VirtioDeviceCore, VirtioDeviceId } from "../virtio_device.ts";
import type { Virtqueue } from "../queue/virtqueue.ts";

/** Feature bits (5.5.3). */
export const BalloonFeature = { STATS_VQ: 1, DEFLATE_ON_OOM: 2, PAGE_REPORTING: 5 } as const;

/** The device's pages, whatever the guest's are (5.5.6). */
export const BALLOON_PAGE_BYTES = 4096;

const INFLATE = 0;
const DEFLATE = 1;
const STATS = 2;
const QUEUES = 5;
const QUEUE_SIZE = 128;
const NUMBER_BYTES = 4;
/** Page numbers of one buffer that are heeded; Linux has 256, Windows 1024. */
const MAX_NUMBERS = 1024;

/** Offsets in the configuration space (5.5.4). */
const Config = { num_pages: 0, actual: 4, bytes: 8 } as const;

/** See above. */
export const VirtioBalloonState = record("virtio balloon", 1, {
  config: bytes(Config.bytes),
  /** The driver is to be asked for statistics. */
  isAsking: flag,
  /** What the buffer in the statistics queue says has been read. */
  isHeard: flag,
  /** Tags that were among the last statistics, as bits. */
  present: u16,
  /** Counts statistics, for whoever waits for them. */
  heard: words(1),
  statistics: u64s(BALLOON_STATISTICS.length),
  /** Given back to the host since the start; not changed by a reset. */
  returnedBytes: f64,
});
/** A view of `VirtioBalloonState`. */
export type VirtioBalloonState = InstanceType<typeof VirtioBalloonState>;

/** See above. */
export class VirtioBalloon implements VirtioDevice {
  readonly id = VirtioDeviceId.balloon;
  readonly features: readonly number[] = Object.values(BalloonFeature);
  readonly queueSizes: readonly number[] = new Array(QUEUES).fill(QUEUE_SIZE);
  readonly config: Uint8Array;
  /** Gives whole pages back to the host; false: not all of them are RAM. The I/O worker sets it. */
  discard: ((address: number, length: number) => boolean) | undefined;
  readonly #state: VirtioBalloonState;
  readonly #numbers = new Uint32Array(MAX_NUMBERS);
  readonly #entries = new Uint8Array(STATISTICS_BYTES);
  #core!: VirtioDeviceCore;

  constructor(state: VirtioBalloonState) {
    this.#state = state;
    this.config = state.config;
  }

  connect(core: VirtioDeviceCore): void {
    this.#core = core;
  }

  reset(): void {
    // What the host asks for stays.
    this.#view.setUint32(Config.actual, 0, true);
    this.#state.present = 0;
    this.#state.statistics.fill(0n);
    this.resetQueue(STATS);
  }

  resetQueue(index: number): void {
    if (index !== STATS) return;
    this.#state.isAsking = false;
    this.#state.isHeard = false;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset === Config.actual && size === 4) this.#view.setUint32(offset, value, true);
  }

  // --- for the host, on any thread -------------------------------------------------------------

  /** Bytes that the guest is to give up, whole pages; it does as it can. */
  get wantedBytes(): number {
    return this.#view.getUint32(Config.num_pages, true) * BALLOON_PAGE_BYTES;
  }
  set wantedBytes(bytes: number) {
    this.#core.lock.with(() => {
      this.#view.setUint32(Config.num_pages, Math.floor(bytes / BALLOON_PAGE_BYTES), true);
      this.#core.configChanged();
    });
  }

  /** Bytes that it has given up, as its driver says. */
  get actualBytes(): number {
    return this.#view.getUint32(Config.actual, true) * BALLOON_PAGE_BYTES;
  }

  /** Bytes that have gone back to the host since the start, by inflation and by reports. */
  get returnedBytes(): number {
    return this.#state.returnedBytes;
  }

  /** Asks the driver for statistics: `heard` grows when they have come. */
  askForStatistics(): void {
    this.#core.lock.with(() => this.#state.isAsking = true);
    this.#core.revisit(STATS);
  }

  /** How often statistics have come, modulo 2^32. */
  get heard(): number {
    return Atomics.load(this.#state.heard, 0);
  }

  /** The last statistics, as far as the driver has any. */
  get statistics(): BalloonStatistics {
    const state = this.#state;
    return this.#core.lock.with(() => namedStatistics(state.statistics, state.present));
  }

  // --- queue work ------------------------------------------------------------------------------

  serve(queue: Virtqueue): void {
    const { index } = queue;
    if (index === STATS && this.#core.accepted(BalloonFeature.STATS_VQ)) {
      return this.#serveStatistics(queue);
    }
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (index === INFLATE) this.#inflate(chain);
      else if (index !== DEFLATE) this.#reported(chain);
      queue.push(chain, 0);
    }
  }

  /** Page numbers: neighbours go together, for each call costs the host something. */
  #inflate(chain: DescriptorChain): void {
    const bytes = new Uint8Array(this.#numbers.buffer);
    const count = Math.floor(chain.read(0, bytes) / NUMBER_BYTES);
    const numbers = this.#numbers.subarray(0, count).sort();
    for (let first = 0; first < count;) {
      let next = first + 1;
      while (next < count && numbers[next] - numbers[next - 1] <= 1) next++;
      const start = numbers[first] * BALLOON_PAGE_BYTES;
      this.#return(start, (numbers[next - 1] + 1) * BALLOON_PAGE_BYTES - start);
      first = next;
    }
  }

  /** Ranges that are free at the moment, and stay so until the buffer is back (5.5.6.8). */
  #reported(chain: DescriptorChain): void {
    if (!this.#core.accepted(BalloonFeature.PAGE_REPORTING)) return;
    for (const { address, length } of chain.writable) {
      const start = Math.ceil(address / BALLOON_PAGE_BYTES) * BALLOON_PAGE_BYTES;
      const end = Math.floor((address + length) / BALLOON_PAGE_BYTES) * BALLOON_PAGE_BYTES;
      if (end > start) this.#return(start, end - start);
    }
  }

  #return(address: number, length: number): void {
    if (!this.discard?.(address, length)) return;
    this.#core.lock.with(() => this.#state.returnedBytes += length);
  }

  #serveStatistics(queue: Virtqueue): void {
    const state = this.#state;
    if (state.isHeard && !state.isAsking) return;
    const chain = queue.pop();
    if (chain === undefined) return;
    if (!state.isHeard) {
      const entries = this.#entries.subarray(0, chain.read(0, this.#entries));
      this.#core.lock.with(() => {
        state.present = readStatistics(entries, state.statistics);
        state.isHeard = true;
      });
      Atomics.add(state.heard, 0, 1);
      if (!state.isAsking) return queue.putBack(chain);
    }
    this.#core.lock.with(() => {
      state.isAsking = false;
      state.isHeard = false;
    });
    queue.push(chain, 0);
    // To find none is what asks the driver to notify about the next.
    const next = queue.pop();
    if (next === undefined) return;
    queue.putBack(next);
    this.#core.revisit(STATS);
  }

  get #view(): DataView {
    const { buffer, byteOffset, length } = this.config;
    return new DataView(buffer, byteOffset, length);
  }
}
