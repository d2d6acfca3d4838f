/**
 * What a device may do and what it must: watched at every step that a hostile driver takes.
 *
 * - Guest memory changes only in used rings and in buffers that the device may write and has not given
 *   back (memory_watch.ts).
 * - A buffer is what the descriptors say, read a second time; it is given back once, and the driver
 *   finds it in the ring.
 * - The device needs a reset exactly where a ring is malformed, or not in RAM, or the device has no
 *   answer (2.1.2); ready drivers are interrupted then. Before DRIVER_OK there are no interrupts.
 * - Work comes to an end, and the number of buffers in flight is what it is.
 */

import assert from "node:assert/strict";
import type { DescriptorChain } from "../../../../devices/virtio/queue/descriptor_chain.ts";
import { VirtioFeature, VirtioStatus } from "../../../../devices/virtio/virtio_bits.ts";
import type { VirtioCore } from "../../../../devices/virtio/virtio_core.ts";
import type { Virtqueue } from "../../../../devices/virtio/queue/virtqueue.ts";
import type { VirtqueueState } from "../../../../devices/virtio/queue/virtqueue_state.ts";
import type { GuestRange } from "../../../../hv/core/media/block_engine.ts";
import type { CheckedLock } from "./checked_memory.ts";
import { addressOfParts, type Expected, expectedInSplit } from "./expected_chain.ts";
import { expectedInPacked } from "./expected_packed.ts";
import { type HostileBench, RAM_BYTES } from "./hostile_bench.ts";
import { MemoryWatch } from "./memory_watch.ts";
import type { Subject } from "./subjects/subject.ts";
import { checkGiven, ringParts, usedMark } from "./used_ring.ts";

/** A buffer that the device has; `written` once it has given it back. */
interface Flight {
  readonly chain: DescriptorChain;
  readonly writable: readonly GuestRange[];
  /** How far the device was in the ring before. */
  readonly next: number;
  readonly nextWrap: boolean;
  written?: number;
}

/** A buffer that is given back. */
interface Gift {
  readonly flight: Flight;
  readonly written: number;
}

/** What is watched. */
export interface Watched {
  readonly bench: HostileBench;
  readonly core: VirtioCore;
  readonly lock: CheckedLock;
  readonly subject: Subject;
}

/** What the steps of a hostile driver tell of themselves. */
export interface StepWatch {
  racing: boolean;
  act<T>(body: () => T): T;
  guestWrites(address: number, value: number): void;
  readonly inFlight: number;
}

/** See above. */
export class Watch implements StepWatch {
  /** Does another thread of the guest's write meanwhile? Then nobody can say what must be found. */
  racing = false;
  /** Why the device had to ask for a reset, how often, and buffers taken and given back. */
  readonly counts = { malformed: 0, unanswerable: 0, badRings: 0, taken: 0, given: 0 };
  readonly #bench: HostileBench;
  readonly #core: VirtioCore;
  readonly #lock: CheckedLock;
  readonly #subject: Subject;
  readonly #memory: MemoryWatch;
  /** By queue: buffers that the device has, and behind such ones, if in order, those it has had. */
  readonly #flights: Flight[][];
  readonly #budgets: number[];
  /** Of this step. */
  #explained = false;
  #configInterrupts = 0;

  constructor({ bench, core, lock, subject }: Watched) {
    this.#bench = bench;
    this.#core = core;
    this.#lock = lock;
    this.#subject = subject;
    this.#memory = new MemoryWatch(bench);
    this.#budgets = core.queues.map(() => 0);
    this.#flights = core.queues.map(() => []);
    for (const queue of core.queues) this.#watchQueue(queue);
    this.#watchRings();
    this.#watchInterrupts();
  }

  /** Does something to the device, and looks at what comes of it. */
  act<T>(body: () => T): T {
    const { memory } = this.#bench;
    this.#memory.begin();
    for (const flight of this.#flights.flat()) this.#memory.allow(...flight.writable);
    for (const { index } of this.#core.queues) {
      if (this.#state(index).enabled && this.#isMaster) this.#allowRing(index);
    }
    this.#explained = false;
    this.#configInterrupts = 0;
    const { status } = this.#core;
    memory.allowance = this.#workBound;
    const result = body();
    memory.allowance = Infinity;
    this.#memory.end();
    this.#checkStatus(status);
    for (const { index } of this.#core.queues) {
      assert.equal(this.#state(index).inFlight, this.#flying(index), "buffers in flight");
    }
    assert.ok(!this.#lock.isHeld, "the lock is free again");
    return result;
  }

  /** Another thread of the guest's writes a byte of memory while the device works. */
  guestWrites(address: number, value: number): void {
    this.#memory.guestWrites(address, value);
  }

  /** Buffers that the device has. */
  get inFlight(): number {
    return this.#core.queues.reduce((sum, { index }) => sum + this.#flying(index), 0);
  }

  #state(index: number): VirtqueueState {
    return this.#core.queueState(index)!;
  }

  #flying(index: number): number {
    return this.#flights[index].filter(({ written }) => written === undefined).length;
  }

  /** Accesses to memory in a step: every entry of every queue with the longest chains. */
  get #workBound(): number {
    return this.#core.queues.reduce(
      (sum, { index }) => sum + this.#state(index).size * (this.#core.queueMaxSize(index) + 2) * 16,
      50_000,
    );
  }

  get #isPacked(): boolean {
    return this.#core.accepted(VirtioFeature.RING_PACKED);
  }

  #allowRing(index: number): void {
    this.#memory.allow(...ringParts(this.#state(index), this.#isPacked).written);
  }

  #watchQueue(queue: Virtqueue): void {
    const { index } = queue;
    const { beginTurn, pop, push, pushLater, signal, putBack, reject } = queue;
    queue.beginTurn = () => {
      beginTurn.call(queue);
      this.#budgets[index] = this.#state(index).size;
    };
    queue.pop = () => {
      const expected = this.#expected(index);
      const neededReset = this.#needsReset;
      const { next, nextWrap } = this.#state(index);
      const chain = pop.call(queue);
      this.#popped(chain, expected);
      if (chain !== undefined) this.#takes(index, chain, { next, nextWrap });
      if (!this.racing && expected !== undefined) {
        const isMalformed = expected === "malformed";
        assert.equal(this.#needsReset, neededReset || isMalformed, `a ring that is ${expected}`);
      }
      return chain;
    };
    queue.push = (chain, written) => {
      const flight = this.#flight(index, chain);
      this.#gives(index, [{ flight, written }], () => push.call(queue, chain, written));
    };
    const later: Gift[] = [];
    queue.pushLater = (chain, written) => {
      const flight = this.#flight(index, chain);
      assert.ok(later.every((gift) => gift.flight !== flight), "a buffer is given back once");
      later.push({ flight, written });
      pushLater.call(queue, chain, written);
    };
    queue.signal = () => this.#gives(index, later.splice(0), () => signal.call(queue));
    queue.putBack = (chain) => {
      const flight = this.#flight(index, chain);
      const isUsable = this.#isUsable(index);
      this.#flights[index] = this.#flights[index].filter((one) => one !== flight);
      this.#budgets[index]++;
      putBack.call(queue, chain);
      if (!isUsable) return;
      const { next, nextWrap } = this.#state(index);
      assert.deepEqual([next, nextWrap], [flight.next, flight.nextWrap], "it is the next again");
    };
    queue.reject = (chain) => {
      this.#flight(index, chain).written = 0;
      assert.ok(this.#subject.mayReject(index, chain), "there would have been an answer");
      const isLive = this.#core.isLive && this.#isMaster;
      reject.call(queue, chain);
      this.#forget(index);
      if (!isLive) return;
      this.counts.unanswerable++;
      this.#explained = true;
      assert.ok(this.#needsReset, "a device without an answer needs a reset");
    };
  }

  #isUsable(index: number): boolean {
    const { enabled, resetting } = this.#state(index);
    return this.#core.isLive && this.#isMaster && enabled && !resetting;
  }

  /** May the device reach memory at all? */
  get #isMaster(): boolean {
    return this.#core.transport!.isMaster;
  }

  /** What the queue must give; undefined: nobody can say. */
  #expected(index: number): Expected | undefined {
    const state = this.#state(index);
    if (!this.#isUsable(index) || this.#budgets[index] === 0) return "none";
    const { size } = state;
    const rules = {
      maxSize: this.#core.queueMaxSize(index),
      indirect: this.#core.accepted(VirtioFeature.INDIRECT_DESC),
    };
    const { written, read } = ringParts(state, this.#isPacked);
    // Where these overlap, asking for notifications makes buffers available.
    const event = written.at(-1)!;
    for (const part of read) {
      const isApart = part.address + part.length <= event.address ||
        event.address + event.length <= part.address;
      if (!isApart) return undefined;
    }
    if (!this.#isPacked && (size & (size - 1)) !== 0) return undefined;
    const { ram } = this.#bench;
    const expected = this.#isPacked
      ? expectedInPacked(ram, state, rules)
      : expectedInSplit(ram, state, rules);
    // More than the ring has entries cannot be on the way.
    const isFull = expected !== "none" && state.inFlight >= size;
    return isFull ? "malformed" : expected;
  }

  #popped(chain: DescriptorChain | undefined, expected: Expected | undefined): void {
    if (this.racing || expected === undefined) this.#explained = true;
    else if (typeof expected === "string") {
      assert.equal(chain, undefined, `a buffer out of a ring that is ${expected}`);
      this.#explained ||= expected === "malformed";
      if (expected === "malformed") this.counts.malformed++;
    } else {
      const { id, readable, writable } = chain!;
      const { descriptors, ...wanted } = expected;
      assert.deepEqual({ id, readable, writable }, wanted);
      if (this.#isPacked) assert.equal(chain!.descriptors, descriptors);
    }
  }

  #takes(index: number, chain: DescriptorChain, place: Pick<Flight, "next" | "nextWrap">): void {
    this.counts.taken++;
    this.#budgets[index]--;
    this.#flights[index].push({ chain, writable: [...chain.writable], ...place });
    this.#memory.allow(...chain.writable);
  }

  #flight(index: number, chain: DescriptorChain): Flight {
    const flight = this.#flights[index].find((one) => one.chain === chain);
    assert.ok(flight?.written === undefined && flight, "a buffer that the device does not have");
    return flight;
  }

  /** The device gives buffers back by `body`: the driver must find them, and nothing else. */
  #gives(index: number, gifts: readonly Gift[], body: () => void): void {
    for (const { flight, written } of gifts) {
      assert.ok(written >= 0 && written <= flight.chain.writableBytes, `${written} were written`);
      flight.written = written;
    }
    this.counts.given += gifts.length;
    const before = usedMark(this.#state(index), this.#bench.ram, this.#isPacked);
    const flights = gifts.map(({ flight }) => flight);
    const given = this.#isUsable(index) && gifts.length > 0 ? this.#given(index, flights) : [];
    body();
    if (!this.racing) checkGiven(before, given, this.#bench.ram);
    this.#forget(index);
  }

  /** What the driver finds when these are given back: in order, what waited for them, or not yet. */
  #given(index: number, flights: readonly Flight[]): readonly Flight[] {
    if (!this.#core.accepted(VirtioFeature.IN_ORDER)) return flights;
    const all = this.#flights[index];
    const end = all.findIndex(({ written }) => written === undefined);
    return all.splice(0, end < 0 ? all.length : end);
  }

  /** What has been given back is the guest's again. */
  #forget(index: number): void {
    const inOrder = this.#core.accepted(VirtioFeature.IN_ORDER) && this.#flying(index) > 0;
    if (inOrder) return;
    const flights = this.#flights[index];
    this.#flights[index] = flights.filter(({ written }) => written === undefined);
  }

  #watchRings(): void {
    const core = this.#core;
    const { enableQueue } = core;
    core.enableQueue = (index) => {
      const state = core.queueState(index);
      const isNew = state !== undefined && !state.enabled;
      enableQueue.call(core, index);
      if (!isNew) return;
      if (state.enabled) this.#allowRing(index);
      if (this.#liesInRam(state)) return;
      assert.ok(!state.enabled, "a ring outside of memory is not used");
      this.counts.badRings++;
      this.#explained = true;
    };
  }

  #liesInRam(state: VirtqueueState): boolean {
    const { descriptors, driverArea, deviceArea } = state;
    const alignments = this.#isPacked ? [16, 4, 4] : [16, 2, 4];
    const { written, read } = ringParts(state, this.#isPacked);
    return [descriptors, driverArea, deviceArea].every((part, i) =>
      addressOfParts(part) % alignments[i] === 0
    ) && [...written, ...read].every(({ address, length }) => address + length <= RAM_BYTES);
  }

  #watchInterrupts(): void {
    const core = this.#core;
    const transport = core.transport!;
    core.transport = {
      get isMaster() {
        return transport.isMaster;
      },
      interruptQueue: (index) => {
        assert.ok(core.status & VirtioStatus.DRIVER_OK, "an interrupt before DRIVER_OK");
        transport.interruptQueue(index);
      },
      interruptConfig: () => {
        assert.ok(core.status & VirtioStatus.DRIVER_OK, "an interrupt before DRIVER_OK");
        this.#configInterrupts++;
        transport.interruptConfig();
      },
      deviceReset: () => transport.deviceReset(),
    };
  }

  get #needsReset(): boolean {
    return (this.#core.status & VirtioStatus.DEVICE_NEEDS_RESET) !== 0;
  }

  #checkStatus(before: number): void {
    const had = (before & VirtioStatus.DEVICE_NEEDS_RESET) !== 0;
    if (had || !this.#needsReset) return;
    assert.ok(this.#explained, "the device needs a reset, and nobody knows why");
    if ((before & VirtioStatus.DRIVER_OK) !== 0) {
      assert.ok(this.#configInterrupts > 0, "the driver hears that the device needs a reset");
    }
  }
}
