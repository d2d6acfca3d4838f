/**
 * A virtqueue as a device uses it: buffers come out of it and go back into it. For the I/O worker's
 * thread, without the device's lock, which each call takes for itself.
 *
 * Whatever is wrong with a ring puts the device into the state DEVICE_NEEDS_RESET, in which its queues
 * are empty.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.6 "Virtqueues", 2.1.2 (DEVICE_NEEDS_RESET).
 */

import type { Lock } from "../../../hv/core/state/lock.ts";
import { type DescriptorChain, VirtqueueFault } from "./descriptor_chain.ts";
import type { Given, Ring } from "./ring.ts";
import type { VirtqueueState } from "./virtqueue_state.ts";

/** What a queue belongs to. */
export interface QueueOwner {
  readonly lock: Lock;
  /** May the queues be used: driver ready, no fault, no reset under way? */
  readonly isLive: boolean;
  /** Has VIRTIO_F_IN_ORDER been accepted: are buffers given back as they were made available? */
  readonly inOrder: boolean;
  /** The device needs a reset. Under the lock. */
  failed(): void;
  /** Interrupts the driver for queue `index`. Under the lock. */
  interruptQueue(index: number): void;
  /** The last chain in flight of queue `index` has come back. Under the lock. */
  isIdle(index: number): void;
  /** Is the thread wanted elsewhere, so that its turn ends? */
  mustYield(): boolean;
}

/** A buffer that has been taken, with what was written of it once it has been pushed. */
interface Taken {
  readonly chain: DescriptorChain;
  written: number | undefined;
}

/** See above. */
export class Virtqueue {
  readonly index: number;
  readonly #state: VirtqueueState;
  readonly #owner: QueueOwner;
  readonly #ring: () => Ring;
  /** What has been taken and is not back in the ring, the oldest first, where order matters. */
  readonly #taken: Taken[] = [];
  /** Buffers that may yet be taken in this turn: a guest could add to them for ever. */
  #budget = 0;
  /** The lock is held, for several calls. */
  #isLocked = false;
  /** What `signal` gives back. */
  #later: Given[] = [];
  /** Something has been given back since the last `signal`. */
  #isUnsignalled = false;

  /** @param ring The queue's ring in the form that has been negotiated. */
  constructor(index: number, state: VirtqueueState, owner: QueueOwner, ring: () => Ring) {
    this.index = index;
    this.#state = state;
    this.#owner = owner;
    this.#ring = ring;
  }

  /** Is there perhaps something to take? */
  get hasAvailable(): boolean {
    return this.#isUsable && this.#ring().hasAvailable();
  }

  /** May it be used: driver ready, no fault, no reset under way? Without the lock it is a guess. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  get #isUsable(): boolean {
    return this.#owner.isLive && this.#state.enabled && !this.#state.resetting;
  }

  /** A new turn: as many buffers as the queue has entries. */
  beginTurn(): void {
    this.#budget = this.#state.size;
  }

  /** Has the turn ended with something left? */
  get turnIsOver(): boolean {
    return this.#budget === 0;
  }

  /**
   * Takes the next buffer, to be given back with `push`. When there is none, the driver is asked to
   * notify about the next; undefined also when the turn is over, and then the device is asked again.
   */
  pop(): DescriptorChain | undefined {
    if (this.#budget === 0) return undefined;
    // Who wants the machine to stand still does not wait for all that a guest has asked for.
    if (this.#owner.mustYield()) {
      this.#budget = 0;
      return undefined;
    }
    return this.together(() => this.#pop());
  }

  /**
   * Makes the calls of `body` with the device's lock taken once for all of them: for many in a row.
   * Nothing in `body` waits, or takes the lock for itself.
   */
  together<T>(body: () => T): T {
    if (this.#isLocked) return body();
    const { lock } = this.#owner;
    lock.acquire();
    this.#isLocked = true;
    try {
      return body();
    } finally {
      this.#isLocked = false;
      lock.release();
    }
  }

  #pop(): DescriptorChain | undefined {
    const state = this.#state;
    if (!this.#isUsable) return undefined;
    const ring = this.#ring();
    let taken = ring.take();
    if (taken === undefined) {
      ring.wantNotifications();
      // What came before that was seen has not been notified about.
      taken = ring.take();
      if (taken === undefined) return undefined;
    }
    // A ring holds no more buffers than entries, but its driver may make some available again.
    if (state.inFlight >= state.size) taken = VirtqueueFault.availableIndex;
    if (typeof taken === "number") {
      this.#fail(taken);
      return undefined;
    }
    ring.refuseNotifications();
    state.inFlight++;
    if (this.#owner.inOrder) this.#taken.push({ chain: taken, written: undefined });
    this.#budget--;
    return taken;
  }

  /**
   * Gives a buffer back; the driver hears of it with the next `signal`.
   *
   * @param written Bytes of what the device writes that it has written, from the first on.
   */
  push(chain: DescriptorChain, written: number): void {
    this.#isUnsignalled = true;
    this.together(() => this.#give([{ chain, written }]));
  }

  /**
   * Gives a buffer back with the next `signal`: the driver sees all such buffers or none yet. For many
   * in a row, and where one goes with the others.
   */
  pushLater(chain: DescriptorChain, written: number): void {
    this.#later.push({ chain, written });
  }

  #give(buffers: readonly Given[]): void {
    if (this.#isUsable) this.#ring().give(this.#owner.inOrder ? this.#ordered(buffers) : buffers);
    for (let i = 0; i < buffers.length; i++) this.#landed();
  }

  /** What is given back now that `buffers` are ready: all before which nothing else is missing. */
  #ordered(buffers: readonly Given[]): Given[] {
    const taken = this.#taken;
    for (const { chain, written } of buffers) {
      const entry = taken.find((one) => one.chain === chain);
      if (entry !== undefined) entry.written = written;
    }
    const firstMissing = taken.findIndex(({ written }) => written === undefined);
    const ready = taken.splice(0, firstMissing < 0 ? taken.length : firstMissing);
    return ready.map(({ chain, written = 0 }) => ({ chain, written }));
  }

  /** Leaves the buffer that was popped last in the queue, where it is popped again the next time. */
  putBack(chain: DescriptorChain): void {
    this.together(() => {
      if (this.#isUsable) this.#ring().untake(chain);
      if (this.#taken.at(-1)?.chain === chain) this.#taken.pop();
      this.#budget++;
      this.#landed();
    });
  }

  /** Gives back a buffer whose contents are such that the device has no answer: it needs a reset. */
  reject(_chain: DescriptorChain): void {
    this.together(() => {
      if (this.#owner.isLive) this.#fail(VirtqueueFault.contents);
      this.#landed();
    });
  }

  /** Gives back what was to be later, and interrupts the driver if it wants that for what it got. */
  signal(): void {
    const later = this.#later;
    if (!this.#isUnsignalled && later.length === 0) return;
    this.together(() => {
      if (later.length > 0) {
        this.#later = [];
        this.#give(later);
      }
      this.#isUnsignalled = false;
      if (this.#isUsable && this.#ring().wantsInterrupt()) this.#owner.interruptQueue(this.index);
    });
  }

  #landed(): void {
    this.#state.inFlight = Math.max(0, this.#state.inFlight - 1);
    if (this.#state.inFlight > 0) return;
    this.#taken.length = 0;
    this.#owner.isIdle(this.index);
  }

  #fail(fault: VirtqueueFault): void {
    this.#state.fault = fault;
    this.#owner.failed();
  }
}
