/**
 * One 8259A interrupt controller: requests, masks, priorities and its two registers.
 *
 * Reference: Intel 8259A data sheet (order number 231468), pp. 8-18; ELCR from the PIIX3 data sheet
 * (290550), p. 70, which chooses edge or level for each input.
 *
 * Unlike the chip, a request in edge mode stays when its line falls before the acknowledge; in-kernel
 * controllers of hypervisors do the same. Left out: MCS-80/85 vectors and buffered mode.
 */

import { flag, record, u8 } from "../../hv/core/state/record.ts";

/** ICW1: bit 4 of A0 = 0. */
const ICW1 = 0x10;
const IC4 = 0x01;
const SNGL = 0x02;
const LTIM = 0x08;
/** ICW4. */
const AEOI = 0x02;
const SFNM = 0x10;
/** OCW3: bit 3 of A0 = 0. */
const OCW3 = 0x08;
const POLL = 0x04;
const RIS = 0x01;
const RR = 0x02;
const SMM = 0x20;
const ESMM = 0x40;
/** OCW2: bits 7-5. */
const EOI = 0x20;
const SPECIFIC = 0x40;
const ROTATE = 0x80;

/** Answer to a poll: there is a request. */
const POLL_REQUEST = 0x80;

/** A chip's state. */
export const I8259ChipState = record("i8259.chip", 1, {
  /** Levels of the inputs. */
  lines: u8,
  /** Requests, mask and in-service bits. */
  irr: u8,
  imr: u8,
  isr: u8,
  /** Inputs that are level-triggered: as set, and all of them by LTIM. */
  elcr: u8,
  ltim: flag,
  /** Bits 7-3 of the vectors. */
  vectorBase: u8,
  /** The ICW awaited: 2, 3 or 4; 0: none. */
  awaitedIcw: u8,
  hasIcw4: flag,
  single: flag,
  autoEoi: flag,
  rotateOnAutoEoi: flag,
  specialFullyNested: flag,
  specialMask: flag,
  /** Reads give ISR instead of IRR. */
  readsIsr: flag,
  poll: flag,
  /** The input of lowest priority: 7 until rotated. */
  lowest: u8,
});
/** A view of `I8259ChipState`. */
export type I8259ChipState = InstanceType<typeof I8259ChipState>;

/** See above. */
export class I8259Chip {
  readonly #state: I8259ChipState;
  /** The input to which a slave is connected, or -1. */
  readonly #cascade: number;
  /** Inputs that ELCR can make level-triggered. */
  readonly #elcrMask: number;

  constructor(state: I8259ChipState, cascade: number, elcrMask: number) {
    this.#state = state;
    this.#cascade = cascade;
    this.#elcrMask = elcrMask;
  }

  /** After the record was cleared. */
  reset(): void {
    this.#state.lowest = 7;
  }

  /** Level of input `irq` (0 to 7). */
  setLine(irq: number, level: boolean): void {
    const s = this.#state;
    const bit = 1 << irq;
    if (this.#levels & bit) s.irr = level ? s.irr | bit : s.irr & ~bit;
    else if (level && !(s.lines & bit)) s.irr |= bit;
    s.lines = level ? s.lines | bit : s.lines & ~bit;
  }

  /** The INT output. */
  get int(): boolean {
    return this.request >= 0;
  }

  /** The input to be served next, or -1 when none may interrupt what is in service. */
  get request(): number {
    const s = this.#state;
    const requests = s.irr & ~s.imr;
    if (requests === 0) return -1;
    let serving = s.isr;
    if (s.specialMask) serving &= ~s.imr;
    if (s.specialFullyNested && this.#cascade >= 0) serving &= ~(1 << this.#cascade);
    const rank = this.#rank(requests);
    return rank < this.#rank(serving) ? this.#inputAt(rank) : -1;
  }

  /** INTA: the input that is served from now on, or -1, which the processor sees as input 7. */
  acknowledge(): number {
    const s = this.#state;
    const irq = this.request;
    if (irq < 0) return -1;
    const bit = 1 << irq;
    if (!(this.#levels & bit)) s.irr &= ~bit;
    if (!s.autoEoi) s.isr |= bit;
    else if (s.rotateOnAutoEoi) s.lowest = irq;
    return irq;
  }

  /** The vector of input `irq`; that of input 7 when it is -1 (spurious). */
  vector(irq: number): number {
    return this.#state.vectorBase | (irq & 7);
  }

  get elcr(): number {
    return this.#state.elcr;
  }

  /** Makes inputs level-triggered, where the board allows it. */
  set elcr(value: number) {
    const s = this.#state;
    s.elcr = value & this.#elcrMask;
    s.irr = (s.irr & ~s.elcr) | (s.lines & s.elcr);
  }

  read(offset: number): number {
    const s = this.#state;
    if (s.poll) {
      s.poll = false;
      const irq = this.acknowledge();
      return irq < 0 ? 0 : POLL_REQUEST | irq;
    }
    if (offset === 1) return s.imr;
    return s.readsIsr ? s.isr : s.irr;
  }

  write(offset: number, value: number): void {
    if (offset === 1) this.#writeData(value);
    else if (value & ICW1) this.#initialise(value);
    else if (value & OCW3) this.#writeOcw3(value);
    else this.#writeOcw2(value);
  }

  get #levels(): number {
    const s = this.#state;
    return s.ltim ? 0xff : s.elcr;
  }

  #initialise(icw1: number): void {
    const s = this.#state;
    s.ltim = (icw1 & LTIM) !== 0;
    s.single = (icw1 & SNGL) !== 0;
    s.hasIcw4 = (icw1 & IC4) !== 0;
    // Edges seen so far are forgotten: a line must fall before it requests again (p. 11).
    s.irr = s.lines & this.#levels;
    s.imr = s.isr = 0;
    s.lowest = 7;
    s.specialMask = s.readsIsr = s.poll = false;
    s.autoEoi = s.rotateOnAutoEoi = s.specialFullyNested = false;
    s.awaitedIcw = 2;
  }

  #writeData(value: number): void {
    const s = this.#state;
    switch (s.awaitedIcw) {
      case 2:
        s.vectorBase = value & 0xf8;
        s.awaitedIcw = s.single ? (s.hasIcw4 ? 4 : 0) : 3;
        return;
      case 3: // how the chips are cascaded is fixed on the board
        s.awaitedIcw = s.hasIcw4 ? 4 : 0;
        return;
      case 4:
        s.autoEoi = (value & AEOI) !== 0;
        s.specialFullyNested = (value & SFNM) !== 0;
        s.awaitedIcw = 0;
        return;
      default:
        s.imr = value;
    }
  }

  #writeOcw2(value: number): void {
    const s = this.#state;
    const level = value & 7;
    switch (value & (ROTATE | SPECIFIC | EOI)) {
      case 0:
      case ROTATE:
        s.rotateOnAutoEoi = (value & ROTATE) !== 0;
        return;
      case EOI:
      case ROTATE | EOI: {
        // Masked bits are skipped in special mask mode (p. 14).
        const rank = this.#rank(s.specialMask ? s.isr & ~s.imr : s.isr);
        if (rank > 7) return;
        return this.#endOfInterrupt(this.#inputAt(rank), value);
      }
      case SPECIFIC | EOI:
      case ROTATE | SPECIFIC | EOI:
        return this.#endOfInterrupt(level, value);
      case ROTATE | SPECIFIC:
        s.lowest = level;
    }
  }

  #endOfInterrupt(irq: number, ocw2: number): void {
    const s = this.#state;
    s.isr &= ~(1 << irq);
    if (ocw2 & ROTATE) s.lowest = irq;
  }

  #writeOcw3(value: number): void {
    const s = this.#state;
    if (value & ESMM) s.specialMask = (value & SMM) !== 0;
    if (value & POLL) s.poll = true;
    else if (value & RR) s.readsIsr = (value & RIS) !== 0;
  }

  /** Rank of the highest of `inputs`, 0 to 7; 8 when there is none. */
  #rank(inputs: number): number {
    for (let rank = 0; rank < 8; rank++) if (inputs & (1 << this.#inputAt(rank))) return rank;
    return 8;
  }

  #inputAt(rank: number): number {
    return (this.#state.lowest + 1 + rank) & 7;
  }
}
