/**
 * The x87's registers (Intel SDM volume 1, chapter 8). Control, status and tags lie where FXSAVE puts
 * them; the eight registers lie in its image by their physical number, and are put into the order of
 * the stack when an image is made or taken.
 */

import { CR0_EM, CR0_NE, CR0_TS } from "./control_bits.ts";
import { fault, Vector } from "../events/faults.ts";
import type { Real } from "../float/module.ts";
import { AT, MXCSR_AT, type SoftState } from "./state.ts";

const FCW = AT.xsave;
const FSW = AT.xsave + 2;
/** One bit a register: it holds something. */
const FTW = AT.xsave + 4;
const FOP = AT.xsave + 6;
const REGISTERS = AT.xsave + 32;

/** Bits of the status word. */
export const Status87 = {
  invalid: 1 << 0,
  exceptions: 0x3f,
  stackFault: 1 << 6,
  summary: 1 << 7,
  c0: 1 << 8,
  c1: 1 << 9,
  c2: 1 << 10,
  c3: 1 << 14,
  busy: 1 << 15,
} as const;

const TOP_SHIFT = 11;
/** Exceptions that, unmasked, keep an instruction from changing anything: IE, DE, ZE. */
export const BEFORE = 0b111;

/** What an instruction makes of an empty register: "real indefinite". */
export const INDEFINITE: Readonly<Real> = [-(1n << 62n), 0xffff];

/** See above. */
export class X87 {
  readonly #state: SoftState;
  readonly #data: DataView;

  /** @param data Memory 0. */
  constructor(state: SoftState, data: DataView) {
    this.#state = state;
    this.#data = data;
  }

  get control(): number {
    return this.#data.getUint16(FCW, true);
  }
  set control(value: number) {
    this.#data.setUint16(FCW, value & 0x1f7f | 0x40, true);
    this.updateSummary();
  }

  get status(): number {
    return this.#data.getUint16(FSW, true);
  }
  set status(value: number) {
    this.#data.setUint16(FSW, value, true);
  }

  get tags(): number {
    return this.#data.getUint8(FTW);
  }
  set tags(value: number) {
    this.#data.setUint8(FTW, value);
  }

  get top(): number {
    return this.status >> TOP_SHIFT & 7;
  }
  set top(value: number) {
    this.status = this.status & ~(7 << TOP_SHIFT) | (value & 7) << TOP_SHIFT;
  }

  /** Is ST(i) empty? */
  isEmpty(i: number): boolean {
    return (this.tags >> (this.top + i & 7) & 1) === 0;
  }

  /** ST(i), whether or not it holds something. */
  read(i: number): Real {
    return this.readPhysical(this.top + i & 7);
  }

  readPhysical(n: number): Real {
    const at = REGISTERS + n * 16;
    return [this.#data.getBigInt64(at, true), this.#data.getUint16(at + 8, true)];
  }

  write(i: number, [significand, rest]: Readonly<Real>): void {
    this.writePhysical(this.top + i & 7, [significand, rest]);
    this.tags |= 1 << (this.top + i & 7);
  }

  writePhysical(n: number, [significand, rest]: Readonly<Real>): void {
    const at = REGISTERS + n * 16;
    this.#data.setBigInt64(at, significand, true);
    this.#data.setUint16(at + 8, rest & 0xffff, true);
    for (let i = 10; i < 16; i += 2) this.#data.setUint16(at + i, 0, true);
  }

  free(i: number): void {
    this.tags &= ~(1 << (this.top + i & 7));
  }

  pop(): void {
    this.free(0);
    this.top++;
  }

  /** Puts a value onto the stack; a full one gives the indefinite instead. */
  push(value: Readonly<Real>): void {
    if (!this.isEmpty(7)) {
      if (!this.report(Status87.invalid | Status87.stackFault | Status87.c1)) return;
      value = INDEFINITE;
    }
    this.top--;
    this.write(0, value);
  }

  /** #NM where the x87 is not to be used, #MF for an exception that waits. */
  begin(waits: boolean): void {
    const state = this.#state;
    if ((state.cr0 & (CR0_EM | CR0_TS)) !== 0) fault(state, Vector.deviceNotAvailable);
    if (waits) this.checkPending();
  }

  /** #MF if an unmasked exception waits. */
  checkPending(): void {
    const state = this.#state;
    if ((this.status & Status87.summary) !== 0 && (state.cr0 & CR0_NE) !== 0) {
      fault(state, Vector.floatingPoint);
    }
  }

  /** C1 is 0 after most instructions, unless they report it. */
  clearC1(): void {
    this.status &= ~Status87.c1;
  }

  /**
   * Notes what an instruction reports (status word layout). False: an unmasked exception keeps it
   * from storing anything.
   */
  report(flags: number): boolean {
    const { c0, c1, c2, c3, stackFault, exceptions } = Status87;
    this.status |= flags & (exceptions | stackFault | c0 | c1 | c2 | c3);
    this.updateSummary();
    return (flags & ~this.control & BEFORE) === 0;
  }

  /** An operand is empty: the invalid operation with the stack's flag. */
  underflow(): boolean {
    this.clearC1();
    return this.report(Status87.invalid | Status87.stackFault);
  }

  /** ES and B say whether an unmasked exception waits. */
  updateSummary(): void {
    const waits = (this.status & ~this.control & Status87.exceptions) !== 0;
    const both = Status87.summary | Status87.busy;
    this.status = waits ? this.status | both : this.status & ~both;
  }

  /** FNINIT. */
  initialize(): void {
    this.#data.setUint16(FCW, 0x37f, true);
    this.status = 0;
    this.tags = 0;
    // The last instruction and operand, of which only what FXRSTOR brings is kept.
    for (let at = FOP; at < MXCSR_AT; at += 2) this.#data.setUint16(at, 0, true);
  }

  /** The tag word in its long form: two bits a register, by value. */
  fullTags(examine: (value: Real) => number): number {
    let word = 0;
    for (let n = 0; n < 8; n++) {
      word |= ((this.tags >> n & 1) === 0 ? 3 : examine(this.readPhysical(n))) << (2 * n);
    }
    return word;
  }

  setFullTags(word: number): void {
    let tags = 0;
    for (let n = 0; n < 8; n++) if ((word >> (2 * n) & 3) !== 3) tags |= 1 << n;
    this.tags = tags;
  }
}

/** Moves the registers of an FXSAVE image by `by` places: from physical to stack order and back. */
export function rotateImage(image: Uint8Array, by: number): void {
  const old = image.slice(32, 160);
  for (let i = 0; i < 8; i++) {
    const from = (i + by & 7) * 16;
    image.set(old.subarray(from, from + 16), 32 + i * 16);
  }
}
