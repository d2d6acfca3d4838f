/**
 * The split virtqueue: a table of descriptors, a ring of what the driver has made available, a ring of
 * what the device has used. All three lie where the driver says, and everything in the first two is
 * its word alone.
 *
 * Available ring: flags (2), idx (2), ring of 2-byte heads, used_event (2). Used ring: flags (2),
 * idx (2), ring of {id (4), len (4)}, avail_event (2).
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.7 "Split Virtqueues".
 */

import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { alignUp } from "../../../hv/core/align.ts";
import { DescriptorChain, VirtqueueFault } from "./descriptor_chain.ts";
import { DESCRIPTOR_BYTES, readDescriptors } from "./descriptor_table.ts";
import type { Given, QueueRules, Ring } from "./ring.ts";
import { addressOf, liesInRam, type VirtqueueState } from "./virtqueue_state.ts";

const IDX = 2;
const RING = 4;
const HEAD_BYTES = 2;
const USED_BYTES = 8;
/** Available ring flags: the driver wants no interrupts. */
const AVAIL_NO_INTERRUPT = 1;
/** Used ring flags: the device wants no notifications. */
const USED_NO_NOTIFY = 1;
/** Alignments of the three parts (2.7). */
const DESCRIPTOR_ALIGNMENT = 16;
const AVAIL_ALIGNMENT = 2;
const USED_ALIGNMENT = 4;

const wrap = (index: number): number => index & 0xffff;

/** Pages of legacy queues, and what their used ring is aligned to (2.7.2). */
export const LEGACY_PAGE = 4096;

/** Offsets of the available and the used ring behind the table of a legacy queue (2.7.2). */
export function legacyRings(size: number): { driverArea: number; deviceArea: number } {
  const driverArea = size * DESCRIPTOR_BYTES;
  const end = driverArea + RING + size * HEAD_BYTES + 2;
  return { driverArea, deviceArea: alignUp(end, LEGACY_PAGE) };
}

/** See above. */
export class SplitRing implements Ring {
  readonly #state: VirtqueueState;
  readonly #memory: GuestMemory;
  readonly #rules: QueueRules;

  constructor(state: VirtqueueState, memory: GuestMemory, rules: QueueRules) {
    this.#state = state;
    this.#memory = memory;
    this.#rules = rules;
  }

  isPlaced(): boolean {
    const { size, descriptors, driverArea, deviceArea } = this.#state;
    const memory = this.#memory;
    return liesInRam(memory, descriptors, size * DESCRIPTOR_BYTES, DESCRIPTOR_ALIGNMENT) &&
      liesInRam(memory, driverArea, RING + size * HEAD_BYTES + 2, AVAIL_ALIGNMENT) &&
      liesInRam(memory, deviceArea, RING + size * USED_BYTES + 2, USED_ALIGNMENT);
  }

  start(): void {}

  hasAvailable(): boolean {
    return this.#available() !== this.#state.next;
  }

  take(): DescriptorChain | VirtqueueFault | undefined {
    const state = this.#state;
    const { size, next } = state;
    const waiting = wrap(this.#available() - next);
    if (waiting === 0) return undefined;
    if (waiting > size) return VirtqueueFault.availableIndex;
    const memory = this.#memory;
    const slot = next & (size - 1);
    const head = memory.readU16(addressOf(state.driverArea) + RING + slot * HEAD_BYTES);
    const chain = new DescriptorChain(memory);
    chain.id = head;
    const fault = readDescriptors(chain, {
      memory,
      table: addressOf(state.descriptors),
      entries: size,
      limit: this.#rules.maxSize,
      indirect: this.#rules.indirect,
    }, head);
    if (fault !== VirtqueueFault.none) return fault;
    state.next = wrap(next + 1);
    return chain;
  }

  untake(): void {
    this.#state.next = wrap(this.#state.next - 1);
  }

  give(buffers: readonly Given[]): void {
    const state = this.#state;
    const memory = this.#memory;
    const area = addressOf(state.deviceArea);
    const mask = state.size - 1;
    let { used } = state;
    for (const { chain, written } of buffers) {
      const at = area + RING + (used & mask) * USED_BYTES;
      memory.writeU32(at, chain.id);
      memory.writeU32(at + 4, written);
      used = wrap(used + 1);
    }
    state.used = used;
    // The elements are there before the index says so (2.7.8.2).
    memory.storeU16(area + IDX, used);
  }

  wantNotifications(): void {
    const state = this.#state;
    const used = addressOf(state.deviceArea);
    if (this.#rules.eventIndex) {
      this.#memory.storeU16(used + RING + state.size * USED_BYTES, state.next);
    } else if (state.quiet) {
      state.quiet = false;
      this.#memory.storeU16(used, 0);
    }
  }

  refuseNotifications(): void {
    const state = this.#state;
    // With an event index, the one of the last time lies behind and asks for none.
    if (this.#rules.eventIndex || state.quiet) return;
    state.quiet = true;
    this.#memory.storeU16(addressOf(state.deviceArea), USED_NO_NOTIFY);
  }

  wantsInterrupt(): boolean {
    const state = this.#state;
    const { used, signalled } = state;
    if (used === signalled) return false;
    state.signalled = used;
    const driver = addressOf(state.driverArea);
    if (!this.#rules.eventIndex) {
      return (this.#memory.loadU16(driver) & AVAIL_NO_INTERRUPT) === 0;
    }
    const event = this.#memory.loadU16(driver + RING + state.size * HEAD_BYTES);
    return wrap(used - event - 1) < wrap(used - signalled);
  }

  /** The driver's index; the ring is read after it. */
  #available(): number {
    return this.#memory.loadU16(addressOf(this.#state.driverArea) + IDX);
  }
}
