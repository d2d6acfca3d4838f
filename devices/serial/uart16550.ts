/**
 * 16550A UART: a serial port (COM1 at 3F8h, COM2 at 2F8h), eight registers.
 *
 * References: National Semiconductor PC16550D data sheet (June 1995); IBM PC/AT technical reference for
 * OUT2, which connects the interrupt output to the bus.
 *
 * Characters take no time: what is written to THR goes to the sink at once, and only a sink without
 * room makes the transmitter busy. The programmed speed matters for the character time-out alone.
 * Left out: DMA mode 1 (FCR bit 3), parity and framing errors from the line, transmitted breaks.
 *
 * Whoever calls `receive`, `receiveBreak`, `transmitReady` or `setModemLines` holds the device's lock.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { bytesOf, flag, record, ring, u8 } from "../../hv/core/state/record.ts";
import type { ByteSink } from "../../hv/core/state/stream.ts";
import type { Timer } from "../../hv/core/time/timer.ts";

/** Registers, by offset (8.0, table II). */
/** R: receiver buffer; W: transmitter holding; with DLAB, R/W: divisor latch low. */
const RBR = 0;
/** R/W: interrupt enable; with DLAB: divisor latch high. */
const IER = 1;
/** R: interrupt identification; W: FIFO control. */
const IIR = 2;
/** R/W: line control. */
const LCR = 3;
/** R/W: modem control. */
const MCR = 4;
/** R: line status. */
const LSR = 5;
/** R: modem status. */
const MSR = 6;
/** R/W: scratch. */
const SCR = 7;

/** IER bits (8.7). */
const ERBFI = 0x01;
const ETBEI = 0x02;
const ELSI = 0x04;
const EDSSI = 0x08;
/** IIR values, highest priority first (8.6, table IV). */
const IIR_LINE_STATUS = 0x06;
const IIR_DATA = 0x04;
const IIR_TIMEOUT = 0x0c;
const IIR_THRE = 0x02;
const IIR_MODEM = 0x00;
const IIR_NONE = 0x01;
const IIR_FIFOS = 0xc0;
/** FCR bits (8.5). */
const FIFO_ENABLE = 0x01;
const RCVR_RESET = 0x02;
const XMIT_RESET = 0x04;
/** LCR bits (8.1). */
const STB = 0x04;
const PEN = 0x08;
const SET_BREAK = 0x40;
const DLAB = 0x80;
/** MCR bits (8.8). */
const OUT2 = 0x08;
const LOOP = 0x10;
/** LSR bits (8.4). */
const DR = 0x01;
const OE = 0x02;
const PE = 0x04;
const FE = 0x08;
const BI = 0x10;
const THRE = 0x20;
const TEMT = 0x40;
const RCVR_FIFO_ERROR = 0x80;
/** MSR bits (8.9): each delta is four places below its line. */
const TERI = 0x04;
const CTS = 0x10;
const DSR = 0x20;
const RI = 0x40;
const DCD = 0x80;

const FIFO_BYTES = 16;
/** Receiver trigger levels of FCR bits 6-7, in characters. */
const TRIGGER = [1, 4, 8, 14];
/** Clock of the baud generator; a bit takes 16 divisors of it. */
const CRYSTAL_HZ = 1_843_200;

/** The lines that the other end drives. */
export interface ModemLines {
  /** Clear to send: the guest may send. */
  readonly cts: boolean;
  /** Data set ready: something is connected. */
  readonly dsr: boolean;
  /** Ring indicator. */
  readonly ri: boolean;
  /** Data carrier detect. */
  readonly dcd: boolean;
}

/** The chip's state. */
export const Uart16550State = record("uart16550", 1, {
  ier: u8,
  /** FIFO_ENABLE and the trigger level, as written. */
  fcr: u8,
  lcr: u8,
  mcr: u8,
  /** OE, PE, FE and BI, until LSR is read. */
  lineErrors: u8,
  /** The lines in the upper half and what has changed in the lower. */
  msr: u8,
  scr: u8,
  dll: u8,
  dlm: u8,
  /** The lines from outside, where MSR has them. */
  lines: u8,
  /** THR became empty and nobody has been told. */
  threPending: flag,
  /** Characters have been waiting for four character times. */
  timeoutPending: flag,
  /** `receive` has refused a byte: ring when there is room. */
  hostWaits: flag,
  rcvr: ring(FIFO_BYTES),
  /** LSR error bits of each character in `rcvr`. */
  rcvrErrors: ring(FIFO_BYTES),
  /** What the sink has not taken yet. */
  xmit: ring(FIFO_BYTES),
});
/** A view of `Uart16550State`. */
export type Uart16550State = InstanceType<typeof Uart16550State>;

/** What the chip is connected to. */
export interface Uart16550Wiring {
  /** The interrupt line behind the gate of OUT2. */
  readonly irq: IrqLine;
  /** For the time-out's start. */
  readonly clock: Clock;
  /** For the character time-out. */
  readonly timer: Timer;
  /** Takes what is transmitted. */
  readonly sink: ByteSink;
  /** Called when there is room again after `receive` has refused a byte. */
  readonly onRoom: () => void;
}

/** See above. Eight registers of width 1. */
export class Uart16550 implements Device, IoHandler {
  readonly #state: Uart16550State;
  readonly #wiring: Uart16550Wiring;

  constructor(state: Uart16550State, wiring: Uart16550Wiring) {
    this.#state = state;
    this.#wiring = wiring;
    wiring.timer.onExpire = () => this.#timedOut();
  }

  /** Master reset (8.10, table I), with CTS, DSR and DCD on, as of a connected terminal. */
  reset(): void {
    const s = this.#state;
    bytesOf(s).fill(0);
    s.dll = 12; // 9600 baud; the data sheet leaves it undefined
    s.msr = s.lines = CTS | DSR | DCD;
    this.#wiring.timer.disarm();
    this.#wiring.irq.set(false);
  }

  /** Characters that `receive` will take now. */
  get receiveRoom(): number {
    const s = this.#state;
    if (s.mcr & LOOP) return 0; // SIN is disconnected (8.8)
    return (s.fcr & FIFO_ENABLE ? FIFO_BYTES : 1) - s.rcvr.length;
  }

  /** A character from the line; false, and `onRoom` is called later, when there is no room for it. */
  receive(byte: number): boolean {
    return this.#receiveIfRoom(byte, 0);
  }

  /** A break from the line, which arrives as a null character; false as for `receive`. */
  receiveBreak(): boolean {
    return this.#receiveIfRoom(0, BI | FE);
  }

  /** The sink that refused a byte has room again. */
  transmitReady(): void {
    const s = this.#state;
    if (s.xmit.length === 0) return;
    while (s.xmit.length > 0 && this.#wiring.sink.write(s.xmit.peek())) s.xmit.shift();
    if (s.xmit.length === 0) s.threPending = true;
    this.#update();
  }

  /** What the other end drives from now on. */
  setModemLines({ cts, dsr, ri, dcd }: ModemLines): void {
    const s = this.#state;
    s.lines = (cts ? CTS : 0) | (dsr ? DSR : 0) | (ri ? RI : 0) | (dcd ? DCD : 0);
    this.#modemChanged();
  }

  /** What the guest has programmed, for a host end that is a real line: bits a second. */
  get bitsPerSecond(): number {
    return CRYSTAL_HZ / 16 / this.#divisor;
  }

  read(offset: number, _size: number): number {
    const s = this.#state;
    switch (offset) {
      case RBR:
        return s.lcr & DLAB ? s.dll : this.#readRbr();
      case IER:
        return s.lcr & DLAB ? s.dlm : s.ier;
      case IIR:
        return this.#readIir();
      case LCR:
        return s.lcr;
      case MCR:
        return s.mcr;
      case LSR:
        return this.#readLsr();
      case MSR: {
        const value = s.msr;
        s.msr &= 0xf0;
        this.#update();
        return value;
      }
      case SCR:
        return s.scr;
      default:
        return 0xff;
    }
  }

  write(offset: number, _size: number, value: number): void {
    const s = this.#state;
    value &= 0xff;
    switch (offset) {
      case RBR:
        if (s.lcr & DLAB) s.dll = value;
        else this.#writeThr(value);
        break;
      case IER:
        if (s.lcr & DLAB) s.dlm = value;
        else this.#writeIer(value & 0x0f);
        break;
      case IIR:
        this.#writeFcr(value);
        break;
      case LCR:
        // A break put on the line that is looped back comes in as one (8.1, bit 6).
        if ((value & ~s.lcr & SET_BREAK) && (s.mcr & LOOP)) this.#push(0, BI | FE);
        s.lcr = value;
        break;
      case MCR:
        this.#writeMcr(value & 0x1f);
        break;
      case SCR:
        s.scr = value;
        break;
    }
  }

  #readRbr(): number {
    const s = this.#state;
    const byte = Math.max(0, s.rcvr.shift());
    s.rcvrErrors.shift();
    s.lineErrors |= Math.max(0, s.rcvrErrors.peek());
    s.timeoutPending = false;
    this.#startTimeout();
    this.#update();
    this.#tellRoom();
    return byte;
  }

  #writeThr(byte: number): void {
    const s = this.#state;
    // INTR falls although the character may be gone at once: a handler that fed the transmitter
    // without reading IIR needs the next edge.
    s.threPending = false;
    this.#update();
    if (s.mcr & LOOP) {
      this.#push(byte, 0);
      s.threPending = s.xmit.length === 0;
    } else if (s.xmit.length === 0 && this.#wiring.sink.write(byte)) {
      s.threPending = true;
    } else {
      if (!(s.fcr & FIFO_ENABLE)) s.xmit.clear();
      s.xmit.push(byte);
    }
    this.#update();
  }

  #writeIer(value: number): void {
    const s = this.#state;
    // Enabling it while THR is empty asks for the interrupt at once (8.6).
    if ((value & ~s.ier & ETBEI) && s.xmit.length === 0) s.threPending = true;
    s.ier = value;
    this.#startTimeout();
    this.#update();
  }

  #readIir(): number {
    const s = this.#state;
    const source = this.#source();
    if (source === IIR_THRE) {
      s.threPending = false;
      this.#update();
    }
    return source | (s.fcr & FIFO_ENABLE ? IIR_FIFOS : 0);
  }

  #writeFcr(value: number): void {
    const s = this.#state;
    // Changing modes empties both FIFOs, and other bits count only with FIFO_ENABLE (8.5).
    const changed = ((value ^ s.fcr) & FIFO_ENABLE) !== 0;
    const enabled = (value & FIFO_ENABLE) !== 0;
    s.fcr = enabled ? value & (0xc0 | FIFO_ENABLE) : 0;
    if (changed || (enabled && value & RCVR_RESET)) {
      s.rcvr.clear();
      s.rcvrErrors.clear();
      s.lineErrors &= OE;
      s.timeoutPending = false;
    }
    if ((changed || (enabled && value & XMIT_RESET)) && s.xmit.length > 0) {
      s.xmit.clear();
      s.threPending = true;
    }
    this.#startTimeout();
    this.#update();
    this.#tellRoom();
  }

  #writeMcr(value: number): void {
    const s = this.#state;
    s.mcr = value;
    this.#modemChanged();
    this.#tellRoom();
  }

  #readLsr(): number {
    const s = this.#state;
    let value = s.lineErrors;
    if (s.rcvr.length > 0) value |= DR;
    if (s.xmit.length === 0) value |= THRE | TEMT;
    if (s.fcr & FIFO_ENABLE && this.#errorInFifo()) value |= RCVR_FIFO_ERROR;
    s.lineErrors = 0;
    this.#update();
    return value;
  }

  #errorInFifo(): boolean {
    const s = this.#state;
    if (s.lineErrors & (PE | FE | BI)) return true;
    for (let i = 1; i < s.rcvrErrors.length; i++) if (s.rcvrErrors.peek(i) !== 0) return true;
    return false;
  }

  #receiveIfRoom(byte: number, errors: number): boolean {
    if (this.receiveRoom <= 0) {
      this.#state.hostWaits = true;
      return false;
    }
    this.#push(byte, errors);
    return true;
  }

  /** A character from the shift register; with the FIFO full it is an overrun (8.4, bit 1). */
  #push(byte: number, errors: number): void {
    const s = this.#state;
    const capacity = s.fcr & FIFO_ENABLE ? FIFO_BYTES : 1;
    if (s.rcvr.length >= capacity) {
      s.lineErrors |= OE;
      if (s.fcr & FIFO_ENABLE) return this.#update();
      s.rcvr.clear();
      s.rcvrErrors.clear();
    }
    s.rcvr.push(byte & 0xff);
    s.rcvrErrors.push(errors);
    if (s.rcvr.length === 1) s.lineErrors |= errors;
    s.timeoutPending = false;
    this.#startTimeout();
    this.#update();
  }

  #modemChanged(): void {
    const s = this.#state;
    const lines = s.mcr & LOOP ? this.#loopedLines() : s.lines;
    const before = s.msr & 0xf0;
    const risen = lines & ~before;
    // RI counts when it ends, the others whenever they change (8.9).
    const deltas = ((lines ^ before) >> 4) & ~(risen & RI ? TERI : 0);
    s.msr = lines | (s.msr & 0x0f) | deltas;
    this.#update();
  }

  /** RTS, DTR, OUT1 and OUT2 where CTS, DSR, RI and DCD are in MSR (8.8, bit 4). */
  #loopedLines(): number {
    const { mcr } = this.#state;
    return (mcr & 0x02 ? CTS : 0) | (mcr & 0x01 ? DSR : 0) | (mcr & 0x04 ? RI : 0) |
      (mcr & OUT2 ? DCD : 0);
  }

  get #divisor(): number {
    return (this.#state.dlm << 8 | this.#state.dll) || 1;
  }

  get #characterNs(): number {
    const { lcr } = this.#state;
    const bits = 1 + 5 + (lcr & 3) + (lcr & PEN ? 1 : 0) + (lcr & STB ? 2 : 1);
    return bits * 16 * this.#divisor * 1e9 / CRYSTAL_HZ;
  }

  /** Characters in the receiver that interrupt. */
  get #trigger(): number {
    const { fcr } = this.#state;
    return fcr & FIFO_ENABLE ? TRIGGER[fcr >> 6] : 1;
  }

  /** The time-out runs anew from every arrival and every read (9.2), as long as it matters. */
  #startTimeout(): void {
    const s = this.#state;
    const { timer, clock } = this.#wiring;
    const waiting = s.rcvr.length > 0 && s.rcvr.length < this.#trigger;
    if (waiting && (s.ier & ERBFI)) {
      if (!s.timeoutPending) timer.arm(clock.nowNs() + 4 * this.#characterNs);
    } else {
      s.timeoutPending = false;
      if (timer.deadlineNs !== 0) timer.disarm();
    }
  }

  #timedOut(): void {
    this.#state.timeoutPending = true;
    this.#update();
  }

  #source(): number {
    const s = this.#state;
    const enabled = s.ier;
    if ((enabled & ELSI) && s.lineErrors !== 0) return IIR_LINE_STATUS;
    if (enabled & ERBFI) {
      if (s.rcvr.length >= this.#trigger) return IIR_DATA;
      if (s.timeoutPending) return IIR_TIMEOUT;
    }
    if ((enabled & ETBEI) && s.threPending) return IIR_THRE;
    if ((enabled & EDSSI) && (s.msr & 0x0f) !== 0) return IIR_MODEM;
    return IIR_NONE;
  }

  #update(): void {
    // In loopback the OUT2 pin is inactive whatever MCR says (8.8), and no interrupt gets through.
    const gate = (this.#state.mcr & (OUT2 | LOOP)) === OUT2;
    this.#wiring.irq.set(gate && this.#source() !== IIR_NONE);
  }

  #tellRoom(): void {
    const s = this.#state;
    if (!s.hostWaits || this.receiveRoom <= 0) return;
    s.hostWaits = false;
    this.#wiring.onRoom();
  }
}
