/** A device on the bench with its transport, a guest at its registers, and the watch over it. */

import assert from "node:assert/strict";
import { LEGACY_PAGE as PAGE, legacyRings } from "../../../../devices/virtio/queue/split_ring.ts";
import { VirtioFeature } from "../../../../devices/virtio/virtio_bits.ts";
import { VirtioCore, virtioState } from "../../../../devices/virtio/virtio_core.ts";
import { alignUp } from "../../../../hv/core/align.ts";
import type { Random } from "../../../support/random.ts";
import { PackedDriver } from "../queue/packed_driver.ts";
import { SplitDriver } from "../queue/split_driver.ts";
import { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK } from "../support.ts";
import { attachPci, type AttachTransport } from "./transports/attach_transport.ts";
import type { CheckedLock } from "./checked_memory.ts";
import type { GuestTransport } from "./transports/guest_transport.ts";
import { HostileBench } from "./hostile_bench.ts";
import { HostilePackedRing, type HostileRing, HostileSplitRing } from "./hostile_ring.ts";
import { BUFFERS, RequestMemory } from "./request_memory.ts";
import type { Exchange, MakeSubject, Subject } from "./subjects/subject.ts";
import type { StepWatch } from "./watch.ts";

/** Room for a ring of 16 entries, and for others that a step puts there. */
const RING_BYTES = 0x400;
const SETTLED = ACKNOWLEDGE | DRIVER | FEATURES_OK;

/** What a rig is made of. */
export interface RigOptions {
  readonly make: MakeSubject;
  /** Makes who looks on. */
  readonly makeWatch: (rig: HostileRig) => StepWatch;
  /** Default: on the PCI bus. */
  readonly attach?: AttachTransport;
  /** Of another thread, or a copy; else everything is new. */
  readonly bench?: HostileBench;
}

/** See above. */
export class HostileRig {
  readonly bench: HostileBench;
  readonly subject: Subject;
  readonly core: VirtioCore;
  readonly lock: CheckedLock;
  /** How the guest reaches the device; the legacy interface of a transitional device comes second. */
  readonly guests: readonly GuestTransport[];
  readonly requests: RequestMemory;
  readonly watch: StepWatch;
  /** Where the guest has its queues. */
  rings: HostileRing[] = [];
  /** Which of the guests it is at present. */
  #guest = 0;
  readonly #attach: AttachTransport;
  readonly #make: MakeSubject;
  readonly #makeWatch: (rig: HostileRig) => StepWatch;

  constructor({ make, makeWatch, attach = attachPci, bench }: RigOptions) {
    this.#makeWatch = makeWatch;
    this.#make = make;
    this.#attach = attach;
    const b = this.bench = bench ?? new HostileBench();
    this.subject = make(b);
    const { device } = this.subject;
    const queues = device.queueSizes.length;
    this.lock = b.lock("virtio");
    this.core = new VirtioCore({
      state: b.state(virtioState(queues)),
      lock: this.lock,
      memory: b.memory,
      device,
      ring: () => {},
      packed: true,
    });
    const attached = attach(b, this.core);
    this.watch = makeWatch(this);
    if (bench === undefined) attached.reset();
    this.guests = attached.guests();
    this.requests = new RequestMemory(b.ram);
  }

  /** The same over a copy of all bytes. */
  twin(): HostileRig {
    const twin = new HostileRig({
      make: this.#make,
      makeWatch: this.#makeWatch,
      attach: this.#attach,
      bench: new HostileBench(this.bench.copy()),
    });
    twin.rings = this.rings.map((ring) => ring.copy());
    twin.requests.restart(this.requests);
    twin.#guest = this.#guest;
    return twin;
  }

  /** The guest's way to the registers. */
  get guest(): GuestTransport {
    return this.guests[this.#guest];
  }

  /** The guest takes one of its ways from now on. */
  chooseGuest(random: Random): void {
    this.#guest = random.chance(75) ? 0 : this.guests.length - 1;
    if (this.guest.isLegacy && this.#legacyBytes > BUFFERS) this.#guest = 0;
  }

  /** Is nothing under way of which a copy of the bytes knows nothing? */
  get isQuiet(): boolean {
    const { isQuiet, hostKeepsState } = this.subject;
    return this.watch.inFlight === 0 && isQuiet !== false && hostKeepsState !== true;
  }

  /** The I/O worker's turn. */
  serve(unannounced: boolean): boolean {
    return this.watch.act(() => this.core.serve(unannounced));
  }

  /** Something happens at the host's end. */
  host(random: Random): void {
    this.watch.act(() => this.subject.host?.(random));
  }

  /** The host's end and the queues come to rest. */
  settle(): void {
    for (let turn = 0; turn < 2000; turn++) {
      this.watch.act(() => this.subject.settle?.());
      if (!this.serve(false) && this.subject.isQuiet !== false) return;
    }
    throw new Error("the device does not come to rest");
  }

  /** Brings the device to where a driver has set it up (3.1.1), with `size` entries a queue. */
  initialise(random: Random, size: number): void {
    this.chooseGuest(random);
    const { guest } = this;
    guest.place(random);
    this.reset();
    guest.status = ACKNOWLEDGE;
    guest.status = ACKNOWLEDGE | DRIVER;
    this.someFeatures(random).forEach((word, i) => guest.accept(i, word));
    if (!guest.isLegacy) guest.status = SETTLED;
    const settled = guest.isLegacy ? ACKNOWLEDGE | DRIVER : SETTLED;
    assert.equal(guest.status, settled, "the device takes the features that it offers");
    this.rings = this.core.queues.map(({ index }) => this.placeRing(index, size));
    for (const ring of this.rings) {
      ring.clear(this.bench.ram);
      guest.setQueue(ring.index, ring.place);
      guest.enableQueue(ring.index);
    }
    guest.status = settled | DRIVER_OK;
    assert.equal(guest.status, settled | DRIVER_OK);
  }

  /** A driver's reset, for which it waits (2.4). */
  reset(): void {
    this.guest.status = 0;
    if (this.guest.status !== 0) this.settle();
    assert.equal(this.guest.status, 0, "a reset ends once the host is done");
    assert.equal(this.watch.inFlight, 0, "after a reset the device has no buffers");
    // What a driver frees is the guest's own: nothing is written there any more.
    this.settle();
  }

  /** A ring at a place of its own, with the largest size that the queue has up to `size`. */
  placeRing(index: number, size: number): HostileRing {
    if (this.guest.isLegacy) return this.#placeLegacyRing(index);
    const entries = Math.min(size, this.core.queueMaxSize(index));
    const base = index * RING_BYTES;
    const driverArea = base + entries * 16;
    if (this.core.accepted(VirtioFeature.RING_PACKED)) {
      const deviceArea = driverArea + 4;
      const place = { size: entries, descriptors: base, driverArea, deviceArea };
      return new HostilePackedRing(index, place);
    }
    const deviceArea = (driverArea + 6 + entries * 2 + 3) & ~3;
    return new HostileSplitRing(index, {
      size: entries,
      descriptors: base,
      driverArea,
      deviceArea,
    });
  }

  /** In one piece, with all entries that there are (2.7.2), behind those of the queues before it. */
  #placeLegacyRing(index: number): HostileRing {
    const size = this.core.queueMaxSize(index);
    const { driverArea, deviceArea } = legacyRings(size);
    const before = this.core.queues.slice(0, index);
    // Page 0 is none.
    const base = PAGE + before.reduce((sum, queue) => sum + this.#legacyRingBytes(queue.index), 0);
    return new HostileSplitRing(index, {
      size,
      descriptors: base,
      driverArea: base + driverArea,
      deviceArea: base + deviceArea,
    });
  }

  #legacyRingBytes(index: number): number {
    const size = this.core.queueMaxSize(index);
    return alignUp(legacyRings(size).deviceArea + 6 + size * 8, PAGE);
  }

  get #legacyBytes(): number {
    return this.core.queues.reduce((sum, { index }) => sum + this.#legacyRingBytes(index), PAGE);
  }

  /** Features that may be accepted, some of those that are offered. */
  someFeatures(random: Random): number[] {
    const version = VirtioFeature.VERSION_1;
    return [0, 1].map((word) => {
      if (this.guest.isLegacy) return (this.guest.offered(word) & random.u32()) >>> 0;
      const taken = this.guest.offered(word) & (random.chance(30) ? 0xffff_ffff : random.u32());
      return (word === version >>> 5 ? taken | (1 << (version & 31)) : taken) >>> 0;
    });
  }

  /** Whatever has been done to it: after a proper reset the device works (2.1.2). */
  check(random: Random): void {
    this.initialise(random, random.pick([8, 16]));
    const { memory } = this.bench;
    const alignment = this.guest.isLegacy ? PAGE : 4;
    const drivers = this.rings.map(({ place: { descriptors, size }, form }) =>
      form === "split"
        ? new SplitDriver(memory, descriptors, size, alignment)
        : new PackedDriver(memory, descriptors, size)
    );
    this.requests.restart();
    const { status } = this.guest;
    const exchange: Exchange = (queue, ...buffers) => {
      const driver = drivers[queue];
      const head = driver.add(...buffers);
      this.guest.notify(queue);
      this.settle();
      const used = driver.takeUsed();
      assert.equal(used.length, 1, `queue ${queue} has answered`);
      assert.equal(used[0].id, head);
      return used[0].length;
    };
    // Often enough to come round the ring.
    for (let i = 0; i < 9; i++) this.subject.check(exchange, this.requests);
    assert.equal(this.guest.status, status, "the device is sound");
  }
}
