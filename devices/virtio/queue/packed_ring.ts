/**
 * The packed virtqueue: one ring of descriptors, which the driver makes available and in which the
 * device writes what it has used, each round with the other value of a wrap counter; and two small
 * structures that say when the other side wants to hear of it.
 *
 * A descriptor has 16 bytes: address (8), length (4), buffer id (2), flags (2). An event suppression
 * structure has 4: offset and wrap counter (2), flags (2).
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.8 "Packed Virtqueues".
 */

import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { DescriptorChain, VirtqueueFault } from "./descriptor_chain.ts";
import { DESCRIPTOR_BYTES, DescriptorFlag } from "./descriptor_table.ts";
import type { Given, QueueRules, Ring } from "./ring.ts";
import { addressOf, liesInRam, type VirtqueueState } from "./virtqueue_state.ts";

const LENGTH = 8;
const ID = 12;
const FLAGS = 14;
/** Flags beside those of every descriptor (2.8.1). */
const AVAIL = 1 << 7;
const USED = 1 << 15;
/** Event suppression: its flags' offset, and their values (2.8.10). */
const EVENT_FLAGS = 2;
const EVENT_BYTES = 4;
const RingEvent = { ENABLE: 0, DISABLE: 1, DESC: 2 } as const;
/** The wrap counter beside a position. */
const WRAP = 1 << 15;

const wrap16 = (index: number): number => index & 0xffff;

/** See above. */
export class PackedRing implements Ring {
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
    return liesInRam(memory, descriptors, size * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES) &&
      liesInRam(memory, driverArea, EVENT_BYTES, EVENT_BYTES) &&
      liesInRam(memory, deviceArea, EVENT_BYTES, EVENT_BYTES);
  }

  start(): void {
    const state = this.#state;
    state.nextWrap = true;
    state.usedWrap = true;
    state.signalled = WRAP;
  }

  hasAvailable(): boolean {
    const { next, nextWrap } = this.#state;
    const flags = this.#memory.loadU16(this.#at(next) + FLAGS);
    return ((flags & AVAIL) !== 0) === nextWrap && ((flags & USED) !== 0) !== nextWrap;
  }

  take(): DescriptorChain | VirtqueueFault | undefined {
    if (!this.hasAvailable()) return undefined;
    const state = this.#state;
    const memory = this.#memory;
    const { size } = state;
    const chain = new DescriptorChain(memory);
    for (let count = 0; count < size; count++) {
      const at = this.#at((state.next + count) % size);
      const flags = memory.readU16(at + FLAGS);
      const hasNext = (flags & DescriptorFlag.NEXT) !== 0;
      const fault = (flags & DescriptorFlag.INDIRECT) !== 0
        ? this.#readIndirect(chain, at, count > 0 || hasNext)
        : this.#read(chain, at, flags);
      if (fault !== VirtqueueFault.none) return fault;
      if (hasNext) continue;
      // The last one has the buffer's id (2.8.6).
      chain.id = memory.readU16(at + ID);
      chain.descriptors = count + 1;
      this.#skip(chain.descriptors);
      return chain;
    }
    return VirtqueueFault.chainLength;
  }

  untake({ descriptors }: DescriptorChain): void {
    const state = this.#state;
    if (state.next < descriptors) {
      state.nextWrap = !state.nextWrap;
      state.next += state.size;
    }
    state.next -= descriptors;
  }

  #read(chain: DescriptorChain, at: number, flags: number): VirtqueueFault {
    const memory = this.#memory;
    const address = memory.readU32(at) + memory.readU32(at + 4) * 2 ** 32;
    return chain.add(
      address,
      memory.readU32(at + LENGTH),
      (flags & DescriptorFlag.WRITE) !== 0,
    );
  }

  /** A table's descriptors stand one after the other; of their flags one has a meaning (2.8.7). */
  #readIndirect(chain: DescriptorChain, at: number, isLinked: boolean): VirtqueueFault {
    const memory = this.#memory;
    const table = memory.readU32(at) + memory.readU32(at + 4) * 2 ** 32;
    const length = memory.readU32(at + LENGTH);
    const entries = length / DESCRIPTOR_BYTES;
    if (!this.#rules.indirect || isLinked || entries === 0 || !Number.isInteger(entries)) {
      return VirtqueueFault.indirect;
    }
    if (memory.offsetOf(table, length) < 0) return VirtqueueFault.bufferAddress;
    if (entries > this.#rules.maxSize) return VirtqueueFault.chainLength;
    for (let i = 0; i < entries; i++) {
      const entry = table + i * DESCRIPTOR_BYTES;
      const fault = this.#read(chain, entry, memory.readU16(entry + FLAGS));
      if (fault !== VirtqueueFault.none) return fault;
    }
    return VirtqueueFault.none;
  }

  give(buffers: readonly Given[]): void {
    const places = buffers.map((buffer) => this.#put(buffer));
    // All else is there before the flags say so, and the driver looks at the first flags before all
    // others (2.8.9).
    for (const { at, flags } of places.reverse()) this.#memory.storeU16(at + FLAGS, flags);
  }

  /** All of a used descriptor but its flags, which it gives. */
  #put({ chain, written }: Given): { at: number; flags: number } {
    const state = this.#state;
    const memory = this.#memory;
    const at = this.#at(state.used);
    memory.writeU32(at + LENGTH, written);
    memory.writeU16(at + ID, chain.id);
    const flags = (state.usedWrap ? AVAIL | USED : 0) | (written > 0 ? DescriptorFlag.WRITE : 0);
    const used = state.used + chain.descriptors;
    if (used >= state.size) state.usedWrap = !state.usedWrap;
    state.used = used % state.size;
    return { at, flags };
  }

  wantNotifications(): void {
    const state = this.#state;
    const area = addressOf(state.deviceArea);
    if (this.#rules.eventIndex) {
      this.#memory.storeU16(area, state.next | (state.nextWrap ? WRAP : 0));
      this.#memory.storeU16(area + EVENT_FLAGS, RingEvent.DESC);
    } else if (state.quiet) {
      this.#memory.storeU16(area + EVENT_FLAGS, RingEvent.ENABLE);
    }
    state.quiet = false;
  }

  refuseNotifications(): void {
    const state = this.#state;
    if (state.quiet) return;
    state.quiet = true;
    this.#memory.storeU16(addressOf(state.deviceArea) + EVENT_FLAGS, RingEvent.DISABLE);
  }

  wantsInterrupt(): boolean {
    const state = this.#state;
    const { used, usedWrap, size, signalled } = state;
    const now = used | (usedWrap ? WRAP : 0);
    if (now === signalled) return false;
    state.signalled = now;
    const area = addressOf(state.driverArea);
    const flags = this.#memory.loadU16(area + EVENT_FLAGS) & 3;
    if (flags !== RingEvent.DESC || !this.#rules.eventIndex) return flags !== RingEvent.DISABLE;
    // Positions of the round before count from below zero.
    const place = (event: number) =>
      (event & ~WRAP) - (((event & WRAP) !== 0) === usedWrap ? 0 : size);
    const event = place(this.#memory.loadU16(area));
    return wrap16(used - event - 1) < wrap16(used - place(signalled));
  }

  #at(position: number): number {
    return addressOf(this.#state.descriptors) + position * DESCRIPTOR_BYTES;
  }

  #skip(descriptors: number): void {
    const state = this.#state;
    const next = state.next + descriptors;
    if (next >= state.size) state.nextWrap = !state.nextWrap;
    state.next = next % state.size;
  }
}
