/**
 * Real-mode `INT 80h` to `INT FFh` where KVM emulates real mode.
 *
 * KVM's instruction emulator takes the vector of `INT n` as a signed byte: for 80h and above it looks
 * for the handler below address 0, fails, and tries again for ever, without an exit. It hits hosts
 * whose processor does not run real-mode code itself; ELKS, for one, makes its system calls so.
 *
 * Each of KVM's tries has pushed the frame and cleared IF before it fails, so that what IF was is lost
 * for a processor that is found there; it is taken to have been set, as for a call of a service it is.
 * At a breakpoint nothing is lost.
 *
 * A timer interrupts the processor now and then; if it is found at such an instruction, that is
 * carried out here, and a hardware breakpoint is put there (the four last places have one), by which
 * the next time costs an exit instead of a period of the timer.
 *
 * References: Intel SDM volume 2, "INT n"; Linux arch/x86/kvm/emulate.c takes SrcImmByte for CDh;
 * Documentation/virt/kvm/api.rst, 4.87 KVM_SET_GUEST_DEBUG.
 */

import { bytesOf } from "../../core/state/record.ts";
import { currentThreadId } from "../../sys/thread.ts";
import { ThreadTimer } from "../../sys/thread_timer.ts";
import { call, KVM_SET_GUEST_DEBUG } from "./api/ioctl.ts";
import type { KvmRegisters } from "./state/registers.ts";
import { kvm_guest_debug } from "./api/structs.ts";

/**
 * How long a guest waits at such an instruction the first time, ns: most guests have none, and each
 * interruption costs them time; one that has come to one has more, at other places.
 */
const PERIOD_NS = 20_000_000;
const QUICK_PERIOD_NS = 2_000_000;
/** Interruptions without such an instruction until the longer period is enough again. */
const QUICK_PERIODS = 100;
const INT_N = 0xcd;
const LENGTH = 2;
const CR0_PE = 1;
const IF = 0x200;
const TF = 0x100;
const AC = 0x4_0000;
const KVM_GUESTDBG_ENABLE = 1;
const KVM_GUESTDBG_USE_HW_BP = 0x2_0000;
const BREAKPOINTS = 4;
/** Bit 10 of DR7 is always set; breakpoint i is enabled by bit 2i. */
const DR7_FIXED = 0x400;

/** The processor that is helped. */
export interface HighInterruptsHost {
  /** Descriptor of the vCPU. */
  readonly fd: number;
  readonly registers: KvmRegisters;
  /** Up to `length` bytes of guest memory at a guest-physical address, copied. */
  readGuest(address: number, length: number): Uint8Array;
  /** Guest memory to be written, or undefined unless all of it can be. */
  guestView(address: number, length: number): Uint8Array | undefined;
}

/** See above. Made by the thread that runs the processor. */
export class HighInterrupts implements Disposable {
  readonly #host: HighInterruptsHost;
  readonly #timer: ThreadTimer;
  /** Linear addresses with a breakpoint, the oldest first. */
  #places: number[] = [];
  /** Periods until the timer slows down; 0: it has. */
  #quickPeriods = 0;

  constructor(host: HighInterruptsHost) {
    this.#host = host;
    this.#timer = new ThreadTimer(currentThreadId(), PERIOD_NS);
  }

  /**
   * Carries the instruction out if the processor stands at one; false when it does not.
   *
   * @param stalled KVM has had time to try it, unlike at a breakpoint.
   */
  step(stalled = true): boolean {
    const { registers } = this.#host;
    registers.load();
    if ((registers.cr0 & CR0_PE) !== 0) return false;
    const at = registers.cs.base + registers.ip;
    const code = this.#host.readGuest(at, LENGTH);
    if (code.length < LENGTH || code[0] !== INT_N || code[1] < 0x80) return false;
    if (!this.#interrupt(code[1], stalled)) return false;
    registers.store();
    if (!this.#places.includes(at)) {
      this.#places = [...this.#places, at].slice(-BREAKPOINTS);
      this.#setBreakpoints();
    }
    return true;
  }

  /** The timer, or somebody else, has interrupted the processor; `getsOn`: it has had exits since. */
  interrupted(getsOn: boolean): void {
    if (!getsOn && this.step()) {
      if (this.#quickPeriods === 0) this.#timer.setPeriod(QUICK_PERIOD_NS);
      this.#quickPeriods = QUICK_PERIODS;
    } else if (this.#quickPeriods > 0 && --this.#quickPeriods === 0) {
      this.#timer.setPeriod(PERIOD_NS);
    }
  }

  /** The processor has come to a breakpoint; when there is other code now, it goes on without. */
  atBreakpoint(linear: number): void {
    if (this.step(false)) return;
    this.#places = this.#places.filter((place) => place !== linear);
    this.#setBreakpoints();
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  /** INT n in real mode: FLAGS, CS and IP go on the stack, CS:IP comes from the vector table. */
  #interrupt(vector: number, stalled: boolean): boolean {
    const { registers: r } = this.#host;
    const entry = this.#host.readGuest(r.idtBase + vector * 4, 4);
    if (entry.length < 4) return false;
    const slots = [2, 4, 6].map((below) =>
      this.#host.guestView(r.ss.base + ((r.esp - below) & 0xffff), 2)
    );
    const values = [r.eflags, r.cs.selector, (r.ip + LENGTH) & 0xffff];
    // The frame is there already: KVM has tried. After its first try, IF is still set in the frame.
    const tried = slots.every((slot, i) => {
      if (slot === undefined) return false;
      const different = (slot[0] | slot[1] << 8) ^ values[i];
      return (different & 0xffff & (i === 0 ? ~(IF | TF) : -1)) === 0;
    });
    if (stalled && tried) values[0] |= IF;
    for (const [i, slot] of slots.entries()) {
      if (slot === undefined) return false;
      slot[0] = values[i] & 0xff;
      slot[1] = (values[i] >>> 8) & 0xff;
    }
    const sp = (r.esp - 6) & 0xffff;
    r.esp = (r.esp & 0xffff_0000) | sp;
    r.eflags &= ~(IF | TF | AC);
    r.ip = entry[0] | (entry[1] << 8);
    r.cs.selector = entry[2] | (entry[3] << 8);
    return true;
  }

  #setBreakpoints(): void {
    const debug = new kvm_guest_debug(new ArrayBuffer(kvm_guest_debug.byteLength));
    let enabled = DR7_FIXED;
    for (const [i, place] of this.#places.entries()) {
      debug.debugreg[i] = BigInt(place);
      enabled |= 1 << (2 * i);
    }
    debug.debugreg[7] = BigInt(enabled);
    debug.control = this.#places.length === 0 ? 0 : KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    call(this.#host.fd, KVM_SET_GUEST_DEBUG, bytesOf(debug));
  }
}
