/**
 * A virtqueue of a driver that means no good, split or packed: plain data, of which a copy goes on
 * alike.
 */

import { VirtqueueState } from "../../../../devices/virtio/queue/virtqueue_state.ts";
import type { Random } from "../../../support/random.ts";
import { describe, type Descriptor, poke, type RingForm } from "./descriptors.ts";
import type { QueuePlace } from "./transports/guest_transport.ts";

type State = InstanceType<typeof VirtqueueState>;

/** See above. */
export interface HostileRing {
  readonly index: number;
  readonly form: RingForm;
  readonly place: QueuePlace;
  copy(): HostileRing;
  /** Clears its parts, as drivers do before they enable it. */
  clear(ram: DataView): void;
  /** Makes a chain available. */
  add(ram: DataView, descriptors: readonly Descriptor[]): void;
  /** Makes available what it must not, takes back what it has given, and so on. */
  disturb(ram: DataView, random: Random): void;
  /**
   * What makes one more chain of a single descriptor, which all entries have had from `add`, available
   * to a device that has got so far: bytes and where they go.
   */
  refill(state: State, descriptor: Descriptor): readonly (readonly [at: number, byte: number])[];
}

/** Overwrites something in one of its parts. */
export function scribble(
  ram: DataView,
  random: Random,
  parts: readonly (readonly [base: number, length: number])[],
): void {
  for (let count = random.below(6); count >= 0; count--) {
    const [base, length] = random.pick(parts);
    const width = random.pick([1, 2, 4]);
    const value = random.chance(50) ? random.below(20) : random.u32();
    poke(ram, base + random.below(length), width, value);
  }
}

function clear(ram: DataView, parts: readonly (readonly [base: number, length: number])[]): void {
  for (const [base, length] of parts) {
    for (let i = 0; i < length; i++) poke(ram, base + i, 1, 0);
  }
}

/** VIRTIO 1.3, 2.7 "Split Virtqueues". */
export class HostileSplitRing implements HostileRing {
  readonly form = "split";
  readonly index: number;
  readonly place: QueuePlace;
  /** The descriptor that is used next. */
  #next = 0;

  constructor(index: number, place: QueuePlace) {
    this.index = index;
    this.place = place;
  }

  copy(): HostileRing {
    const copy = new HostileSplitRing(this.index, this.place);
    copy.#next = this.#next;
    return copy;
  }

  clear(ram: DataView): void {
    clear(ram, this.#parts);
  }

  add(ram: DataView, descriptors: readonly Descriptor[]): void {
    const { size } = this.place;
    const head = this.#next % size;
    descriptors.forEach((descriptor, i) => {
      const index = (head + i) % size;
      // Whatever `next` says of those behind it counts from the head.
      const next = descriptor.next > 0xff ? descriptor.next : (head + descriptor.next) % size;
      describe(ram, this.place.descriptors + index * 16, "split", { ...descriptor, next });
    });
    this.#next = (head + descriptors.length) % size;
    this.#publish(ram, head);
  }

  disturb(ram: DataView, random: Random): void {
    const { size } = this.place;
    const at = this.#available(ram);
    switch (random.below(5)) {
      case 0:
        return this.#publish(ram, random.chance(50) ? random.below(size + 2) : random.u32());
      case 1:
        return this.#setAvailable(ram, at + random.below(size + 2));
      case 2:
        return this.#setAvailable(ram, at - 1 - random.below(size));
      case 3:
        return this.#setAvailable(ram, random.u32());
      default:
        scribble(ram, random, this.#parts);
    }
  }

  refill({ next }: State): readonly (readonly [at: number, byte: number])[] {
    const at = this.place.driverArea + 2;
    const available = next + 1;
    return [[at, available & 0xff], [at + 1, (available >> 8) & 0xff]];
  }

  get #parts() {
    const { descriptors, driverArea, deviceArea, size } = this.place;
    return [[descriptors, size * 16], [driverArea, 6 + size * 2], [
      deviceArea,
      6 + size * 8,
    ]] as const;
  }

  #publish(ram: DataView, head: number): void {
    const { driverArea, size } = this.place;
    const index = this.#available(ram);
    poke(ram, driverArea + 4 + (index % size) * 2, 2, head);
    this.#setAvailable(ram, index + 1);
  }

  #available(ram: DataView): number {
    const at = this.place.driverArea + 2;
    return at >= 0 && at + 2 <= ram.byteLength ? ram.getUint16(at, true) : 0;
  }

  #setAvailable(ram: DataView, index: number): void {
    poke(ram, this.place.driverArea + 2, 2, index);
  }
}

const AVAIL = 1 << 7;
const USED = 1 << 15;

/** VIRTIO 1.3, 2.8 "Packed Virtqueues". */
export class HostilePackedRing implements HostileRing {
  readonly form = "packed";
  readonly index: number;
  readonly place: QueuePlace;
  #next = 0;
  #wrap = true;

  constructor(index: number, place: QueuePlace) {
    this.index = index;
    this.place = place;
  }

  copy(): HostileRing {
    const copy = new HostilePackedRing(this.index, this.place);
    copy.#next = this.#next;
    copy.#wrap = this.#wrap;
    return copy;
  }

  clear(ram: DataView): void {
    clear(ram, this.#parts);
  }

  add(ram: DataView, descriptors: readonly Descriptor[]): void {
    const { size } = this.place;
    for (const descriptor of descriptors) {
      const flags = descriptor.flags ^ (this.#wrap ? AVAIL : USED);
      describe(ram, this.#at(this.#next), "packed", { ...descriptor, flags });
      if (++this.#next < size) continue;
      this.#next = 0;
      this.#wrap = !this.#wrap;
    }
  }

  disturb(ram: DataView, random: Random): void {
    const at = this.#at(random.below(this.place.size)) + 14;
    switch (random.below(4)) {
      case 0:
        return poke(ram, at, 2, random.pick([AVAIL, USED, AVAIL | USED, 0]) | random.below(8));
      case 1:
        // It goes on in the wrong place.
        this.#next = random.below(this.place.size);
        this.#wrap = random.chance(50);
        return;
      case 2:
        return poke(ram, this.place.driverArea + random.below(3), 2, random.u32());
      default:
        scribble(ram, random, this.#parts);
    }
  }

  refill({ next, nextWrap }: State, descriptor: Descriptor) {
    const entry = new DataView(new ArrayBuffer(16));
    const flags = descriptor.flags | (nextWrap ? AVAIL : USED);
    describe(entry, 0, "packed", { ...descriptor, flags });
    return Array.from({ length: 16 }, (_, i) => [this.#at(next) + i, entry.getUint8(i)] as const);
  }

  get #parts() {
    const { descriptors, driverArea, deviceArea, size } = this.place;
    return [[descriptors, size * 16], [driverArea, 4], [deviceArea, 4]] as const;
  }

  #at(index: number): number {
    return this.place.descriptors + index * 16;
  }
}
