/**
 * What a device may do and what it must: watched at every step that a hostile driver takes.
 *
 * - Guest memory changes only in used rings and in buffers that the device may write and has not given
 *   back; whoever runs guest code has been told of it; nothing behind guest memory changes.
 * - A buffer is what the descriptors say, read a second time; it is given back once.
 * - The device needs a reset exactly where a ring is malformed, or not in RAM, or the device has no
 *   answer (2.1.2); ready drivers are interrupted then. Before DRIVER_OK there are no interrupts.
 * - Work comes to an end, and the number of buffers in flight is what it is.
 */

import assert from "node:assert/strict";
import type { DescriptorChain } from "../../../../devices/virtio/descriptor_chain.ts";
import { VirtioFeature, VirtioStatus } from "../../../../devices/virtio/virtio_bits.ts";
import type { VirtioCore } from "../../../../devices/virtio/virtio_core.ts";
import type { Virtqueue } from "../../../../devices/virtio/virtqueue.ts";
import type { VirtqueueState } from "../../../../devices/virtio/virtqueue_state.ts";
import type { GuestRange } from "../../../../hv/core/block_engine.ts";
import type { CheckedLock } from "./checked_memory.ts";
import { type Expected, expectedNext } from "./expected_chain.ts";
import { type HostileBench, RAM_BYTES } from "./hostile_bench.ts";
import type { Subject } from "./subject.ts";

interface Flight {
  readonly queue: number;
  readonly writable: readonly GuestRange[];
}

/** See above. */
export class Watch {
  /** Does another thread of the guest's write meanwhile? Then nobody can say what must be found. */
  racing = false;
  /** Steps in which the device had to ask for a reset, and buffers taken and given back. */
  readonly counts = { malformed: 0, unanswerable: 0, badRings: 0, taken: 0, given: 0 };
  readonly #bench: HostileBench;
  readonly #core: VirtioCore;
  readonly #lock: CheckedLock;
  readonly #subject: Subject;
  readonly #before = new Uint8Array(RAM_BYTES);
  readonly #beforeWords = new BigUint64Array(this.#before.buffer);
  readonly #ram: Uint8Array;
  readonly #ramWords: BigUint64Array;
  /** Of each byte of memory, used when some have changed. */
  readonly #mayWrite = new Uint8Array(RAM_BYTES);
  readonly #wasTold = new Uint8Array(RAM_BYTES);
  readonly #flights = new Map<DescriptorChain, Flight>();
  readonly #budgets: number[];
  #acts = 0;
  /** Of this step. */
  #writable: GuestRange[] = [];
  #touched: GuestRange[] = [];
  #explained = false;
  #configInterrupts = 0;

  constructor(bench: HostileBench, core: VirtioCore, lock: CheckedLock, subject: Subject) {
    this.#bench = bench;
    this.#core = core;
    this.#lock = lock;
    this.#subject = subject;
    this.#ram = bench.image.ram;
    this.#ramWords = new BigUint64Array(bench.memory.memory.buffer, 0, RAM_BYTES / 8);
    this.#budgets = core.queues.map(() => 0);
    bench.memory.onTouch = (address, length) => this.#touched.push({ address, length });
    core.queues.forEach((queue) => this.#watchQueue(queue));
    this.#watchRings();
    this.#watchInterrupts();
  }

  /** Does something to the device, and looks at what comes of it. */
  act<T>(body: () => T): T {
    const { memory } = this.#bench;
    this.#before.set(this.#ram);
    this.#touched = [];
    this.#writable = [...this.#flights.values()].flatMap(({ writable }) => writable);
    for (const state of this.#states) if (state.enabled) this.#allowRing(state);
    this.#explained = false;
    this.#configInterrupts = 0;
    const { status } = this.#core;
    memory.allowance = this.#workBound;
    const result = body();
    memory.allowance = Infinity;
    // Where nobody has been told of a write, it is looked for every now and then.
    if (this.#touched.length > 0 || this.#acts++ % 8 === 0) this.#checkWrites();
    this.#checkStatus(status);
    const flying = this.#budgets.map(() => 0);
    for (const { queue } of this.#flights.values()) flying[queue]++;
    for (const [index, count] of flying.entries()) {
      assert.equal(this.#core.queueState(index)!.inFlight, count, "buffers in flight");
    }
    assert.ok(!this.#lock.isHeld, "the lock is free again");
    return result;
  }

  /** Another thread of the guest's writes one byte of memory while the device works. */
  guestWrites(address: number, value: number): void {
    this.#bench.ram.setUint8(address, value);
    this.#before[address] = value;
  }

  /** Buffers that the device has. */
  get inFlight(): number {
    return this.#flights.size;
  }

  get #states(): VirtqueueState[] {
    return this.#core.queues.map(({ index }) => this.#core.queueState(index)!);
  }

  /** Accesses to memory in a step: every entry of every queue with the longest chains. */
  get #workBound(): number {
    return this.#states.reduce(
      (sum, { size }, i) => sum + size * (this.#core.queueMaxSize(i) * 2 + 4) * 8,
      50_000,
    );
  }

  #allowRing({ size, deviceArea }: VirtqueueState): void {
    this.#writable.push({ address: place(deviceArea), length: 6 + size * 8 });
  }

  #watchQueue(queue: Virtqueue): void {
    const { index } = queue;
    const { beginTurn, pop, push, reject } = queue;
    queue.beginTurn = () => {
      beginTurn.call(queue);
      this.#budgets[index] = this.#core.queueState(index)!.size;
    };
    queue.pop = () => {
      const expected = this.#expected(index);
      const neededReset = this.#needsReset;
      const chain = pop.call(queue);
      this.#popped(index, chain, expected);
      if (!this.racing && expected !== undefined) {
        const isMalformed = expected === "malformed";
        assert.equal(this.#needsReset, neededReset || isMalformed, `a ring that is ${expected}`);
      }
      return chain;
    };
    queue.push = (chain, written) => {
      this.#landed(index, chain);
      assert.ok(written >= 0 && written <= chain.writableBytes, `${written} bytes were written`);
      this.counts.given++;
      const { used, enabled, deviceArea } = this.#core.queueState(index)!;
      const isGiven = this.#core.isLive && enabled;
      // A reset forgets where it is.
      const at = place(deviceArea) + 2;
      const inMemory = this.#usedIndex(at);
      push.call(queue, chain, written);
      if (!this.racing) {
        this.#checkUsed(index, isGiven ? { chain, written, used } : { at, inMemory });
      }
    };
    queue.reject = (chain) => {
      this.#landed(index, chain);
      assert.ok(this.#subject.mayReject(index, chain), "there would have been an answer");
      const { isLive } = this.#core;
      reject.call(queue, chain);
      if (!isLive) return;
      this.counts.unanswerable++;
      this.#explained = true;
      assert.ok(this.#needsReset, "a device without an answer needs a reset");
    };
  }

  /** The driver finds what has been given back, and nothing of what it has forgotten (2.7.8). */
  #checkUsed(
    index: number,
    given: { chain: DescriptorChain; written: number; used: number } | {
      at: number;
      inMemory: number;
    },
  ): void {
    if ("inMemory" in given) {
      return assert.equal(this.#usedIndex(given.at), given.inMemory, "nothing is given back");
    }
    const { chain, written, used } = given;
    const { deviceArea, size } = this.#core.queueState(index)!;
    const area = place(deviceArea);
    const at = area + 4 + (used % size) * 8;
    const { ram } = this.#bench;
    assert.equal(this.#usedIndex(area + 2), (used + 1) & 0xffff, "the used index");
    assert.equal(ram.getUint32(at, true), chain.id, "the buffer that is given back");
    assert.equal(ram.getUint32(at + 4, true), written, "the bytes that were written");
  }

  #usedIndex(at: number): number {
    return at + 2 > RAM_BYTES ? 0 : this.#bench.ram.getUint16(at, true);
  }

  /** What the queue must give; undefined: it is not being served, or nobody knows. */
  #expected(index: number): Expected | undefined {
    const state = this.#core.queueState(index)!;
    if (!this.#core.isLive || !state.enabled || this.#budgets[index] === 0) return "none";
    const [driver, device] = [place(state.driverArea), place(state.deviceArea)];
    const { size } = state;
    // Where they overlap, asking for notifications makes buffers available.
    if (driver < device + 6 + size * 8 && device < driver + 6 + size * 2) return undefined;
    return expectedNext(this.#bench.ram, state, {
      maxSize: this.#core.queueMaxSize(index),
      indirect: this.#core.accepted(VirtioFeature.INDIRECT_DESC),
    });
  }

  #popped(index: number, chain: DescriptorChain | undefined, expected: Expected | undefined): void {
    if (!this.racing && expected !== undefined) {
      const wanted = typeof expected === "string" ? undefined : expected;
      assert.deepEqual(
        chain && { id: chain.id, readable: chain.readable, writable: chain.writable },
        wanted,
      );
    }
    if (expected === "malformed" || this.racing || expected === undefined) {
      this.#explained = true;
      if (expected === "malformed") this.counts.malformed++;
    }
    if (chain === undefined) return;
    this.counts.taken++;
    this.#budgets[index]--;
    this.#flights.set(chain, { queue: index, writable: [...chain.writable] });
    this.#writable.push(...chain.writable);
  }

  #landed(index: number, chain: DescriptorChain): void {
    const flight = this.#flights.get(chain);
    assert.ok(flight !== undefined, "a buffer is given back that the device does not have");
    assert.equal(flight.queue, index, "a buffer is given back to its queue");
    this.#flights.delete(chain);
  }

  #watchRings(): void {
    const core = this.#core;
    const { enableQueue } = core;
    core.enableQueue = (index) => {
      const state = core.queueState(index);
      const isNew = state !== undefined && !state.enabled;
      enableQueue.call(core, index);
      if (!isNew) return;
      if (state.enabled) this.#allowRing(state);
      if (liesInRam(state)) return;
      assert.ok(!state.enabled, "a ring outside of memory is not used");
      this.counts.badRings++;
      this.#explained = true;
    };
  }

  #watchInterrupts(): void {
    const core = this.#core;
    const transport = core.transport!;
    core.transport = {
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

  #checkWrites(): void {
    const ram = this.#ram;
    assert.ok(this.#bench.behindIsIntact, "memory of the host's behind guest memory was written");
    let marked = false;
    for (let word = 0; word < this.#ramWords.length; word++) {
      if (this.#ramWords[word] === this.#beforeWords[word]) continue;
      if (!marked) this.#mark();
      marked = true;
      for (let at = word * 8; at < word * 8 + 8; at++) {
        if (ram[at] === this.#before[at]) continue;
        const where = `guest memory at ${at.toString(16)}h`;
        assert.ok(this.#mayWrite[at], `${where} was written, and nobody said it may be`);
        assert.ok(this.#wasTold[at], `${where} was written without telling processors`);
      }
    }
  }

  #mark(): void {
    this.#mayWrite.fill(0);
    for (const { address, length } of this.#writable) {
      this.#mayWrite.fill(1, address, address + length);
    }
    this.#wasTold.fill(0);
    for (const { address, length } of this.#touched) {
      this.#wasTold.fill(1, address, address + length);
    }
  }
}

const place = ([low, high]: Uint32Array): number => low + high * 2 ** 32;

/** The three parts of a split virtqueue (2.7), aligned and in memory. */
function liesInRam({ size, descriptors, driverArea, deviceArea }: VirtqueueState): boolean {
  const parts = [[descriptors, 16 * size, 16], [driverArea, 6 + 2 * size, 2], [
    deviceArea,
    6 + 8 * size,
    4,
  ]] as const;
  return parts.every(([halves, length, alignment]) =>
    place(halves) % alignment === 0 && place(halves) + length <= RAM_BYTES
  );
}
