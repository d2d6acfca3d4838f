/**
 * What all virtio devices have, whatever they are and however they are reached: status, negotiation of
 * features, queues, configuration space, reset.
 *
 * Registers are accessed by transports, on any thread, under the device's lock; queue work is done on
 * the I/O worker (`serve`), which takes the lock for each step of it and never while it waits for the
 * host. A reset waits for the buffers that the device has taken: until they are back the status does
 * not read as 0, and drivers wait for that (2.4.1).
 *
 * Threats: everything that a driver writes. Addresses become memory in GuestMemory alone, a turn of
 * queue work is bounded, and what is malformed ends in DEVICE_NEEDS_RESET until the driver resets.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, chapters 2 and 3.
 */

import type { Device } from "../../hv/core/bus/device.ts";
import type { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { flag, list, record, u32s, u8, words } from "../../hv/core/state/record.ts";
import { VirtqueueFault } from "./queue/descriptor_chain.ts";
import { PackedRing } from "./queue/packed_ring.ts";
import type { Ring } from "./queue/ring.ts";
import { LEGACY_PAGE, legacyRings, SplitRing } from "./queue/split_ring.ts";
import { FEATURE_WORDS, featureWords, VirtioFeature, VirtioStatus } from "./virtio_bits.ts";
import type { VirtioDevice, VirtioTransport } from "./virtio_device.ts";
import { Virtqueue } from "./queue/virtqueue.ts";
import { addressOf, resetVirtqueue, setAddress, VirtqueueState } from "./queue/virtqueue_state.ts";

/** The state of a device with so many queues. */
// deno-lint-ignore explicit-module-boundary-types
export const virtioState = (queues: number) =>
  record("virtio", 1, {
    status: u8,
    /** A reset waits for buffers in flight. */
    resetting: flag,
    /** Changes with the configuration space (2.5.1). */
    configGeneration: u8,
    /** Features that the driver has accepted. */
    driverFeatures: u32s(FEATURE_WORDS),
    /** For each queue, 1 from a notification until it is served. */
    notified: words(queues),
    queues: list(VirtqueueState, queues),
  });
/** A view of what `virtioState` declares. */
export type VirtioState = InstanceType<ReturnType<typeof virtioState>>;

/** Features of rings and transports, which every device offers. */
const COMMON_FEATURES = [
  VirtioFeature.INDIRECT_DESC,
  VirtioFeature.EVENT_IDX,
  VirtioFeature.VERSION_1,
  VirtioFeature.NOTIFICATION_DATA,
  VirtioFeature.RING_RESET,
];

const never = () => false;

/** What a core is built of. */
export interface VirtioCoreOptions {
  /** Of `virtioState(device.queueSizes.length)`. */
  readonly state: VirtioState;
  readonly lock: Lock;
  readonly memory: GuestMemory;
  readonly device: VirtioDevice;
  /** Wakes the I/O worker. */
  readonly ring: () => void;
  /** Offer packed rings to the driver? Default: no. */
  readonly packed?: boolean;
  /** Is the I/O worker wanted elsewhere, so that it takes no more buffers? Default: no. */
  readonly mustYield?: () => boolean;
}

/** See above. */
export class VirtioCore implements Device {
  readonly device: VirtioDevice;
  readonly lock: Lock;
  /** For the I/O worker. */
  readonly queues: readonly Virtqueue[];
  /** What the driver may accept. */
  readonly offered: Uint32Array;
  /** How interrupts reach the driver; the transport sets it. */
  transport: VirtioTransport | undefined;
  readonly #state: VirtioState;
  readonly #rings: readonly { readonly split: Ring; readonly packed: Ring }[];
  readonly #ring: () => void;

  constructor(options: VirtioCoreOptions) {
    const { state, lock, memory, device, ring, packed = false, mustYield = never } = options;
    this.#state = state;
    this.lock = lock;
    this.device = device;
    this.#ring = ring;
    this.offered = featureWords([
      ...device.features,
      ...COMMON_FEATURES,
      ...(packed ? [VirtioFeature.RING_PACKED] : []),
      ...(device.anyOrder === true ? [] : [VirtioFeature.IN_ORDER]),
    ]);
    const isLive = () => this.isLive;
    const isMaster = () => this.transport?.isMaster ?? true;
    const accepted = (bit: number) => this.accepted(bit);
    const owner = {
      lock,
      get isLive() {
        return isLive() && isMaster();
      },
      get inOrder() {
        return accepted(VirtioFeature.IN_ORDER);
      },
      failed: () => this.#failed(),
      interruptQueue: (index: number) => this.transport?.interruptQueue(index),
      isIdle: (index: number) => {
        if (state.resetting && !this.#busy) this.#reset();
        else if (state.queues[index].resetting) this.#resetQueue(index);
      },
      mustYield,
    };
    this.#rings = state.queues.map((queue, index) => {
      const rules = {
        maxSize: device.queueSizes[index],
        get indirect() {
          return accepted(VirtioFeature.INDIRECT_DESC);
        },
        get eventIndex() {
          return accepted(VirtioFeature.EVENT_IDX);
        },
      };
      return {
        split: new SplitRing(queue, memory, rules),
        packed: new PackedRing(queue, memory, rules),
      };
    });
    this.queues = state.queues.map((queue, index) =>
      new Virtqueue(index, queue, owner, () => this.#ringOf(index))
    );
    device.connect?.(this);
  }

  /** Power-on state; nothing runs, and no engine has buffers of the guest's. */
  reset(): void {
    this.lock.with(() => this.#reset());
  }

  #reset(): void {
    const state = this.#state;
    state.status = 0;
    state.resetting = false;
    state.configGeneration = 0;
    state.driverFeatures.fill(0);
    state.notified.fill(0);
    state.queues.forEach((queue, i) => resetVirtqueue(queue, this.device.queueSizes[i]));
    this.device.reset();
    this.transport?.deviceReset();
  }

  #resetQueue(index: number): void {
    resetVirtqueue(this.#state.queues[index], this.device.queueSizes[index]);
    this.#state.notified[index] = 0;
    this.device.resetQueue?.(index);
  }

  #ringOf(index: number): Ring {
    const { split, packed } = this.#rings[index];
    return this.accepted(VirtioFeature.RING_PACKED) ? packed : split;
  }

  get #busy(): boolean {
    return this.#state.queues.some(({ inFlight }) => inFlight > 0);
  }

  // --- for transports, under the lock --------------------------------------------------------

  /** The device status field (2.1). */
  get status(): number {
    return this.#state.status;
  }

  /** The driver writes the device status field; 0 resets (2.1, 2.4). */
  set status(value: number) {
    const state = this.#state;
    if (value === 0) {
      if (this.#busy) state.resetting = true;
      else this.#reset();
      return;
    }
    if (state.resetting) return;
    // Bits are only ever set, and the device's own by the device alone (2.1.1).
    let added = value & ~state.status & 0xff & ~VirtioStatus.DEVICE_NEEDS_RESET;
    if ((added & VirtioStatus.FEATURES_OK) !== 0 && !this.#featuresAreSound) {
      added &= ~VirtioStatus.FEATURES_OK;
    }
    state.status |= added;
    // A legacy driver is ready without having said so (3.1.2).
    const settles = (state.status & VirtioStatus.FEATURES_OK) === 0
      ? VirtioStatus.DRIVER_OK
      : VirtioStatus.FEATURES_OK;
    if ((added & settles) !== 0) {
      this.device.negotiated?.((bit) => this.accepted(bit));
    }
    if ((added & VirtioStatus.DRIVER_OK) !== 0) {
      this.revisitAll();
    }
  }

  /** Features of the device, 32 at a time. */
  deviceFeatures(word: number): number {
    return this.offered[word] ?? 0;
  }

  /** Features that the driver has accepted, 32 at a time. */
  driverFeatures(word: number): number {
    return this.#state.driverFeatures[word] ?? 0;
  }

  /**
   * The driver accepts features, until it has said that these are all (3.1.1). One that has not, and
   * goes on, cannot change the form of its queues while they are in use.
   */
  acceptFeatures(word: number, bits: number): void {
    const settled = VirtioStatus.FEATURES_OK | VirtioStatus.DRIVER_OK;
    if ((this.#state.status & settled) !== 0 || word >= FEATURE_WORDS) return;
    this.#state.driverFeatures[word] = bits;
  }

  get #featuresAreSound(): boolean {
    const { driverFeatures } = this.#state;
    return this.accepted(VirtioFeature.VERSION_1) &&
      driverFeatures.every((word, i) => (word & ~this.offered[i]) === 0);
  }

  /** Changes with the configuration space (2.5.1). */
  get configGeneration(): number {
    return this.#state.configGeneration;
  }

  /** Largest size of a queue; 0: there is no such queue. */
  queueMaxSize(index: number): number {
    return this.device.queueSizes[index] ?? 0;
  }

  /** The state of a queue, for reading. */
  queueState(index: number): VirtqueueState | undefined {
    return this.#state.queues[index];
  }

  /** The driver chooses a queue's size: up to the largest, and a power of two if split (2.7). */
  setQueueSize(index: number, size: number): void {
    const queue = this.#state.queues[index];
    if (queue === undefined || queue.enabled) return;
    const isPower = (size & (size - 1)) === 0;
    if (size > this.queueMaxSize(index) || size === 0) return;
    if (!isPower && !this.accepted(VirtioFeature.RING_PACKED)) return;
    queue.size = size;
  }

  /** The driver says where a part of a queue lies; `half` 0 is the low one. */
  setQueueAddress(
    index: number,
    part: "descriptors" | "driverArea" | "deviceArea",
    half: 0 | 1,
    value: number,
  ): void {
    const queue = this.#state.queues[index];
    if (queue !== undefined && !queue.enabled) queue[part][half] = value;
  }

  /** The driver has set a queue up. */
  enableQueue(index: number): void {
    const queue = this.#state.queues[index];
    if (queue === undefined || queue.enabled || this.#state.resetting) return;
    const ring = this.#ringOf(index);
    if (!ring.isPlaced()) {
      queue.fault = VirtqueueFault.ringAddress;
      this.#failed();
      return;
    }
    ring.start();
    queue.enabled = true;
  }

  /**
   * A legacy driver puts a queue, in one piece and of its largest size, on a page; 0 takes it back
   * (4.1.4.10, 2.7.2).
   */
  placeLegacyQueue(index: number, page: number): void {
    const queue = this.#state.queues[index];
    if (queue === undefined) return;
    if (page === 0) return this.takeQueueBack(index);
    if (queue.enabled) return;
    const base = page * LEGACY_PAGE;
    const { driverArea, deviceArea } = legacyRings(queue.size);
    setAddress(queue.descriptors, base);
    setAddress(queue.driverArea, base + driverArea);
    setAddress(queue.deviceArea, base + deviceArea);
    this.enableQueue(index);
  }

  /** The page of a queue; 0: it is nowhere. */
  legacyQueuePage(index: number): number {
    const queue = this.#state.queues[index];
    if (queue === undefined || !queue.enabled) return 0;
    return Math.floor(addressOf(queue.descriptors) / LEGACY_PAGE) % 2 ** 32;
  }

  /**
   * The driver resets one queue, or uses it no more (2.6.1); it is over when the queue is not enabled
   * any more.
   */
  takeQueueBack(index: number): void {
    const queue = this.#state.queues[index];
    if (queue === undefined || !queue.enabled) return;
    if (queue.inFlight > 0) queue.resetting = true;
    else this.#resetQueue(index);
  }

  /** The driver has made buffers available in a queue. On any thread, the lock may be held or not. */
  notify(index: number): void {
    if (index >= this.queues.length) return;
    Atomics.store(this.#state.notified, index, 1);
    this.#ring();
  }

  /** `size` bytes of the device configuration space; beyond it are zeros. */
  readConfig(offset: number, size: number): number {
    const { config } = this.device;
    let value = 0;
    for (let i = 0; i < size; i++) value += (config[offset + i] ?? 0) * 2 ** (i * 8);
    return value;
  }

  /** The driver writes the device configuration space. */
  writeConfig(offset: number, size: number, value: number): void {
    if (offset + size <= this.device.config.length) this.device.writeConfig?.(offset, size, value);
  }

  // --- for devices ---------------------------------------------------------------------------

  /** Has the driver accepted feature `bit`? */
  accepted(bit: number): boolean {
    return ((this.#state.driverFeatures[bit >>> 5] >>> (bit & 31)) & 1) !== 0;
  }

  /** Is the driver ready and the device sound? */
  get isLive(): boolean {
    const { status, resetting } = this.#state;
    const relevant = VirtioStatus.DRIVER_OK | VirtioStatus.DEVICE_NEEDS_RESET;
    return (status & relevant) === VirtioStatus.DRIVER_OK && !resetting;
  }

  /** The device has changed its configuration space. Under the lock. */
  configChanged(): void {
    this.#state.configGeneration++;
    if (this.isLive) this.transport?.interruptConfig();
  }

  /** Has the device's `serve` called for a queue again, without the driver. On any thread. */
  revisit(index: number): void {
    this.notify(index);
  }

  /** The same for all queues. */
  revisitAll(): void {
    for (const { index } of this.queues) this.notify(index);
  }

  // --- for the I/O worker --------------------------------------------------------------------

  /**
   * Does the queue work that there is, for a bounded time; true when there is more at once.
   *
   * @param unannounced Look into queues without a notification, too: where the doorbell is a
   *   descriptor, it does not say whose it was.
   */
  serve(unannounced: boolean): boolean {
    let more = false;
    const { notified } = this.#state;
    for (const queue of this.queues) {
      const { index } = queue;
      const rung = Atomics.load(notified, index) !== 0 &&
        Atomics.exchange(notified, index, 0) !== 0;
      if (!rung && !(unannounced && queue.hasAvailable)) continue;
      queue.beginTurn();
      this.device.serve(queue);
      queue.signal();
      if (!queue.turnIsOver) continue;
      Atomics.store(notified, index, 1);
      more = true;
    }
    return more;
  }

  #failed(): void {
    const state = this.#state;
    const wasReady = (state.status & VirtioStatus.DRIVER_OK) !== 0;
    state.status |= VirtioStatus.DEVICE_NEEDS_RESET;
    if (wasReady) this.transport?.interruptConfig();
  }
}
