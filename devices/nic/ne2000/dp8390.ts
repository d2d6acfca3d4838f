/**
 * National Semiconductor DP8390: the Ethernet controller of the NE2000 and its many relatives. It keeps
 * frames in a memory of its own, in a ring of pages of 256 bytes; programs reach that memory by the
 * "remote" DMA, byte by byte through a port.
 *
 * Register accesses come from any virtual processor, under the card's lock; `fetch` and `receive` from
 * the I/O worker, under it, too.
 *
 * Left out: what happens on a real wire (collisions, errors, the counters of them), the send-packet
 * command. A ring without room makes the network wait, where a real chip loses frames (OVW).
 *
 * Threats: every register. Addresses wrap within the card's memory; a ring that cannot be one loses
 * what comes.
 *
 * Reference: National Semiconductor, DP8390D/NS32490D Network Interface Controller (July 1995).
 */

import { MIN_FRAME_BYTES, type Unplugged, unpluggedAfter } from "../../../hv/core/net/network.ts";
import { isForCard } from "./dp8390_filter.ts";
import {
  Cr,
  Dcr,
  type Dp8390State,
  Isr,
  LONGEST_BYTES,
  RAM_BASE,
  RAM_BYTES,
  Rcr,
  Rsr,
  Tcr,
  Tsr,
  UNDER_WAY,
} from "./dp8390_state.ts";

/** Ports of the chip. */
export const DP8390_PORTS = 16;
const PAGE_BYTES = 256;
/** In front of each received frame: status, next page, bytes (2). */
const HEADER_BYTES = 4;
/** The frame's check sequence, which the chip stores behind it. */
const CRC_BYTES = 4;
/** Shortest frame without check sequence. */
const SHORTEST_BYTES = 60;

/** What the chip is connected to. */
export interface Dp8390Wiring {
  /** The byte at an address of the chip's that is not its RAM. */
  readonly rom: (address: number) => number;
  /** Bytes that registers 0Ah and 0Bh of page 0 read as, where the chip has none. */
  readonly identity: readonly [number, number];
  /** The interrupt pin. */
  readonly interrupt: (level: boolean) => void;
  /** Wakes the I/O worker. */
  readonly ring: () => void;
}

export { Dp8390State } from "./dp8390_state.ts";

/** See above. */
export class Dp8390 {
  readonly #state: Dp8390State;
  readonly #wiring: Dp8390Wiring;
  /** The frame that was fetched last. */
  readonly #sent = new Uint8Array(LONGEST_BYTES);

  constructor(state: Dp8390State, wiring: Dp8390Wiring) {
    this.#state = state;
    this.#wiring = wiring;
  }

  /** Power-on; the cable stays as it is. */
  powerOn(): void {
    const s = this.#state;
    s.ram.fill(0);
    s.par.fill(0);
    s.mar.fill(0);
    s.pstart =
      s.pstop =
      s.bnry =
      s.curr =
      s.tpsr =
        0;
    s.rcr = s.tsr = s.rsr = 0;
    s.tbcr = s.rsar = s.rbcr = 0;
    s.frames.fill(0);
    s.lengths.fill(0);
    s.firstFrame = s.frameCount = 0;
    this.reset();
  }

  /** The reset pin: the chip stops; most registers keep what they have (11.0, "Reset"). */
  reset(): void {
    const s = this.#state;
    s.cr = Cr.STP | Cr.RD_ABORT;
    s.isr = Isr.RST;
    s.imr = 0;
    s.dcr = Dcr.LAS;
    s.tcr = 0;
    this.#mayHaveRoom();
    this.#interrupt();
  }

  /** Pulls the cable out, or plugs it in. */
  setLink(isUp: boolean, who: Unplugged): void {
    const s = this.#state;
    s.unplugged = unpluggedAfter(s.unplugged, isUp, who);
  }

  // --- the registers, ports 0 to 0Fh -----------------------------------------------------------

  /** Reads a register of the page that CR selects. */
  read(port: number): number {
    const s = this.#state;
    if (port === 0) return s.cr;
    switch (this.#page) {
      case 0:
        return this.#readPage0(port);
      case 1:
        return port <= 6 ? s.par[port - 1] : port === 7 ? s.curr : s.mar[port - 8];
      case 2:
        return this.#readPage2(port);
      default:
        return 0;
    }
  }

  #readPage0(port: number): number {
    const s = this.#state;
    switch (port) {
      case 3:
        return s.bnry;
      case 4:
        return s.tsr;
      case 7:
        return s.isr;
      case 8:
        return s.rsar & 0xff;
      case 9:
        return s.rsar >> 8;
      case 0xa:
      case 0xb:
        return this.#wiring.identity[port - 0xa];
      case 0xc:
        return s.rsr;
      default:
        // The local DMA's address, collisions, the FIFO, counters of errors.
        return 0;
    }
  }

  #readPage2(port: number): number {
    const s = this.#state;
    const { pstart, pstop, tpsr, rcr, tcr, dcr, imr } = s;
    return [0, pstart, pstop, 0, tpsr, 0, 0, 0, 0, 0, 0, 0, rcr, tcr, dcr, imr][port];
  }

  /** Writes a register of the page that CR selects. */
  write(port: number, value: number): void {
    const s = this.#state;
    if (port === 0) this.#writeCommand(value);
    else if (this.#page === 0) this.#writePage0(port, value);
    else if (this.#page === 1) {
      if (port <= 6) s.par[port - 1] = value;
      else if (port === 7) s.curr = value;
      else s.mar[port - 8] = value;
      this.#mayHaveRoom();
    }
    this.#interrupt();
  }

  #writePage0(port: number, value: number): void {
    const s = this.#state;
    switch (port) {
      case 1:
        s.pstart = value;
        return this.#mayHaveRoom();
      case 2:
        s.pstop = value;
        return this.#mayHaveRoom();
      case 3:
        s.bnry = value;
        return this.#mayHaveRoom();
      case 4:
        s.tpsr = value;
        return;
      case 5:
        s.tbcr = (s.tbcr & 0xff00) | value;
        return;
      case 6:
        s.tbcr = (s.tbcr & 0xff) | value << 8;
        return;
      case 7:
        // Ones clear; RST follows the chip's state.
        s.isr &= ~value | Isr.RST;
        // Who clears PRX with the ring full may have looked before it was: see `receive`.
        if ((value & Isr.PRX) !== 0) this.#mayHaveRoom();
        return;
      case 8:
        s.rsar = (s.rsar & 0xff00) | value;
        return;
      case 9:
        s.rsar = (s.rsar & 0xff) | value << 8;
        return;
      case 0xa:
        s.rbcr = (s.rbcr & 0xff00) | value;
        return;
      case 0xb:
        s.rbcr = (s.rbcr & 0xff) | value << 8;
        return;
      case 0xc:
        s.rcr = value & 0x3f;
        return this.#mayHaveRoom();
      case 0xd:
        s.tcr = value & 0x1f;
        return this.#mayHaveRoom();
      case 0xe:
        s.dcr = value & 0x7f;
        return;
      case 0xf:
        s.imr = value & 0x7f;
        return;
    }
  }

  #writeCommand(value: number): void {
    const s = this.#state;
    if ((value & Cr.STP) !== 0) {
      s.cr = value & ~Cr.TXP;
      s.isr |= Isr.RST;
      this.#mayHaveRoom();
    } else {
      // Who says neither STP nor STA changes neither; a transmission that has begun goes on.
      const mode = (value & Cr.STA) !== 0 ? Cr.STA : s.cr & (Cr.STP | Cr.STA);
      s.cr = (value & ~Cr.STA) | mode | (s.cr & Cr.TXP);
      if (mode === Cr.STA) s.isr &= ~Isr.RST;
    }
    const remote = Cr.RD_READ | Cr.RD_WRITE;
    if ((value & remote) !== 0 && (value & Cr.RD_ABORT) === 0 && s.rbcr === 0) s.isr |= Isr.RDC;
    this.#transmit();
  }

  /** Who waits for room in the ring is to look again; who is not wanted any more, too. */
  #mayHaveRoom(): void {
    const s = this.#state;
    if (!s.isStarved) return;
    s.isStarved = false;
    this.#wiring.ring();
  }

  #interrupt(): void {
    const { isr, imr } = this.#state;
    this.#wiring.interrupt((isr & imr) !== 0);
  }

  get #page(): number {
    return this.#state.cr >> 6;
  }

  // --- the remote DMA, which a card has a port for ---------------------------------------------

  /** One cycle of a remote read: a word if DCR says so, else a byte. */
  readRemote(): number {
    const s = this.#state;
    if ((s.cr & (Cr.RD_READ | Cr.RD_ABORT)) !== Cr.RD_READ || s.rbcr === 0) return 0xffff;
    let value = 0;
    for (let i = 0; i < this.#remoteBytes; i++) {
      if (s.rbcr === 0) break;
      value |= this.#byteAt(s.rsar) << (i * 8);
      this.#advance();
    }
    return value;
  }

  /** One cycle of a remote write. */
  writeRemote(value: number): void {
    const s = this.#state;
    if ((s.cr & (Cr.RD_WRITE | Cr.RD_ABORT)) !== Cr.RD_WRITE) return;
    for (let i = 0; i < this.#remoteBytes; i++) {
      if (s.rbcr === 0) break;
      const at = s.rsar - RAM_BASE;
      if (at >= 0 && at < RAM_BYTES) s.ram[at] = value >> (i * 8);
      this.#advance();
    }
  }

  get #remoteBytes(): number {
    return (this.#state.dcr & Dcr.WTS) !== 0 ? 2 : 1;
  }

  /** To the next byte; behind the ring's end is its beginning. */
  #advance(): void {
    const s = this.#state;
    const next = s.rsar + 1 & 0xffff;
    s.rsar = next === s.pstop * PAGE_BYTES ? s.pstart * PAGE_BYTES : next;
    s.rbcr--;
    if (s.rbcr > 0) return;
    s.isr |= Isr.RDC;
    this.#interrupt();
  }

  #byteAt(address: number): number {
    const at = address - RAM_BASE;
    return at >= 0 && at < RAM_BYTES ? this.#state.ram[at] : this.#wiring.rom(address);
  }

  // --- the network, on the I/O worker ----------------------------------------------------------

  /**
   * Transmits what TXP asks for as soon as there is room. Mostly at once: drivers wait for as long as
   * a frame takes on the wire, and not all of them for longer.
   */
  #transmit(): void {
    const s = this.#state;
    if ((s.cr & (Cr.TXP | Cr.STP)) !== Cr.TXP || s.frameCount === UNDER_WAY) return;
    const { tbcr: length } = s;
    const isUnplugged = s.unplugged !== 0;
    const isLoop = (s.tcr & Tcr.LB) !== 0;
    if (!isLoop && !isUnplugged && length >= MIN_FRAME_BYTES && length <= LONGEST_BYTES) {
      const slot = (s.firstFrame + s.frameCount) % UNDER_WAY;
      const start = s.tpsr * PAGE_BYTES;
      for (let i = 0; i < length; i++) {
        s.frames[slot * LONGEST_BYTES + i] = this.#byteAt(start + i & 0xffff);
      }
      s.lengths[slot] = length;
      s.frameCount++;
      this.#wiring.ring();
    }
    s.cr &= ~Cr.TXP;
    s.tsr = isUnplugged ? Tsr.PTX | Tsr.CRS : Tsr.PTX;
    s.isr |= Isr.PTX;
    this.#interrupt();
  }

  /** Is there a frame to fetch? Without the lock it is a guess. */
  get hasFrame(): boolean {
    return this.#state.frameCount > 0;
  }

  /** The next frame that was transmitted, valid until the next call. */
  fetch(): Uint8Array | undefined {
    const s = this.#state;
    if (s.frameCount === 0) return undefined;
    // State is what a snapshot says: within bounds all the same.
    const slot = s.firstFrame % UNDER_WAY;
    const length = Math.min(s.lengths[slot], LONGEST_BYTES);
    const at = slot * LONGEST_BYTES;
    this.#sent.set(s.frames.subarray(at, at + length));
    s.firstFrame = (slot + 1) % UNDER_WAY;
    s.frameCount--;
    this.#transmit();
    return this.#sent.subarray(0, length);
  }

  /** Puts a frame into the ring, if it is for the card; false: there is no room yet. */
  receive(frame: Uint8Array): boolean {
    const s = this.#state;
    const isListening = (s.cr & (Cr.STP | Cr.STA)) === Cr.STA && (s.tcr & Tcr.LB) === 0;
    if (!isListening || s.unplugged !== 0 || frame.length > LONGEST_BYTES) return true;
    if (!isForCard(s, frame) || (s.rcr & Rcr.MON) !== 0) return true;
    const { pstart, pstop, curr, bnry } = s;
    const first = RAM_BASE / PAGE_BYTES;
    const isRing = pstart >= first && pstop <= first + RAM_BYTES / PAGE_BYTES && curr >= pstart &&
      curr < pstop;
    const length = Math.max(frame.length, SHORTEST_BYTES);
    const pages = Math.ceil((HEADER_BYTES + length + CRC_BYTES) / PAGE_BYTES);
    const size = pstop - pstart;
    if (!isRing || pages >= size) return true;
    // From CURR up to the page that the program reads next: when the two meet, the ring is empty.
    const free = bnry > curr ? bnry - curr : size - (curr - bnry);
    if (pages >= free) {
      // A real chip says OVW now. Without either, a driver would wait for a frame, and this for it.
      s.isStarved = true;
      s.isr |= Isr.PRX;
      this.#interrupt();
      return false;
    }
    this.#store(frame, length, pages);
    return true;
  }

  #store(frame: Uint8Array, length: number, pages: number): void {
    const s = this.#state;
    const { ram, pstart, pstop } = s;
    const begin = pstart * PAGE_BYTES - RAM_BASE;
    const end = pstop * PAGE_BYTES - RAM_BASE;
    const next = s.curr + pages < pstop ? s.curr + pages : s.curr + pages - (pstop - pstart);
    s.rsr = Rsr.PRX | ((frame[0] & 1) !== 0 ? Rsr.PHY : 0);
    const count = length + CRC_BYTES;
    let at = s.curr * PAGE_BYTES - RAM_BASE;
    ram[at] = s.rsr;
    ram[at + 1] = next;
    ram[at + 2] = count;
    ram[at + 3] = count >> 8;
    at += HEADER_BYTES;
    const before = Math.min(frame.length, end - at);
    ram.set(frame.subarray(0, before), at);
    ram.set(frame.subarray(before), begin);
    // A short frame is filled up, as on the wire.
    for (let i = frame.length; i < length; i++) {
      const place = at + i;
      ram[place < end ? place : place - end + begin] = 0;
    }
    s.curr = next;
    s.isr |= Isr.PRX;
    this.#interrupt();
  }
}
