/** A guest's way to its device's registers, good and bad. */

import type { Random } from "../../../../support/random.ts";

/** Where a queue's three parts are. */
export interface QueuePlace {
  readonly size: number;
  readonly descriptors: number;
  readonly driverArea: number;
  readonly deviceArea: number;
}

/** See above. */
export interface GuestTransport {
  /** Is it the interface of before virtio 1.0? */
  readonly isLegacy: boolean;
  /** Brings the registers to where this driver expects them, whatever has been done to them. */
  place(random: Random): void;
  /** The device status field. */
  status: number;
  /** Feature bits that the device offers, 32 at a time. */
  offered(word: number): number;
  accept(word: number, bits: number): void;
  setQueue(index: number, place: QueuePlace): void;
  enableQueue(index: number): void;
  resetQueue(index: number): void;
  notify(index: number): void;
  /** Tells the device that an interrupt has been seen. */
  acknowledge(): void;
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
  /** An access to any of its registers; what it read, else 0. */
  scribble(random: Random): number;
}

/** Numbers that are read where others are expected, and any. */
export function anyValue(random: Random, size: number): number {
  const likely = [0, 1, 2, 3, 8, 0xf, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x8000_0000, 0xffff_ffff];
  const value = random.chance(60) ? random.pick(likely) : random.u32();
  return size === 4 ? value : value % 2 ** (8 * size);
}
