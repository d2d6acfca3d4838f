/**
 * The 8254 in the form that KVM gives and takes (`struct kvm_pit_state2`), with the part of port 61h
 * that KVM holds: the gate of channel 2 is a channel's, the speaker's data bit a flag.
 *
 * KVM starts every count anew when it takes a state, whatever the time of loading in it says; so does
 * `restoreI8254`.
 */

import { list, record, u16, u32, u32s, u64, u8 } from "../../hv/core/state/record.ts";
import { type I8254, type I8254State, PIT_HZ } from "./i8254.ts";
import type { CounterState } from "./i8254_counter.ts";
import { sizedCopy } from "../interrupts/kvm_irqchip.ts";

const kvm_pit_channel_state = record("kvm_pit_channel_state", 1, {
  /** 1 to 65536; 0 is 65536 too. */
  count: u32,
  latched_count: u16,
  /** What is left to be read of the latched count: one of `Bytes`. */
  count_latched: u8,
  status_latched: u8,
  status: u8,
  /** What is read or written next: one of `Bytes`. */
  read_state: u8,
  write_state: u8,
  write_latch: u8,
  /** Bits RW1 and RW0 of the control word. */
  rw_mode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
  /** Host time, ns. */
  count_load_time: u64,
});
type KvmChannel = InstanceType<typeof kvm_pit_channel_state>;

const kvm_pit_state2 = record("kvm_pit_state2", 1, {
  channels: list(kvm_pit_channel_state, 3),
  flags: u32,
  reserved: u32s(9),
});
/** Bits of `flags`. */
const HPET_LEGACY = 1;
const SPEAKER_DATA_ON = 2;

/** Which byte is next: low or high alone, or the first or second of both. */
const Bytes = { low: 1, high: 2, first: 3, second: 4 } as const;
/** `CounterState.access` for both bytes. */
const BOTH = 3;
/** What KVM has for the mode of a channel that was never programmed. */
const NO_MODE = 0xff;

/** What KVM's form has beside the chip. */
export interface PitSurroundings {
  /** Bit 1 of port 61h; bit 0 is the gate of channel 2. */
  readonly speakerData: boolean;
  /** The HPET has taken the place of channel 0: its interrupt is cut off. */
  readonly disconnected: boolean;
}

/** The blob. */
export function saveI8254(state: I8254State, surroundings: PitSurroundings): Uint8Array {
  const blob = new Uint8Array(kvm_pit_state2.byteLength);
  const kvm = new kvm_pit_state2(blob.buffer);
  for (const [i, counter] of state.counters.entries()) saveCounter(counter, kvm.channels[i]);
  kvm.flags = (surroundings.speakerData ? SPEAKER_DATA_ON : 0) |
    (surroundings.disconnected ? HPET_LEGACY : 0);
  return blob;
}

/**
 * The reverse of `saveI8254`; the chip's line and timer follow.
 *
 * @throws {Error} For a blob of the wrong length.
 */
export function restoreI8254(
  pit: I8254,
  state: I8254State,
  blob: Uint8Array,
): PitSurroundings {
  const kvm = new kvm_pit_state2(sizedCopy("8254", blob, kvm_pit_state2.byteLength).buffer);
  for (const [i, counter] of state.counters.entries()) {
    restoreCounter(counter, kvm.channels[i], pit.tick);
  }
  pit.refresh();
  return {
    speakerData: (kvm.flags & SPEAKER_DATA_ON) !== 0,
    disconnected: (kvm.flags & HPET_LEGACY) !== 0,
  };
}

function saveCounter(s: CounterState, kvm: KvmChannel): void {
  const first = s.access === BOTH ? Bytes.first : s.access;
  kvm.count = (s.takeOverTick === 0 && s.running ? s.count : s.register) || 0x1_0000;
  kvm.latched_count = s.latch.count;
  // A count of two bytes whose low one has been read.
  const half = s.access === BOTH && s.latch.left === 1;
  kvm.count_latched = s.latch.left === 0 ? 0 : half ? Bytes.high : first;
  kvm.status_latched = s.latch.statusHeld ? 1 : 0;
  kvm.status = s.latch.status;
  kvm.read_state = s.access === BOTH && s.readHigh && !half ? Bytes.second : first;
  kvm.write_state = s.access === BOTH && s.writeHigh ? Bytes.second : first;
  kvm.write_latch = s.lowByte;
  kvm.rw_mode = s.access;
  // KVM starts a count in any other.
  kvm.mode = s.programmed ? s.mode : NO_MODE;
  kvm.bcd = s.bcd ? 1 : 0;
  kvm.gate = s.gate ? 1 : 0;
  kvm.count_load_time = BigInt(Math.max(0, Math.round(s.startTick * 1e9 / PIT_HZ)));
}

function restoreCounter(s: CounterState, kvm: KvmChannel, tick: number): void {
  const mode = kvm.mode === NO_MODE ? 3 : kvm.mode & 7;
  s.mode = mode > 5 ? mode - 4 : mode;
  s.programmed = kvm.mode !== NO_MODE;
  s.bcd = kvm.bcd !== 0;
  s.access = kvm.rw_mode & 3 || BOTH;
  s.writeHigh = kvm.write_state === Bytes.second;
  s.lowByte = kvm.write_latch;
  s.gate = kvm.gate !== 0;
  s.count = s.register = countOf(kvm.count, s.bcd);
  s.startTick = tick;
  s.pausedTicks = s.takeOverTick = 0;
  s.running = kvm.mode !== NO_MODE;
  s.paused = s.running && (s.mode === 0 || s.mode === 4) && !s.gate;
  s.nullCount = !s.running;
  s.latch.count = kvm.latched_count;
  s.latch.left = kvm.count_latched === 0 ? 0 : kvm.count_latched === Bytes.first ? 2 : 1;
  s.latch.statusHeld = kvm.status_latched !== 0;
  s.latch.status = kvm.status;
  s.readHigh = s.access === BOTH &&
    (s.latch.left === 0 ? kvm.read_state === Bytes.second : s.latch.left === 1);
}

/** KVM keeps what was written, 0 as 65536; the chip's BCD 0 is 10000. */
function countOf(count: number, bcd: boolean): number {
  const limit = bcd ? 10_000 : 0x1_0000;
  return count === 0 || count > limit ? limit : count;
}
