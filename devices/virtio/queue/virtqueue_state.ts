/**
 * The state of a virtqueue: where the driver has put it, and how far the device is.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 2.6 "Virtqueues", 4.1.4.3 (the registers).
 */

import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { flag, record, u16, u32, u32s, u8 } from "../../../hv/core/state/record.ts";

/** See above. */
export const VirtqueueState = record("virtqueue", 2, {
  /** Entries, as the driver has chosen. */
  size: u16,
  enabled: flag,
  /** The device has told the driver not to notify. */
  quiet: flag,
  /** A reset of the queue alone waits for buffers in flight. */
  resetting: flag,
  /** Wrap counters of `next` and `used`, in a packed ring. */
  nextWrap: flag,
  usedWrap: flag,
  /** One of `VirtqueueFault`: why the device needs a reset. */
  fault: u8,
  /** Index of the buffer that the device takes next; in a packed ring a position. */
  next: u16,
  /** Index of the buffer that the device gives back next. */
  used: u16,
  /** `used` when the driver was last looked at for whether it wants an interrupt. */
  signalled: u16,
  /** Chains that have been taken and not been given back. */
  inFlight: u32,
  /** Guest-physical addresses, low and high half. */
  descriptors: u32s(2),
  driverArea: u32s(2),
  deviceArea: u32s(2),
});
/** A view of `VirtqueueState`. */
export type VirtqueueState = InstanceType<typeof VirtqueueState>;

/** An address from its halves; beyond 2^53 it is rounded, and no RAM. */
export const addressOf = (halves: Uint32Array): number => halves[0] + halves[1] * 2 ** 32;

/** The reverse of `addressOf`. */
export function setAddress(halves: Uint32Array, address: number): void {
  halves[0] = address % 2 ** 32;
  halves[1] = Math.floor(address / 2 ** 32);
}

/** Does a part of a queue, whose address is in `halves`, lie in RAM, aligned as it has to be? */
export function liesInRam(
  memory: GuestMemory,
  halves: Uint32Array,
  length: number,
  alignment: number,
): boolean {
  const address = addressOf(halves);
  return address % alignment === 0 && memory.offsetOf(address, length) >= 0;
}

/** A queue's state to what it is before a driver sets it up. */
export function resetVirtqueue(state: VirtqueueState, maxSize: number): void {
  state.size = maxSize;
  state.enabled = false;
  state.quiet = false;
  state.resetting = false;
  state.nextWrap = false;
  state.usedWrap = false;
  state.fault = 0;
  state.next = 0;
  state.used = 0;
  state.signalled = 0;
  state.inFlight = 0;
  state.descriptors.fill(0);
  state.driverArea.fill(0);
  state.deviceArea.fill(0);
}
