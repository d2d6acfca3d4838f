/**
 * Bus master of an IDE controller: moves the data of DMA commands between the drives of two channels
 * and guest memory, along a table of physical regions (PRDs) in guest memory. Its sixteen registers lie
 * wherever the PCI function's base address 4 (BMIBA) says.
 *
 * Programming Interface for Bus Master IDE Controller, rev. 1.0 (Intel, 1994); 82371SB (PIIX3) data
 * sheet, section 2.7. The direction is the drive's; RWCON is stored and not obeyed.
 *
 * Threats: the table and its regions are the guest's. Each descriptor is read once, checked by
 * GuestMemory, and moves at least two bytes of a chunk of at most 128 KiB, so an endless table costs
 * no more than its command. An address without RAM sets Error and fails the command.
 *
 * Lock: the controller's (see ide_channel.ts).
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import { flag, list, record, u32, u8 } from "../../hv/core/state/record.ts";
import type { IdeChannel } from "./ide_channel.ts";

/** Offsets within a channel's eight registers; the secondary channel's follow at 08h. */
/** 00h, R/W: BMICX, command. */
const BMIC = 0;
/** 02h, R/WC: BMISX, status. */
const BMIS = 2;
/** 04h, R/W, 32 bits: BMIDTPX, address of the table. */
const BMIDTP = 4;
const CHANNEL_BYTES = 8;

/** BMIC: start; stopping forgets the place in the table. */
const SSBM = 0x01;
/** BMIC: the bus master writes to memory. */
const RWCON = 0x08;
/** BMIS: under way (read only). */
const BMIDEA = 0x01;
/** BMIS: a region or the table was not in memory (write 1 to clear). */
const DMA_ERROR = 0x02;
/** BMIS: the channel has interrupted (write 1 to clear). */
const IDEINTS = 0x04;
/** BMIS: drive 0 and 1 are set up for DMA: notes of the firmware for the driver. */
const CAPABLE = 0x60;

const DESCRIPTOR_BYTES = 8;
/** Last word of a descriptor: the table ends here. */
const END_OF_TABLE = 0x8000_0000;
/** Byte count of a descriptor: even, and 0 stands for 64 KiB. */
const COUNT_MASK = 0xfffe;

const BusMasterChannelState = record("ide.bus_master.channel", 1, {
  command: u8,
  status: u8,
  table: u32,
  /** Address of the descriptor to be read next. */
  next: u32,
  /** Where the region under way goes on, how many of its bytes are left, and whether it is the last. */
  address: u32,
  left: u32,
  last: flag,
});
type BusMasterChannelState = InstanceType<typeof BusMasterChannelState>;

/** Shared by all threads. */
export const IdeBusMasterState = record("ide.bus_master", 1, {
  channels: list(BusMasterChannelState, 2),
});
/** A view of `IdeBusMasterState`. */
export type IdeBusMasterState = InstanceType<typeof IdeBusMasterState>;

/** See above. Sixteen ports, widths 1 to 4. */
export class IdeBusMaster implements Device, IoHandler {
  /** May the controller be bus master (command bit 2 of its PCI function)? The board says. */
  mayMaster: () => boolean = () => true;
  readonly #state: IdeBusMasterState;
  readonly #memory: GuestMemory;
  readonly #channels: readonly [IdeChannel, IdeChannel];

  constructor(
    state: IdeBusMasterState,
    memory: GuestMemory,
    channels: readonly [primary: IdeChannel, secondary: IdeChannel],
  ) {
    this.#state = state;
    this.#memory = memory;
    this.#channels = channels;
    channels.forEach((channel, i) => {
      channel.onInterrupt = () => state.channels[i].status |= IDEINTS;
      channel.onDma = () => this.#pump(i);
    });
  }

  reset(): void {
    for (const channel of this.#state.channels) {
      channel.command = channel.status = 0;
      channel.table =
        channel.next =
        channel.address =
        channel.left =
          0;
      channel.last = false;
    }
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#readByte((offset + i) & 15) * 2 ** (i * 8);
    return value;
  }

  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.#writeByte((offset + i) & 15, (value >>> (i * 8)) & 0xff);
  }

  #readByte(offset: number): number {
    const channel = this.#state.channels[offset >> 3];
    const register = offset % CHANNEL_BYTES;
    if (register === BMIC) return channel.command;
    if (register === BMIS) return channel.status;
    return register >= BMIDTP ? (channel.table >>> ((register - BMIDTP) * 8)) & 0xff : 0;
  }

  #writeByte(offset: number, value: number): void {
    const channel = this.#state.channels[offset >> 3];
    const register = offset % CHANNEL_BYTES;
    if (register === BMIC) {
      this.#command(offset >> 3, value);
    } else if (register === BMIS) {
      const kept = channel.status & ~value & (DMA_ERROR | IDEINTS);
      channel.status = (channel.status & BMIDEA) | kept | (value & CAPABLE);
    } else if (register >= BMIDTP) {
      const shift = (register - BMIDTP) * 8;
      // Bits 1:0 are hard-wired to zero.
      channel.table = ((channel.table & ~(0xff << shift)) | (value << shift)) & ~3;
    }
  }

  #command(index: number, value: number): void {
    const channel = this.#state.channels[index];
    const changed = channel.command ^ value;
    channel.command = value & (SSBM | RWCON);
    if ((changed & SSBM) === 0) return;
    if ((value & SSBM) === 0) {
      channel.status &= ~BMIDEA;
      return;
    }
    channel.status |= BMIDEA;
    channel.next = channel.table;
    channel.left = 0;
    channel.last = false;
    this.#pump(index);
  }

  /** It may be bus master now: goes on with what has waited for that. Under the controller's lock. */
  resume(): void {
    for (const index of this.#channels.keys()) this.#pump(index);
  }

  /** Moves what a drive offers as long as there are both data and regions. */
  #pump(index: number): void {
    const channel = this.#state.channels[index];
    const drive = this.#channels[index].dmaDrive;
    if (drive === undefined) return;
    for (;;) {
      const window = drive.dmaWindow;
      if (window === undefined || (channel.status & BMIDEA) === 0 || !this.mayMaster()) return;
      const region = this.#region(channel, window.length);
      if (region === undefined) {
        channel.status = (channel.status & ~BMIDEA) | DMA_ERROR;
        drive.dmaFailed();
        return;
      }
      if (drive.dmaToHost) region.set(window.subarray(0, region.length));
      else window.set(region);
      channel.address += region.length;
      channel.left -= region.length;
      if (channel.left === 0 && channel.last) channel.status &= ~BMIDEA;
      drive.dmaMoved(region.length);
    }
  }

  /** At most `most` bytes of guest memory that are next, or undefined where there is no memory. */
  #region(channel: BusMasterChannelState, most: number): Uint8Array | undefined {
    const memory = this.#memory;
    if (channel.left === 0) {
      const descriptor = channel.next;
      if (memory.offsetOf(descriptor, DESCRIPTOR_BYTES) < 0) return undefined;
      const word = memory.readU32(descriptor + 4);
      channel.address = memory.readU32(descriptor) & ~1;
      channel.left = (word & COUNT_MASK) || 0x10000;
      channel.last = (word & END_OF_TABLE) !== 0;
      channel.next = descriptor + DESCRIPTOR_BYTES;
    }
    return memory.view(channel.address, Math.min(channel.left, most));
  }
}
