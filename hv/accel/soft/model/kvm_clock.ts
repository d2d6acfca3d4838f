/**
 * KVM's paravirtual clock, so that guests know the time without asking a device, at whatever rate the
 * time-stamp counter goes: a page of the guest's memory for each processor says what to make of its
 * counter, another structure what the time of day was when the clock began.
 *
 * References: the kernel's Documentation/virt/kvm/x86/msr.rst (MSR_KVM_WALL_CLOCK_NEW,
 * MSR_KVM_SYSTEM_TIME_NEW and their old numbers), cpuid.rst.
 *
 * The counter is the machine's time plus an offset, so that a page changes only where the guest moves
 * its counter or the clock is set. Addresses that are not aligned RAM are never written to.
 */

import type { RamWords } from "../memory/ram_words.ts";
import type { SoftState } from "../state/state.ts";
import { type TimeSource, TSC_HZ } from "./time_stamp.ts";

/** EBX, ECX and EDX of CPUID leaf 40000000h. */
export const KVM_SIGNATURE = "KVMKVMKVM\0\0\0";

/** Where the guest asks for the time of day at which the clock began. */
export const MSR_KVM_WALL_CLOCK = 0x11;
/** Where the processor's page is; bit 0: it is to be kept. */
export const MSR_KVM_SYSTEM_TIME = 0x12;
export const MSR_KVM_WALL_CLOCK_NEW = 0x4b56_4d00;
export const MSR_KVM_SYSTEM_TIME_NEW = 0x4b56_4d01;

/** The feature that each of them comes with. */
export const KVM_CLOCK_MSRS: ReadonlyMap<number, string> = new Map([
  [MSR_KVM_WALL_CLOCK, "kvmclock"],
  [MSR_KVM_SYSTEM_TIME, "kvmclock"],
  [MSR_KVM_WALL_CLOCK_NEW, "kvmclock2"],
  [MSR_KVM_SYSTEM_TIME_NEW, "kvmclock2"],
]);

/** Name and length of the clock's saved form, KVM's `struct kvm_clock_data`: the time comes first. */
export const KVM_CLOCK_BLOB = "kvm.clock";
const CLOCK_BLOB_BYTES = 48;

/** The saved form of a clock that shows `ns`. */
export function clockBlob(ns: bigint): Uint8Array {
  const blob = new Uint8Array(CLOCK_BLOB_BYTES);
  new DataView(blob.buffer).setBigUint64(0, ns, true);
  return blob;
}

/** What a clock shows, ns. @throws {Error} for a blob of another length */
export function clockOf({ buffer, byteOffset, byteLength }: Uint8Array): bigint {
  if (byteLength !== CLOCK_BLOB_BYTES) {
    throw new Error(
      `Cannot restore ${KVM_CLOCK_BLOB}: it has ${byteLength} bytes, ${CLOCK_BLOB_BYTES} are required`,
    );
  }
  return new DataView(buffer, byteOffset).getBigUint64(0, true);
}

const ENABLED = 1n;
/** Words of `pvclock_vcpu_time_info` and of `pvclock_wall_clock`. */
const PAGE_WORDS = 8;
const WALL_CLOCK_WORDS = 3;
/** Nanoseconds = (ticks << SHIFT) * MULTIPLIER >> 32. */
const SHIFT = 1;
const MULTIPLIER = 0x8000_0000;
/** In `flags`: what one processor reads is never behind what another one has read. */
const PVCLOCK_TSC_STABLE_BIT = 1 << 0;

if (TSC_HZ !== 1e9) throw new Error("The page says that a tick is a nanosecond");

/** What the clock is made of. */
export interface KvmClockParts {
  readonly state: SoftState;
  readonly time: TimeSource;
  /** Nanoseconds by which it is ahead of the machine's time, for all processors. */
  readonly aheadNs: Float64Array;
  readonly ram: RamWords;
  /** Do the counters of all processors agree? */
  readonly isStable: () => boolean;
}

/** A processor's end of the clock. */
export class KvmClock {
  readonly #parts: KvmClockParts;
  readonly #words = new Int32Array(PAGE_WORDS);
  readonly #wide = new BigUint64Array(this.#words.buffer);
  readonly #bytes = new DataView(this.#words.buffer);

  constructor(parts: KvmClockParts) {
    this.#parts = parts;
  }

  /** RDMSR of one of `KVM_CLOCK_MSRS`. */
  read(index: number): bigint {
    const { state } = this.#parts;
    return isWall(index) ? state.kvmWallClock : state.kvmSystemTime;
  }

  /** WRMSR of one of them. */
  write(index: number, value: bigint): void {
    this.restore(index, value);
    if (isWall(index)) this.#writeWallClock(value);
    else this.publish();
  }

  /** Sets one of them as a restored state has it, without writing to the guest's memory. */
  restore(index: number, value: bigint): void {
    const { state } = this.#parts;
    if (isWall(index)) state.kvmWallClock = value;
    else state.kvmSystemTime = value;
  }

  /** Brings the processor's page up to date; nothing where the guest wants none. */
  publish(): void {
    const { state, aheadNs, ram, isStable } = this.#parts;
    if ((state.kvmSystemTime & ENABLED) === 0n) return;
    const address = Number(state.kvmSystemTime & ~ENABLED);
    if (!ram.areRam(address, PAGE_WORDS)) return;
    // The machine's time is the counter less its offset.
    this.#wide[1] = state.tscOffset;
    this.#wide[2] = BigInt.asUintN(64, BigInt(Math.trunc(aheadNs[0])));
    this.#words[6] = MULTIPLIER | 0;
    this.#bytes.setInt8(28, SHIFT);
    this.#bytes.setUint8(29, isStable() ? PVCLOCK_TSC_STABLE_BIT : 0);
    this.#publish(address, this.#words);
  }

  #writeWallClock(value: bigint): void {
    const { time, aheadNs, ram } = this.#parts;
    const address = Number(value);
    if (!ram.areRam(address, WALL_CLOCK_WORDS)) return;
    // More digits than a number has.
    const begunNs = BigInt(time.wallMs()) * 1_000_000n -
      BigInt(Math.trunc(time.nowNs() + aheadNs[0]));
    const seconds = begunNs / 1_000_000_000n;
    this.#publish(address, [0, Number(seconds) | 0, Number(begunNs % 1_000_000_000n)]);
  }

  /** Whoever reads between the two sees an odd version, and comes again. */
  #publish(address: number, words: ArrayLike<number>): void {
    const { ram } = this.#parts;
    const odd = ram.load(address) | 1;
    ram.store(address, [odd]);
    ram.store(address + 4, Array.prototype.slice.call(words, 1));
    ram.store(address, [odd + 1]);
  }
}

const isWall = (index: number): boolean =>
  index === MSR_KVM_WALL_CLOCK || index === MSR_KVM_WALL_CLOCK_NEW;
