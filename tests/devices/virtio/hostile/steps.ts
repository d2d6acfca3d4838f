/**
 * What a hostile driver does next. A step depends on its random numbers and on the bytes of guest and
 * device alone, so that a twin over a copy does the same; it gives a number by which the two are
 * compared.
 */

import { DescriptorFlag } from "../../../../devices/virtio/queue/descriptor_table.ts";
import { VirtioFeature } from "../../../../devices/virtio/virtio_bits.ts";
import type { Random } from "../../../support/random.ts";
import { anyValue } from "./transports/guest_transport.ts";
import { anyAddress, descriptorsOf, spoil } from "./descriptors.ts";
import type { HostileRig } from "./hostile_rig.ts";

/** See above. */
export type Step = (rig: HostileRig, random: Random) => number;

const SIZES = [1, 2, 4, 8, 16, 16, 16, 16] as const;

/** Set up as it should be. */
const initialise: Step = (rig, random) => {
  rig.initialise(random, random.pick(SIZES));
  return 1;
};

/** Set up with something wrong: rings, sizes, features, order. */
const misinitialise: Step = (rig, random) => {
  rig.chooseGuest(random);
  const { guest, bench: { ram } } = rig;
  guest.place(random);
  if (random.chance(80)) rig.reset();
  for (const status of [1, 3]) if (random.chance(90)) guest.status = status;
  rig.someFeatures(random).forEach((word, i) => {
    guest.accept(i, random.chance(80) ? word : random.u32());
  });
  if (random.chance(80)) guest.status = 11;
  rig.rings = rig.core.queues.map(({ index }) => {
    const ring = rig.placeRing(index, random.pick(SIZES));
    if (random.chance(70)) return ring;
    const place = { ...ring.place };
    const part = random.pick(["descriptors", "driverArea", "deviceArea", "size"] as const);
    place[part] = part === "size"
      ? random.pick([0, 1, 3, 17, 0x8000, 0xffff])
      // On top of another, or not aligned, or elsewhere.
      : random.chance(50)
      ? place.descriptors + random.below(0x100)
      : anyAddress(random);
    return Object.assign(ring, { place });
  });
  for (const ring of rig.rings) {
    if (random.chance(80)) ring.clear(ram);
    rig.watch.act(() => {
      guest.setQueue(ring.index, ring.place);
      guest.enableQueue(ring.index);
      if (random.chance(10)) guest.setQueue(ring.index, { ...ring.place, size: 4 });
      if (random.chance(10)) guest.enableQueue(ring.index + random.below(3));
    });
  }
  guest.status = random.chance(90) ? 15 : random.below(256) | 1;
  return guest.status;
};

/** A request, right or with something wrong, in a queue or in one that is not set up. */
const request: Step = (rig, random) => {
  const { requests, bench: { ram }, guest, core, subject } = rig;
  // What has been told that it is broken needs a reset first; now and then it gets on without.
  if (!core.isLive && random.chance(70)) rig.initialise(random, random.pick(SIZES));
  if (rig.rings.length === 0) return 0;
  for (let count = 1 + random.below(3); count > 0; count--) {
    const ring = random.pick(rig.rings);
    const buffers = subject.request(random, ring.index, requests);
    if (buffers.length === 0) continue;
    const indirect = core.accepted(VirtioFeature.INDIRECT_DESC) &&
      (random.chance(40) || buffers.length > ring.place.size);
    const chain = descriptorsOf(buffers, ring.form, indirect, requests);
    for (let wrong = random.below(20) - 17; wrong > 0; wrong--) {
      spoil(chain, ring.form, random, requests);
    }
    ring.add(ram, chain);
    if (random.chance(80)) guest.notify(ring.index);
  }
  return serve(rig, random);
};

/** Indices that jump and go backwards, heads that are none, interrupts wished for at any index. */
const disturb: Step = (rig, random) => {
  if (rig.rings.length === 0) return 0;
  const ring = random.pick(rig.rings);
  ring.disturb(rig.bench.ram, random);
  rig.guest.notify(ring.index);
  return serve(rig, random);
};

/** The I/O worker comes by. */
const serve: Step = (rig, random) => random.chance(80) && rig.serve(random.chance(40)) ? 1 : 0;

/** Something ends, or comes, at the host's end. */
const host: Step = (rig, random) => {
  rig.host(random);
  return 0;
};

/** A reset in the middle, for which nobody waits. */
const reset: Step = (rig, random) => {
  const { guest } = rig;
  rig.watch.act(() => guest.status = 0);
  if (random.chance(50)) rig.watch.act(() => guest.status = random.pick([1, 3, 7, 15]));
  if (random.chance(50)) rig.watch.act(() => guest.enableQueue(0));
  return guest.status + serve(rig, random);
};

/** One queue is reset in the middle and set up again, or not (2.6.1). */
const resetQueue: Step = (rig, random) => {
  const { guest, watch, rings } = rig;
  if (rings.length === 0) return 0;
  const ring = random.pick(rings);
  watch.act(() => guest.resetQueue(ring.index));
  if (random.chance(50)) rig.settle();
  const again = rig.placeRing(ring.index, random.pick(SIZES));
  rig.rings = rings.map((one) => one === ring ? again : one);
  again.clear(rig.bench.ram);
  watch.act(() => {
    guest.setQueue(again.index, again.place);
    guest.enableQueue(again.index);
  });
  return guest.status;
};

/** Any register, any width, any value. */
const register: Step = (rig, random) => {
  let read = 0;
  for (let count = random.below(6); count >= 0; count--) {
    read = (read * 31 + rig.watch.act(() => rig.guest.scribble(random))) % 2 ** 32;
  }
  return read;
};

/** The device configuration space, beyond its end, too. */
const configuration: Step = (rig, random) => {
  const size = random.pick([1, 2, 4]);
  const offset = random.chance(80)
    ? random.below(rig.subject.device.config.length + 8)
    : random.below(0x1000);
  const isRead = random.chance(40);
  return rig.watch.act(() => {
    if (isRead) return rig.guest.readConfig(offset, size);
    rig.guest.writeConfig(offset, size, anyValue(random, size));
    return 0;
  });
};

/** Notifications of queues that there are and are not, and interrupts acknowledged. */
const notify: Step = (rig, random) => {
  const queues = rig.core.queues.length;
  const index = random.chance(80) ? random.below(queues + 1) : random.u32() & 0xffff;
  rig.watch.act(() => rig.guest.notify(index));
  rig.watch.act(() => rig.guest.acknowledge());
  return serve(rig, random);
};

/**
 * The guest's other processors write into rings and requests, and to registers, while the I/O worker
 * reads: before each of its reads, if they are to.
 */
const race: Step = (rig, random) => {
  const { watch, bench, guest } = rig;
  const percent = random.pick([1, 5, 20]);
  let inside = false;
  bench.memory.onRead = () => {
    if (inside || !random.chance(percent)) return;
    inside = true;
    for (let count = random.below(3); count >= 0; count--) {
      const at = random.chance(60) ? random.below(0x800) : random.below(0x1_0000);
      watch.guestWrites(at, random.chance(50) ? random.below(8) : random.u32() & 0xff);
    }
    // Registers wait for the lock.
    if (!rig.lock.isHeld && random.chance(20)) {
      if (random.chance(20)) guest.status = random.pick([0, 0, 1, 15, 255]);
      else guest.scribble(random);
    }
    inside = false;
  };
  watch.racing = true;
  try {
    rig.serve(true);
    rig.host(random);
  } finally {
    watch.racing = false;
    bench.memory.onRead = undefined;
  }
  return 0;
};

/** A guest that makes buffers available as fast as the device takes them: its turn ends all the same. */
const flood: Step = (rig, random) => {
  const { bench: { ram, memory }, requests, watch, subject, core } = rig;
  rig.initialise(random, 16);
  const ring = random.pick(rig.rings);
  const buffers = subject.request(random, ring.index, requests);
  if (buffers.length === 0) return 0;
  const indirect = core.accepted(VirtioFeature.INDIRECT_DESC);
  const [one] = descriptorsOf(buffers, ring.form, indirect, requests);
  one.flags &= ~DescriptorFlag.NEXT;
  for (let i = 0; i < ring.place.size; i++) ring.add(ram, [one]);
  rig.guest.notify(ring.index);
  memory.onRead = () => {
    const bytes = ring.refill(core.queueState(ring.index)!, one);
    for (const [at, byte] of bytes) watch.guestWrites(at, byte);
  };
  watch.racing = true;
  try {
    rig.serve(false);
  } finally {
    watch.racing = false;
    memory.onRead = undefined;
  }
  return watch.inFlight;
};

const STEPS_BY_WEIGHT: readonly (readonly [weight: number, step: Step])[] = [
  [8, initialise],
  [4, misinitialise],
  [35, request],
  [1, flood],
  [10, disturb],
  [10, host],
  [3, reset],
  [3, resetQueue],
  [6, register],
  [6, configuration],
  [6, notify],
  [8, race],
];

/** The next step. */
export function anyStep(random: Random): Step {
  let at = random.below(100);
  for (const [weight, step] of STEPS_BY_WEIGHT) {
    if (at < weight) return step;
    at -= weight;
  }
  throw new Error("the weights add up to less than 100");
}
