/** Registers and state of the DP8390, by the names of its data sheet (see dp8390.ts). */

import { bytes, flag, record, u16, u16s, u8 } from "../../../hv/core/state/record.ts";

/** Where the memory is in the chip's address space. */
export const RAM_BASE = 0x4000;
/** Its size: 16 KiB on a 16-bit card. */
export const RAM_BYTES = 0x4000;
/** Longest frame without check sequence, with a VLAN tag. */
export const LONGEST_BYTES = 1518;
/** Frames that are on their way to the I/O worker, which may be slower than a wire, at most. */
export const UNDER_WAY = 8;

/** Command register (all pages, port 0). */
export const Cr = { STP: 1, STA: 2, TXP: 4, RD_READ: 8, RD_WRITE: 0x10, RD_ABORT: 0x20 } as const;
/** Interrupt status and mask (ISR, IMR). */
export const Isr = { PRX: 1, PTX: 2, RDC: 0x40, RST: 0x80 } as const;
/** Data configuration register. */
export const Dcr = { WTS: 1, LAS: 4 } as const;
/** Transmit configuration register. */
export const Tcr = { LB: 6 } as const;
/** Receive configuration register. */
export const Rcr = { SEP: 1, AR: 2, AB: 4, AM: 8, PRO: 0x10, MON: 0x20 } as const;
/** Transmit status register. */
export const Tsr = { PTX: 1, CRS: 0x10 } as const;
/** Receive status register, and the status in front of a frame. */
export const Rsr = { PRX: 1, PHY: 0x20 } as const;

/** State of the chip and its memory. */
export const Dp8390State = record("dp8390", 1, {
  ram: bytes(RAM_BYTES),
  /** Physical address (PAR0-5) and hash table of group addresses (MAR0-7). */
  par: bytes(6),
  mar: bytes(8),
  cr: u8,
  pstart: u8,
  pstop: u8,
  bnry: u8,
  curr: u8,
  tpsr: u8,
  isr: u8,
  imr: u8,
  dcr: u8,
  tcr: u8,
  rcr: u8,
  tsr: u8,
  rsr: u8,
  /** Bytes to transmit. */
  tbcr: u16,
  /** Address and bytes that are left of a remote DMA. */
  rsar: u16,
  rbcr: u16,
  /** Frames that have been transmitted and not been fetched: a ring of them, with their lengths. */
  frames: bytes(UNDER_WAY * LONGEST_BYTES),
  lengths: u16s(UNDER_WAY),
  firstFrame: u8,
  frameCount: u8,
  /** A frame waits for room in the ring. */
  isStarved: flag,
  /** Who has the cable out: bits of `Unplugged`. */
  unplugged: u8,
});
/** A view of `Dp8390State`. */
export type Dp8390State = InstanceType<typeof Dp8390State>;
