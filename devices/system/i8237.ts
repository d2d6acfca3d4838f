/**
 * 8237A DMA controllers of the AT: two chips, of which the first serves the byte-wide channels 0-3
 * and the second the word-wide channels 5-7, and the page registers that give address bits 16-23.
 *
 * References: Intel 8237A data sheet (order number 231466); IBM PC AT Technical Reference, "DMA";
 * Intel 82371SB (PIIX3) data sheet, "DMA registers".
 * Left out: memory-to-memory transfers (channel 0 is not wired for them in an AT); software requests,
 * which move nothing without a device; timing, priority and the sense of DREQ and DACK. Channels 0-3
 * work whatever the state of channel 4, through which they are cascaded, so that a kernel started
 * without firmware finds them in order.
 * Locking: whoever accesses registers holds the controllers' lock (the board gives it to the bus);
 * `DmaChannel` takes it itself. It comes after a device's lock and before those of interrupts.
 * Threats: the guest chooses any address and count. A transfer is bounded by 64 Ki units and touches
 * memory only through `GuestMemory`; where there is no RAM, reads give FFh and writes are dropped.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { bytes, bytesOf, flag, list, record, u16, u8 } from "../../hv/core/state/record.ts";

/** Registers of a chip, in units of its address step (1 for the first chip, 2 for the second). */
const Register = {
  /** R: status; W: command. */
  statusCommand: 8,
  /** W. */
  request: 9,
  /** W: one mask bit. */
  singleMask: 10,
  /** W. */
  mode: 11,
  /** W: any value. */
  clearBytePointer: 12,
  /** R: temporary register; W: master clear. */
  temporaryMasterClear: 13,
  /** W: any value. */
  clearMask: 14,
  /** W; readable in PIIX3. */
  allMask: 15,
} as const;

/** Command register. */
const COMMAND_DISABLE = 0x04;
/** Mode register, without the channel number. */
const MODE_TRANSFER = 0x0c;
const MODE_VERIFY = 0x00;
const MODE_WRITE_MEMORY = 0x04;
const MODE_READ_MEMORY = 0x08;
const MODE_AUTOINITIALIZE = 0x10;
const MODE_DECREMENT = 0x20;
const MODE_SELECT = 0xc0;
const MODE_CASCADE = 0xc0;

/** Offset from port 80h of the page register of channels 0-7 (that of 4 is the refresh page). */
const PAGE_OF_CHANNEL = [0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa] as const;

const ChannelState = record("i8237.channel", 1, {
  baseAddress: u16,
  baseCount: u16,
  /** In units: bytes, or words for channels 5-7. */
  currentAddress: u16,
  /** Units left, less one; FFFFh after the last. */
  currentCount: u16,
  /** Bits 7-2 of the mode register. */
  mode: u8,
});
type ChannelState = InstanceType<typeof ChannelState>;

const ChipState = record("i8237.chip", 1, {
  channels: list(ChannelState, 4),
  command: u8,
  /** Bit n: channel n reached terminal count since the status was last read. */
  terminalCount: u8,
  /** Bit n: the guest asks for channel n. */
  softwareRequest: u8,
  /** Bit n: the device on channel n asks. */
  deviceRequest: u8,
  mask: u8,
  /** The next byte of an address or count is its upper one. */
  upperByte: flag,
});
type ChipState = InstanceType<typeof ChipState>;

/** Both chips and the page registers. */
export const I8237State = record("i8237", 1, {
  chips: list(ChipState, 2),
  /** Ports 80h-8Fh. */
  pages: bytes(16),
});
/** A view of `I8237State`. */
export type I8237State = InstanceType<typeof I8237State>;

/** What became of a transfer. */
export interface DmaResult {
  /** Bytes that the channel took or gave: 0 while it is masked or programmed otherwise. */
  readonly done: number;
  /** The channel has reached terminal count: the TC pin was pulsed. */
  readonly terminalCount: boolean;
}

/** A device's end of a channel. */
export interface DmaChannel {
  /** Device to memory ("write transfer"; "verify" counts without storing). */
  toMemory(data: Uint8Array): DmaResult;
  /** Memory to device ("read transfer"). */
  fromMemory(data: Uint8Array): DmaResult;
  /** Bytes until terminal count; 0 while the channel is masked or its controller is off. */
  remaining(): number;
  /** The DREQ pin, which the status register shows. */
  request(level: boolean): void;
}

interface Collaborators {
  readonly state: I8237State;
  readonly memory: GuestMemory;
  /** The controllers' own lock. */
  readonly lock: Lock;
}

const NOTHING: DmaResult = { done: 0, terminalCount: false };

/** See above. All handlers take accesses of 1 byte. */
export class I8237 implements Device {
  /** Channels 0-3: 16 ports, 00h in an AT. */
  readonly first: IoHandler;
  /** Channels 4-7: 32 ports, C0h in an AT. */
  readonly second: IoHandler;
  /** 16 ports, 80h in an AT: those without a channel just keep what is written. */
  readonly pages: IoHandler;
  readonly #state: I8237State;
  readonly #memory: GuestMemory;
  readonly #lock: Lock;

  constructor({ state, memory, lock }: Collaborators) {
    this.#state = state;
    this.#memory = memory;
    this.#lock = lock;
    this.first = this.#handler(state.chips[0], 0);
    this.second = this.#handler(state.chips[1], 1);
    this.pages = {
      read: (offset) => state.pages[offset & 15],
      write: (offset, _size, value) => {
        state.pages[offset & 15] = value;
      },
    };
  }

  /** Power-on: as after a master clear, with the rest zero. */
  reset(): void {
    bytesOf(this.#state).fill(0);
    for (const chip of this.#state.chips) masterClear(chip);
  }

  /** The device's end of channel `number` (0-3, 5-7). */
  channel(number: number): DmaChannel {
    if (![0, 1, 2, 3, 5, 6, 7].includes(number)) {
      throw new RangeError(`Cannot use DMA channel ${number}: 0-3 and 5-7 are there`);
    }
    const chip = this.#state.chips[number >> 2];
    const bit = 1 << (number & 3);
    return {
      toMemory: (data) =>
        this.#lock.with(() => this.#transfer(number, data, MODE_WRITE_MEMORY, MODE_VERIFY)),
      fromMemory: (data) =>
        this.#lock.with(() => this.#transfer(number, data, MODE_READ_MEMORY, MODE_READ_MEMORY)),
      remaining: () =>
        this.#lock.with(() => {
          if (!runs(chip, number)) return 0;
          return (chip.channels[number & 3].currentCount + 1) << (number >> 2);
        }),
      request: (level) =>
        this.#lock.with(() => {
          chip.deviceRequest = level ? chip.deviceRequest | bit : chip.deviceRequest & ~bit;
        }),
    };
  }

  #transfer(number: number, data: Uint8Array, mode: number, otherMode: number): DmaResult {
    const chip = this.#state.chips[number >> 2];
    const channel = chip.channels[number & 3];
    const programmed = channel.mode & MODE_TRANSFER;
    if (!runs(chip, number) || (programmed !== mode && programmed !== otherMode)) return NOTHING;
    const shift = number >> 2;
    const units = Math.min(data.length >> shift, channel.currentCount + 1);
    if (units === 0) return NOTHING;
    if (programmed !== MODE_VERIFY) this.#move(number, channel, data, units);
    const step = channel.mode & MODE_DECREMENT ? -units : units;
    channel.currentAddress += step;
    const terminalCount = units === channel.currentCount + 1;
    channel.currentCount -= units;
    if (terminalCount) reachTerminalCount(chip, number & 3);
    return { done: units << shift, terminalCount };
  }

  /** Moves `units` of `data`; the 16-bit address wraps within the page. */
  #move(number: number, channel: ChannelState, data: Uint8Array, units: number): void {
    const shift = number >> 2;
    const unitBytes = 1 << shift;
    const page = this.#state.pages[PAGE_OF_CHANNEL[number]];
    // Word channels drive address bits 1-16, so bit 0 of their page is not used.
    const base = (shift === 0 ? page : page & 0xfe) << 16;
    const toMemory = (channel.mode & MODE_TRANSFER) === MODE_WRITE_MEMORY;
    const down = (channel.mode & MODE_DECREMENT) !== 0;
    for (let done = 0, at = channel.currentAddress; done < units;) {
      const run = down ? 1 : Math.min(units - done, 0x1_0000 - at);
      const address = base + at * unitBytes;
      this.#copy(
        address,
        data.subarray(done * unitBytes, (done + run) * unitBytes),
        toMemory,
      );
      done += run;
      at = (at + (down ? -1 : run)) & 0xffff;
    }
  }

  #copy(address: number, data: Uint8Array, toMemory: boolean): void {
    const view = this.#memory.view(address, data.length);
    if (view !== undefined) {
      if (toMemory) view.set(data);
      else data.set(view);
      return;
    }
    for (let i = 0; i < data.length; i++) {
      if (toMemory) this.#memory.writeU8(address + i, data[i]);
      else data[i] = this.#memory.readU8(address + i);
    }
  }

  #handler(chip: ChipState, shift: number): IoHandler {
    return {
      read: (offset) => readRegister(chip, (offset >> shift) & 15),
      write: (offset, _size, value) => writeRegister(chip, (offset >> shift) & 15, value & 0xff),
    };
  }
}

const runs = (chip: ChipState, number: number): boolean =>
  (chip.mask & (1 << (number & 3))) === 0 && (chip.command & COMMAND_DISABLE) === 0 &&
  (chip.channels[number & 3].mode & MODE_SELECT) !== MODE_CASCADE;

function reachTerminalCount(chip: ChipState, index: number): void {
  const channel = chip.channels[index];
  const bit = 1 << index;
  chip.terminalCount |= bit;
  chip.softwareRequest &= ~bit;
  if (channel.mode & MODE_AUTOINITIALIZE) {
    channel.currentAddress = channel.baseAddress;
    channel.currentCount = channel.baseCount;
  } else {
    chip.mask |= bit;
  }
}

/** 8237A, "Master Clear": as a hardware reset. Addresses, counts and modes stay. */
function masterClear(chip: ChipState): void {
  chip.command = 0;
  chip.terminalCount = 0;
  chip.softwareRequest = 0;
  chip.upperByte = false;
  chip.mask = 0x0f;
}

function readRegister(chip: ChipState, register: number): number {
  if (register < 8) {
    const { currentAddress, currentCount } = chip.channels[register >> 1];
    const value = register & 1 ? currentCount : currentAddress;
    const upper = chip.upperByte;
    chip.upperByte = !upper;
    return upper ? value >> 8 : value & 0xff;
  }
  switch (register) {
    case Register.statusCommand: {
      const status = chip.terminalCount | ((chip.deviceRequest | chip.softwareRequest) << 4);
      chip.terminalCount = 0;
      return status;
    }
    case Register.allMask:
      return 0xf0 | chip.mask;
    default:
      // The temporary register holds 0 as no memory-to-memory transfer was made.
      return 0;
  }
}

const withByte = (word: number, upper: boolean, byte: number): number =>
  upper ? (word & 0x00ff) | (byte << 8) : (word & 0xff00) | byte;

function writeRegister(chip: ChipState, register: number, value: number): void {
  if (register < 8) {
    const channel = chip.channels[register >> 1];
    const upper = chip.upperByte;
    chip.upperByte = !upper;
    // Each byte goes to the base and to the current register alike.
    if (register & 1) {
      channel.baseCount = withByte(channel.baseCount, upper, value);
      channel.currentCount = withByte(channel.currentCount, upper, value);
    } else {
      channel.baseAddress = withByte(channel.baseAddress, upper, value);
      channel.currentAddress = withByte(channel.currentAddress, upper, value);
    }
    return;
  }
  const bit = 1 << (value & 3);
  switch (register) {
    case Register.statusCommand:
      chip.command = value;
      break;
    case Register.request:
      if (value & 4) chip.softwareRequest |= bit;
      else chip.softwareRequest &= ~bit;
      break;
    case Register.singleMask:
      if (value & 4) chip.mask |= bit;
      else chip.mask &= ~bit;
      break;
    case Register.mode:
      chip.channels[value & 3].mode = value & 0xfc;
      break;
    case Register.clearBytePointer:
      chip.upperByte = false;
      break;
    case Register.temporaryMasterClear:
      masterClear(chip);
      break;
    case Register.clearMask:
      chip.mask = 0;
      break;
    case Register.allMask:
      chip.mask = value & 0x0f;
      break;
  }
}
