/**
 * Hardware breakpoints (Intel SDM volume 3, 17.2 and 17.3), without a cost while none is enabled.
 *
 * Pages with a data breakpoint are kept out of the soft TLB, so that their accesses come by here, and
 * code in pages with an execute breakpoint runs an instruction at a time. An access that meets a
 * breakpoint first makes its instruction begin again alone (`GuestAlone`); when it then meets it, that
 * is noted in `SoftState.pendingDebug`, which the processor looks at after the instruction.
 */

import { CR4_DE } from "../state/control_bits.ts";
import { fault, runAlone, Vector } from "./faults.ts";
import { RF } from "../state/flags_word.ts";
import { CodeSize, Seg, type SoftState } from "../state/state.ts";

/** Bits of DR6: 0 to 3 say which breakpoints were met. */
export const DR6_BD = 1 << 13;
export const DR6_BS = 1 << 14;
export const DR6_BT = 1 << 15;
/** Those of the breakpoints. */
const DR6_MET = 0xf;
/** Bits of DR6 that read as ones. */
export const DR6_ONES = 0xffff_0ff0 | 0;
/** Bits of DR6 that may be written. */
export const DR6_WRITABLE = 0xe00f;
/** Enables of breakpoints 0 to 3, local and global ones by turns. */
const DR7_ENABLES = 0xff;
/** Local enables, and LE: a task switch clears them. */
export const DR7_LOCAL = 0x155;
export const DR7_GD = 1 << 13;
export const DR7_ONES = 0x400;
/** Bits of DR7 that may be written. */
export const DR7_WRITABLE = 0xffff_23ff | 0;

/** R/W fields of DR7. */
const Kind = { execute: 0, write: 1, port: 2, access: 3 } as const;
/** Bytes by the LEN fields. */
const LENGTHS = [1n, 2n, 8n, 4n] as const;
const SHADOW_SS = 1;

interface Breakpoint {
  /** Its bit of DR6. */
  readonly bit: number;
  readonly kind: number;
  readonly first: bigint;
  readonly last: bigint;
}

const pageOf = (linear: bigint): bigint => linear >> 12n;

/** See above. */
export class Breakpoints {
  /**
   * The current instruction runs alone, or an exception is being delivered: what is met is noted.
   */
  alone = false;
  readonly #state: SoftState;
  readonly #changed: () => void;
  #data: readonly Breakpoint[] = [];
  #code: readonly Breakpoint[] = [];
  #ports: readonly Breakpoint[] = [];

  /** @param changed Called when other pages than before must not be met unseen. */
  constructor(state: SoftState, changed: () => void) {
    this.#state = state;
    this.#changed = changed;
  }

  get onData(): boolean {
    return this.#data.length > 0;
  }

  get onCode(): boolean {
    return this.#code.length > 0;
  }

  /** Works out again what is enabled, after a change of DR0-DR3, DR7 or CR4.DE. */
  update(): void {
    const before = this.#data.length + this.#code.length;
    const { dr7, cr4 } = this.#state;
    const enabled = (dr7 & DR7_ENABLES) === 0
      ? []
      : [0, 1, 2, 3].filter((n) => (dr7 >> (2 * n) & 3) !== 0).map((n) => this.#breakpoint(n));
    this.#code = enabled.filter(({ kind }) => kind === Kind.execute);
    this.#data = enabled.filter(({ kind }) => kind === Kind.write || kind === Kind.access);
    this.#ports = (cr4 & CR4_DE) === 0 ? [] : enabled.filter(({ kind }) => kind === Kind.port);
    if (before + this.#data.length + this.#code.length > 0) this.#changed();
  }

  #breakpoint(n: number): Breakpoint {
    const { dr7, debugAddresses } = this.#state;
    const control = dr7 >>> (16 + 4 * n) & 15;
    const kind = control & 3;
    const length = kind === Kind.execute ? 1n : LENGTHS[control >> 2];
    const first = debugAddresses[n] & ~(length - 1n);
    return { bit: 1 << n, kind, first, last: first + length - 1n };
  }

  /** Is there a data breakpoint in the page of `linear`? */
  isPageWatched(linear: bigint): boolean {
    const page = pageOf(linear);
    return this.#data.some(({ first }) => pageOf(first) === page);
  }

  /**
   * An access to `bytes` bytes at `linear`: false if its instruction must begin again alone. What is
   * met is noted.
   */
  access(linear: bigint, bytes: number, isWrite: boolean): boolean {
    const met = this.#met(this.#data, linear, bytes, isWrite);
    if (met !== 0 && !this.alone) return false;
    this.#state.pendingDebug |= met;
    return true;
  }

  /**
   * As `access`, of a service, which may have changed something when it comes to what a breakpoint
   * watches: its instruction runs alone from the first touch of a page with one. Throws `GuestAlone`.
   */
  serviceAccess(linear: bigint, bytes: number, isWrite: boolean): void {
    const last = BigInt.asUintN(64, linear + BigInt(bytes - 1));
    const near = this.isPageWatched(linear) || this.isPageWatched(last);
    if (near && !this.alone) runAlone();
    this.access(linear, bytes, isWrite);
  }

  /** An access to ports, before it is made. Throws `GuestAlone`. */
  portAccess(port: number, bytes: number): void {
    if (this.#ports.length === 0) return;
    const met = this.#met(this.#ports, BigInt(port), bytes, true);
    if (met !== 0 && !this.alone) runAlone();
    this.#state.pendingDebug |= met;
  }

  #met(among: readonly Breakpoint[], first: bigint, bytes: number, isWrite: boolean): number {
    const last = first + BigInt(bytes - 1);
    let met = 0;
    for (const one of among) {
      const counts = isWrite || one.kind !== Kind.write;
      if (counts && one.first <= last && one.last >= first) met |= one.bit;
    }
    return met;
  }

  /** DR6 has the causes of the #DB that is delivered now, and no breakpoints of earlier ones. */
  show(causes: number): void {
    this.#state.dr6 = this.#state.dr6 & ~DR6_MET | causes;
  }

  /** The #DB that is delivered now is for what has been met. */
  takePending(): void {
    this.show(this.#state.pendingDebug);
    this.#state.pendingDebug = 0;
  }

  /** Must the code in the page of `rip` run an instruction at a time? */
  isCodePageWatched(): boolean {
    if (this.#code.length === 0) return false;
    const page = pageOf(this.#linearRip());
    return this.#code.some(({ first }) => pageOf(first) === page);
  }

  /** #DB before the instruction at `rip`, unless RF or a load of SS before it forbids. */
  checkCode(shadow: number): void {
    if (this.#code.length === 0) return;
    const state = this.#state;
    if ((state.eflags & RF) !== 0 || (shadow & SHADOW_SS) !== 0) return;
    const met = this.#met(this.#code, this.#linearRip(), 1, false);
    if (met === 0) return;
    this.show(met);
    fault(state, Vector.debug);
  }

  #linearRip(): bigint {
    const { rip, modeKey, segments } = this.#state;
    return (modeKey & 3) === CodeSize.bits64 ? rip : rip + segments[Seg.cs].base & 0xffff_ffffn;
  }
}
