/**
 * What a local APIC takes from outside: messages, its pins, its processor's own events, its timer.
 *
 * Reference: Intel SDM volume 3, 11.5 "Handling local interrupts", 11.6.2 "Determining IPI destination",
 * 11.8 "Handling interrupts".
 *
 * Everything here may be called by any thread, under any lock: it changes the `Atomics` words of the
 * state (trigger mode before request, see requests.ts) and then calls `wake`. The local
 * vectors and the destination registers, which the processor's own thread writes, are only read.
 *
 * Lines are asserted or not; the polarity bits are kept without effect.
 */

import { type ApicMessage, BROADCAST, DeliveryMode } from "../apic_message.ts";
import * as r from "./registers.ts";
import { Latch, type LocalApicState } from "./registers.ts";
import { clearBit, highestBit, setBit } from "./requests.ts";

/** Bit of LINT0 in `LocalApicState.lint`; LINT1 follows. */
const LINT_ASSERTED = 1;
/** Shift from a pin's "asserted" bit to its "not ended yet" bit. */
const LINT_REMOTE_SHIFT = 2;

/** Latch of each delivery mode; 0: reserved, or a vector. */
const LATCH_OF_MODE = [0, 0, Latch.smi, 0, Latch.nmi, Latch.init, Latch.startUp, Latch.extInt];

/** Delivery mode of a local vector or an interrupt command. */
export const modeOf = (value: number): DeliveryMode => (value & r.MODE_BITS) >>> r.MODE_SHIFT;

/** A pin: LINT0 takes the 8259s' INTR on a PC, LINT1 the NMI. */
export type LintPin = 0 | 1;

/** See above. */
export class LocalApicReceiver {
  readonly #state: LocalApicState;
  readonly #wake: () => void;
  readonly #irr: Int32Array;
  readonly #isr: Int32Array;
  readonly #tmr: Int32Array;

  /** @param wake There may be something for the processor; called on any thread. */
  constructor(state: LocalApicState, wake: () => void) {
    this.#state = state;
    this.#wake = wake;
    this.#irr = state.irr;
    this.#isr = state.isr;
    this.#tmr = state.tmr;
  }

  /** Is it enabled in IA32_APIC_BASE? If not, LINT0 and LINT1 are the processor's INTR and NMI. */
  get enabled(): boolean {
    return (this.#state.baseLow & r.BASE_ENABLED) !== 0;
  }

  /** Does it take fixed interrupts: enabled in IA32_APIC_BASE and SVR? */
  get takesFixed(): boolean {
    return this.enabled && (this.#state.svr & r.SVR_ENABLED) !== 0;
  }

  /** Processor priority (11.8.3.1). */
  get ppr(): number {
    const { tpr } = this.#state;
    const inService = Math.max(0, highestBit(this.#isr));
    return tpr >> 4 >= inService >> 4 ? tpr : inService & 0xf0;
  }

  /** Is a message to `destination` for this APIC? */
  hears(destination: number, logical: boolean): boolean {
    const s = this.#state;
    if (!this.enabled) return false;
    if (destination === BROADCAST) return true;
    if (!logical) return destination === s.id;
    const { ldr } = s;
    if (s.baseLow & r.BASE_X2APIC) {
      return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
    }
    if (destination > 0xff) return false;
    const members = ldr >>> 24;
    const model = s.dfr >>> 28;
    if (model === r.DFR_FLAT) return (members & destination) !== 0;
    const inCluster = destination >> 4 === members >> 4 || destination >> 4 === 0xf;
    return model === r.DFR_CLUSTER && inCluster && (members & destination & 0xf) !== 0;
  }

  /** Takes a message that is for this APIC; false when it takes none of that kind. */
  accept({ mode, vector, levelTriggered, level }: ApicMessage): boolean {
    if (levelTriggered && !level) return false;
    if (mode > DeliveryMode.lowestPriority) return this.#latch(mode, vector);
    if (!this.takesFixed) return false;
    this.#take(vector, levelTriggered);
    return true;
  }

  /** An edge of a local vector (11.5.1): the timer's, or an event of the processor. */
  deliverLocal(lvt: number): void {
    if (lvt & r.MASKED || !this.enabled) return;
    const mode = modeOf(lvt);
    if (mode === DeliveryMode.fixed) this.#take(lvt & r.VECTOR, false);
    else this.#latch(mode, 0);
  }

  /** Notes errors for ESR, and interrupts if they are the first since it was written (11.5.3). */
  error(bits: number): void {
    if (Atomics.or(this.#state.errors, 0, bits) === 0) this.deliverLocal(this.#state.lvtError);
  }

  /** Level of a pin. */
  setLint(pin: LintPin, level: boolean): void {
    const { lint } = this.#state;
    const bit = LINT_ASSERTED << pin;
    const before = level ? Atomics.or(lint, 0, bit) : Atomics.and(lint, 0, ~bit);
    if (level && !(before & bit)) this.#lintRises(pin);
  }

  /** Do the 8259s' interrupts reach the processor, and have they one? */
  get extIntPending(): boolean {
    const s = this.#state;
    if (Atomics.load(s.latches, 0) & Latch.extInt) return true;
    if (!(Atomics.load(s.lint, 0) & LINT_ASSERTED)) return false;
    if (!this.enabled) return true;
    return !(s.lvtLint0 & r.MASKED) && modeOf(s.lvtLint0) === DeliveryMode.extInt;
  }

  /** Does the pin's level-triggered interrupt await its EOI? */
  lintAwaitsEoi(pin: LintPin): boolean {
    return (Atomics.load(this.#state.lint, 0) & remoteBit(pin)) !== 0;
  }

  /** Sets what `lintAwaitsEoi` says, for a state that comes from elsewhere. */
  setLintAwaitsEoi(pin: LintPin, awaits: boolean): void {
    const { lint } = this.#state;
    if (awaits) Atomics.or(lint, 0, remoteBit(pin));
    else Atomics.and(lint, 0, ~remoteBit(pin));
  }

  /** An interrupt has ended: a pin whose vector it was asks again while it is asserted. */
  endOfLint(pin: LintPin, vector: number): void {
    if ((this.#lintVector(pin) & r.VECTOR) !== vector) return;
    if (!(Atomics.and(this.#state.lint, 0, ~remoteBit(pin)) & remoteBit(pin))) return;
    this.lintProgrammed(pin);
  }

  /** The pin's local vector was written: a level that is there asks. */
  lintProgrammed(pin: LintPin): void {
    const { lint } = this.#state;
    const lvt = this.#lintVector(pin);
    const isLevel = isLevelTriggered(lvt);
    if (!isLevel) Atomics.and(lint, 0, ~remoteBit(pin));
    if (!(Atomics.load(lint, 0) & (LINT_ASSERTED << pin))) return;
    if (isLevel || modeOf(lvt) === DeliveryMode.extInt) this.#lintRises(pin);
  }

  #lintVector(pin: LintPin): number {
    return pin === 0 ? this.#state.lvtLint0 : this.#state.lvtLint1;
  }

  #lintRises(pin: LintPin): void {
    const lvt = this.#lintVector(pin);
    if (!this.enabled) {
      if (pin === 0) this.#wake();
      else this.#latch(DeliveryMode.nmi, 0);
    } else if (lvt & r.MASKED) {
      return;
    } else if (modeOf(lvt) === DeliveryMode.extInt) {
      this.#wake();
    } else if (!isLevelTriggered(lvt)) {
      this.deliverLocal(lvt);
    } else if (!(Atomics.or(this.#state.lint, 0, remoteBit(pin)) & remoteBit(pin))) {
      this.#take(lvt & r.VECTOR, true);
    }
  }

  /** Sets the request of `vector`, unless it is an exception's. */
  #take(vector: number, levelTriggered: boolean): void {
    if (vector < r.FIRST_VECTOR) return this.error(r.ESR_RECEIVE_ILLEGAL_VECTOR);
    if (levelTriggered) setBit(this.#tmr, vector);
    else clearBit(this.#tmr, vector);
    if (setBit(this.#irr, vector)) this.#wake();
  }

  #latch(mode: DeliveryMode, vector: number): boolean {
    const { latches, startUpVector } = this.#state;
    const latch = LATCH_OF_MODE[mode & 7];
    if (latch === 0) return false;
    // A start-up interrupt counts after the INIT only.
    if (latch === Latch.init) Atomics.and(latches, 0, ~Latch.startUp);
    if (latch === Latch.startUp) Atomics.store(startUpVector, 0, vector);
    Atomics.or(latches, 0, latch);
    this.#wake();
    return true;
  }
}

const remoteBit = (pin: LintPin): number => LINT_ASSERTED << pin << LINT_REMOTE_SHIFT;

const isLevelTriggered = (lvt: number): boolean =>
  (lvt & r.LEVEL_TRIGGERED) !== 0 && modeOf(lvt) === DeliveryMode.fixed;
