/**
 * A processor's local APIC, in xAPIC and x2APIC mode: its registers, and what it has for its processor.
 * The page of its registers is seen by that processor alone, at the address in IA32_APIC_BASE.
 *
 * Reference: Intel SDM volume 3, chapter 11 "Advanced Programmable Interrupt Controller".
 *
 * Threads: `receiver` is for everybody. Everything else belongs to the processor's own thread, and to
 * whoever resets, saves or restores a processor that is not running. An EOI takes the I/O APIC's lock
 * (`endOfInterrupt`), so the caller may not hold that; the timer has a lock of its own. A processor
 * that is woken first takes the mark back by which `wake` called it and then asks `pending`,
 * `extIntPending` and `latches`: what comes between the two marks it again.
 *
 * LINT0 of the boot processor comes out of reset as a PC's firmware leaves it, taking the 8259s'
 * interrupts (virtual wire mode, MP specification 3.6.2.2): 16-bit systems know no local APIC. Left
 * out: focus processor, the CMCI vector, arbitration (messages arrive at once: delivery status is 0).
 */

import type { Device, IoHandler } from "../../../hv/core/bus/device.ts";
import { bytesOf } from "../../../hv/core/state/record.ts";
import {
  type ApicBus,
  type ApicMessage,
  BROADCAST,
  DeliveryMode,
  wideDestination,
} from "../apic_message.ts";
import { LocalApicReceiver, modeOf } from "./receiver.ts";
import * as r from "./registers.ts";
import { type LocalApicState, Reg } from "./registers.ts";
import { clearBit, clearBits, highestBit, setBit, testBit } from "./requests.ts";
import { LocalApicTimer, type LocalApicTimerWiring } from "./timer.ts";

/** What the local APIC is connected to. */
export interface LocalApicWiring extends LocalApicTimerWiring {
  /** Number of the processor: its APIC ID after reset; 0 is the boot processor. */
  readonly index: number;
  readonly bus: ApicBus;
  /** The end of a level-triggered interrupt, for the I/O APICs. */
  endOfInterrupt(vector: number): void;
  /** There may be something for the processor; from any thread. */
  wake(): void;
  /** SVR can suppress the broadcast of EOIs: only with I/O APICs that have an EOI register. */
  readonly suppressesEoi?: boolean;
}

/** Bits of `LocalApicState.lint` that say whether the pins are asserted. */
const LINT_LEVELS = 3;

type LocalVector = typeof r.LVT[number];

/** See above. Registers are 32 bits wide at multiples of 16 bytes. */
export class LocalApic implements Device, IoHandler {
  /** Number of the processor. */
  readonly index: number;
  readonly state: LocalApicState;
  /** What others may call. */
  readonly receiver: LocalApicReceiver;
  readonly timer: LocalApicTimer;
  readonly #wiring: LocalApicWiring;
  readonly #irr: Int32Array;
  readonly #isr: Int32Array;
  readonly #tmr: Int32Array;

  constructor(state: LocalApicState, wiring: LocalApicWiring) {
    this.index = wiring.index;
    this.state = state;
    this.#wiring = wiring;
    this.#irr = state.irr;
    this.#isr = state.isr;
    this.#tmr = state.tmr;
    this.receiver = new LocalApicReceiver(state, () => wiring.wake());
    this.timer = new LocalApicTimer(
      state,
      wiring,
      () => this.receiver.deliverLocal(state.lvtTimer),
    );
  }

  /** Power-up and RESET. */
  reset(): void {
    const s = this.state;
    bytesOf(s).fill(0);
    s.baseLow = (r.BASE_RESET | r.BASE_ENABLED | (this.index === 0 ? r.BASE_BSP : 0)) >>> 0;
    s.id = this.index & 0xff;
    this.#initialise();
  }

  /** INIT: as RESET, but ID, IA32_APIC_BASE, latches and the levels of the pins stay (11.4.7.3). */
  init(): void {
    const s = this.state;
    for (const words of [this.#irr, this.#isr, this.#tmr]) clearBits(words);
    Atomics.store(s.errors, 0, 0);
    Atomics.and(s.lint, 0, LINT_LEVELS);
    s.tpr =
      s.esr =
      s.icrLow =
      s.icrHigh =
        0;
    this.#initialise();
  }

  /** Is it enabled in IA32_APIC_BASE? */
  get enabled(): boolean {
    return this.receiver.enabled;
  }

  /** Bits of SVR that can be written. */
  get svrBits(): number {
    return r.SVR_VECTOR | r.SVR_ENABLED | r.SVR_FOCUS_DISABLED |
      (this.#wiring.suppressesEoi ? r.SVR_SUPPRESS_EOI : 0);
  }

  /** Is it in x2APIC mode: registers are MSRs? */
  get isX2(): boolean {
    return (this.state.baseLow & r.BASE_X2APIC) !== 0;
  }

  /** Guest-physical address of the register page, in bytes. */
  get baseAddress(): number {
    const { baseLow, baseHigh } = this.state;
    return baseHigh * 2 ** 32 + ((baseLow & r.BASE_ADDRESS) >>> 0);
  }

  /** An event of the processor itself, delivered by its local vector. */
  raise(event: "thermal" | "performance"): void {
    const s = this.state;
    this.receiver.deliverLocal(event === "thermal" ? s.lvtThermal : s.lvtPerformance);
  }

  /** The vector to be served now, or -1: the highest request, if it is above PPR. */
  pending(): number {
    const vector = highestBit(this.#irr);
    if (vector < 0 || !this.enabled) return -1;
    return vector >> 4 > this.receiver.ppr >> 4 ? vector : -1;
  }

  /** Puts the pending interrupt in service and returns its vector; the spurious one if it is gone. */
  acknowledge(): number {
    const vector = this.pending();
    if (vector < 0) return this.state.svr & r.SVR_VECTOR;
    clearBit(this.#irr, vector);
    setBit(this.#isr, vector);
    return vector;
  }

  /** Do the 8259s' interrupts reach the processor, and have they one? Their INTA gives the vector. */
  get extIntPending(): boolean {
    return this.receiver.extIntPending;
  }

  /** The `Latch` bits that are set: NMI, SMI, INIT, start-up, ExtINT. */
  get latches(): number {
    return Atomics.load(this.state.latches, 0);
  }

  /** Takes the bit or bits `latch` back; was any set? */
  takeLatch(latch: number): boolean {
    return (Atomics.and(this.state.latches, 0, ~latch) & latch) !== 0;
  }

  /** Vector of the last start-up interrupt: the processor starts at 1000h times it. */
  get startUpVector(): number {
    return Atomics.load(this.state.startUpVector, 0);
  }

  /** CR8: bits 7-4 of TPR. */
  get cr8(): number {
    return this.state.tpr >>> 4;
  }

  set cr8(value: number) {
    this.#setTpr((value & 0xf) << 4);
  }

  read(offset: number, size: number): number {
    const ones = 0xffff_ffff >>> (32 - 8 * size);
    if (this.isX2 || !this.enabled) return ones;
    const within = offset % r.REGISTER_STEP;
    const value = this.readRegister(offset - within);
    if (value < 0) this.receiver.error(r.ESR_ILLEGAL_REGISTER);
    if (value < 0 || within + size > 4) return 0;
    return ((value >>> (within * 8)) & ones) >>> 0;
  }

  write(offset: number, size: number, value: number): void {
    if (this.isX2 || !this.enabled) return;
    if (size !== 4 || offset % r.REGISTER_STEP !== 0) return; // 32 bits, aligned (11.4.1)
    const s = this.state;
    value >>>= 0;
    switch (offset) {
      case Reg.ID:
        s.id = value >>> 24;
        return;
      case Reg.LDR:
        s.ldr = value & 0xff00_0000;
        return;
      case Reg.DFR:
        s.dfr = value | r.DFR_ONES;
        return;
      case Reg.ICR2:
        s.icrHigh = value & 0xff00_0000;
        return;
      case Reg.ICR:
        return this.command(value, wideDestination(s.icrHigh >>> 24));
      default:
        if (!this.writeRegister(offset, value)) this.receiver.error(r.ESR_ILLEGAL_REGISTER);
    }
  }

  /** The register at `offset`, in xAPIC's form; -1 where there is none. */
  readRegister(offset: number): number {
    const s = this.state;
    if (offset >= Reg.ISR && offset < Reg.ESR) {
      const words = offset < Reg.TMR ? this.#isr : offset < Reg.IRR ? this.#tmr : this.#irr;
      return Atomics.load(words, (offset >> 4) & 7) >>> 0;
    }
    switch (offset) {
      case Reg.ID:
        return (s.id << 24) >>> 0;
      case Reg.VERSION:
        return r.VERSION_VALUE | (this.#wiring.suppressesEoi ? r.VERSION_EOI_SUPPRESSION : 0);
      case Reg.TPR:
        return s.tpr;
      case Reg.APR:
        return this.#apr;
      case Reg.PPR:
        return this.receiver.ppr;
      case Reg.EOI:
        return 0;
      case Reg.LDR:
        return s.ldr;
      case Reg.DFR:
        return s.dfr;
      case Reg.SVR:
        return s.svr;
      case Reg.ESR:
        return s.esr;
      case Reg.ICR:
        return s.icrLow;
      case Reg.ICR2:
        return s.icrHigh;
      case Reg.TMICT:
        return s.initialCount;
      case Reg.TMCCT:
        return this.timer.currentCount;
      case Reg.TDCR:
        return s.divide;
    }
    const local = r.LVT.find((entry) => entry.offset === offset);
    return local === undefined ? -1 : this.#readLvt(local);
  }

  /** Writes a register that both modes have in the same form; false where there is none. */
  writeRegister(offset: number, value: number): boolean {
    const s = this.state;
    switch (offset) {
      case Reg.TPR:
        this.#setTpr(value & 0xff);
        return true;
      case Reg.EOI:
        this.#endOfInterrupt();
        return true;
      case Reg.SVR:
        this.#setSvr(value);
        return true;
      case Reg.ESR:
        s.esr = Atomics.exchange(s.errors, 0, 0);
        return true;
      case Reg.TMICT:
        this.timer.writeInitialCount(value);
        return true;
      case Reg.TDCR:
        this.timer.writeDivide(value);
        return true;
    }
    const local = r.LVT.find((entry) => entry.offset === offset);
    if (local === undefined) return false;
    // A disabled APIC's vectors cannot be unmasked (11.4.7.2).
    this.#writeLvt(local, (value & local.writable) | (s.svr & r.SVR_ENABLED ? 0 : r.MASKED));
    return true;
  }

  /** ICR: sends an interprocessor interrupt (11.6.1). `destination` has the form of a message's. */
  command(low: number, destination: number): void {
    this.state.icrLow = low & r.ICR_BITS;
    const mode = modeOf(low);
    const vector = low & r.VECTOR;
    if (mode <= DeliveryMode.lowestPriority && vector < r.FIRST_VECTOR) {
      return this.receiver.error(r.ESR_SEND_ILLEGAL_VECTOR);
    }
    // "INIT level de-assert" synchronised arbitration IDs once, and does nothing now.
    if (low & r.LEVEL_TRIGGERED && !(low & r.ICR_ASSERT)) return;
    const shorthand = (low >>> r.ICR_SHORTHAND_SHIFT) & 3;
    const message: ApicMessage = {
      destination: shorthand === r.Shorthand.none ? destination : BROADCAST,
      logical: shorthand === r.Shorthand.none && (low & r.ICR_LOGICAL) !== 0,
      mode,
      vector,
      level: true,
      levelTriggered: false, // processors send edges only (table 11-3)
    };
    if (shorthand === r.Shorthand.self) this.receiver.accept(message);
    else this.#wiring.bus.deliver(message, shorthand === r.Shorthand.others ? this.index : -1);
  }

  /** After the state was loaded from elsewhere: timer, pins and processor follow it. */
  refresh(): void {
    this.timer.refresh();
    this.receiver.lintProgrammed(0);
    this.receiver.lintProgrammed(1);
    this.#wiring.wake();
  }

  get #apr(): number {
    const { tpr } = this.state;
    const requested = Math.max(0, highestBit(this.#irr)) >> 4;
    const serving = Math.max(0, highestBit(this.#isr)) >> 4;
    const task = tpr >> 4;
    if (task >= requested && task > serving) return tpr;
    return Math.max(task & serving, requested) << 4;
  }

  #initialise(): void {
    const s = this.state;
    s.dfr = 0xffff_ffff;
    s.ldr = this.isX2 ? x2Logical(s.id) : 0;
    s.svr = r.SVR_VECTOR;
    for (const { field } of r.LVT) s[field] = r.MASKED;
    if (this.index === 0) s.lvtLint0 = DeliveryMode.extInt << r.MODE_SHIFT;
    s.initialCount =
      s.divide =
      s.count =
      s.countNs =
      s.deadlineLow =
      s.deadlineHigh =
        0;
    this.timer.refresh();
  }

  #setTpr(value: number): void {
    this.state.tpr = value;
    this.#wakeIfPending();
  }

  #endOfInterrupt(): void {
    const vector = highestBit(this.#isr);
    if (vector < 0) return;
    clearBit(this.#isr, vector);
    if (testBit(this.#tmr, vector)) {
      if (!(this.state.svr & r.SVR_SUPPRESS_EOI)) this.#wiring.endOfInterrupt(vector);
      this.receiver.endOfLint(0, vector);
      this.receiver.endOfLint(1, vector);
    }
    this.#wakeIfPending();
  }

  #setSvr(value: number): void {
    const s = this.state;
    const disables = (s.svr & r.SVR_ENABLED) !== 0 && !(value & r.SVR_ENABLED);
    s.svr = value & this.svrBits;
    if (disables) { for (const local of r.LVT) this.#writeLvt(local, s[local.field] | r.MASKED); }
    this.#wakeIfPending();
  }

  #readLvt({ offset, field }: LocalVector): number {
    const value = this.state[field];
    const pin = pinOf(offset);
    return pin !== undefined && this.receiver.lintAwaitsEoi(pin) ? value | r.REMOTE_IRR : value;
  }

  #writeLvt({ offset, field }: LocalVector, value: number): void {
    if (offset === Reg.LVT_TIMER) return this.timer.writeLvt(value);
    this.state[field] = value;
    const pin = pinOf(offset);
    if (pin !== undefined) this.receiver.lintProgrammed(pin);
  }

  #wakeIfPending(): void {
    if (this.pending() >= 0) this.#wiring.wake();
  }
}

const pinOf = (offset: number) =>
  offset === Reg.LVT_LINT0 ? 0 : offset === Reg.LVT_LINT1 ? 1 : undefined;

/** LDR in x2APIC mode (11.12.10.2): cluster of 16 in the upper half, place in it in the lower. */
export const x2Logical = (id: number): number => (((id >>> 4) << 16) | (1 << (id & 0xf))) >>> 0;
