/**
 * The registers of a stopped processor with few calls to KVM.
 *
 * KVM can store them in the shared page at every exit and take changed ones from there at the next
 * run (KVM_CAP_SYNC_REGS). That makes every exit a little slower, so it is asked for only while
 * somebody looks at the registers often, as the firmware's services do: a call costs 0.5 µs on an
 * ordinary host and 10 µs on one whose KVM is itself emulated.
 */

import * as k from "../api/ioctl.ts";
import { call } from "../api/ioctl.ts";
import {
  KVM_SYNC_X86_EVENTS,
  KVM_SYNC_X86_REGS,
  KVM_SYNC_X86_SREGS,
  RUN,
} from "../api/run_page.ts";
import { kvm_regs, kvm_sregs, kvm_vcpu_events } from "../api/structs.ts";

/** Looks at the registers with at most so many exits from one to the next are often. */
const OFTEN_EXITS = 32;

const INTERRUPT_BITMAP = kvm_sregs.layout.find(({ name }) => name === "interrupt_bitmap")!;

/** A set of registers: its bit in the page's masks, its place there, and its calls. */
interface RegisterSet {
  readonly bit: number;
  readonly offset: number;
  readonly byteLength: number;
  readonly get: k.Ioctl;
  readonly set: k.Ioctl;
}

const REGS: RegisterSet = {
  bit: KVM_SYNC_X86_REGS,
  offset: RUN.sync_regs,
  byteLength: kvm_regs.byteLength,
  get: k.KVM_GET_REGS,
  set: k.KVM_SET_REGS,
};
const SREGS: RegisterSet = {
  bit: KVM_SYNC_X86_SREGS,
  offset: RUN.sync_sregs,
  byteLength: kvm_sregs.byteLength,
  get: k.KVM_GET_SREGS,
  set: k.KVM_SET_SREGS,
};
const EVENTS: RegisterSet = {
  bit: KVM_SYNC_X86_EVENTS,
  offset: RUN.sync_events,
  byteLength: kvm_vcpu_events.byteLength,
  get: k.KVM_GET_VCPU_EVENTS,
  set: k.KVM_SET_VCPU_EVENTS,
};
/** In the order in which KVM takes them: regs make it forget a pending exception, events come last. */
const SETS = [REGS, SREGS, EVENTS];

/** Where a processor's registers are: in KVM, or in the shared page. */
export class RegisterSync {
  readonly #fd: () => number;
  readonly #available: number;
  #page: Uint8Array;
  /** Sets that KVM stores at every exit. */
  #requested = 0;
  /** Sets that are up to date in the page. */
  #fresh = 0;
  /** Exits since the last one at which somebody looked, as far as they count. */
  #exits = OFTEN_EXITS + 1;
  #often = false;

  /**
   * @param fd Descriptor of the vCPU.
   * @param page struct kvm_run.
   * @param available What KVM_CAP_SYNC_REGS answers.
   */
  constructor(fd: () => number, page: Uint8Array, available: number) {
    this.#fd = fd;
    this.#page = page;
    this.#available = available & (REGS.bit | SREGS.bit | EVENTS.bit);
  }

  /** To be called after every KVM_RUN. */
  ran(): void {
    // Another thread's object may have ended what this one asked for.
    this.#fresh = this.#requested & this.#page[RUN.kvm_valid_regs];
    if (this.#exits <= OFTEN_EXITS) this.#exits++;
    else if (this.#requested !== 0) this.#request(0);
  }

  /** Copies a kvm_regs into `into`. */
  load(into: Uint8Array): void {
    this.#load(REGS, into);
  }

  /**
   * Copies a kvm_sregs into `into`, with an empty interrupt bitmap: KVM never clears it in the page, and
   * would deliver what stands there, long since delivered, when the registers are stored again.
   */
  loadSpecial(into: Uint8Array): void {
    this.#load(SREGS, into);
    into.fill(0, INTERRUPT_BITMAP.offset, INTERRUPT_BITMAP.offset + INTERRUPT_BITMAP.size);
  }

  /** Copies a kvm_vcpu_events into `into`. */
  loadEvents(into: Uint8Array): void {
    this.#load(EVENTS, into);
  }

  /**
   * Makes the kvm_regs `from` the processor's, at the latest when it runs next. KVM forgets an
   * exception that is pending.
   */
  store(from: Uint8Array): void {
    this.#store(REGS, from);
  }

  /** The same for a kvm_sregs. */
  storeSpecial(from: Uint8Array): void {
    this.#store(SREGS, from);
  }

  /** The same for a kvm_vcpu_events, whose flags say what counts. */
  storeEvents(from: Uint8Array): void {
    this.#store(EVENTS, from);
  }

  /** Gives KVM what is stored in the page, also by another thread. */
  flush(): void {
    const dirty = this.#page[RUN.kvm_dirty_regs];
    if (dirty === 0) return;
    this.#page[RUN.kvm_dirty_regs] = 0;
    for (const { bit, offset, byteLength, set } of SETS) {
      if ((dirty & bit) === 0) continue;
      const registers = new Uint8Array(byteLength);
      this.#copy(offset, registers);
      call(this.#fd(), set, registers);
    }
  }

  /** Forgets what is in the page: the processor gets another state. */
  discard(): void {
    this.#page[RUN.kvm_dirty_regs] = 0;
    this.#fresh = 0;
  }

  /** The page is about to be unmapped. */
  end(): void {
    this.#page = new Uint8Array(this.#page.length);
  }

  #load({ bit, offset, get }: RegisterSet, into: Uint8Array): void {
    if ((this.#fresh & bit) !== 0) {
      this.#copy(offset, into);
    } else {
      const fd = this.#fd();
      this.flush();
      call(fd, get, into);
    }
    this.#looked(bit);
  }

  #store({ bit, offset, set }: RegisterSet, from: Uint8Array): void {
    const fd = this.#fd();
    if ((this.#available & bit) === 0) {
      this.flush();
      call(fd, set, from);
      return;
    }
    this.#page.set(from, offset);
    this.#page[RUN.kvm_dirty_regs] |= bit;
    this.#fresh |= bit;
  }

  #copy(offset: number, into: Uint8Array): void {
    for (let i = 0; i < into.length; i++) into[i] = this.#page[offset + i];
  }

  #looked(set: number): void {
    if (this.#exits > 0) this.#often = this.#exits <= OFTEN_EXITS;
    this.#exits = 0;
    if (this.#often) this.#request(this.#requested | set);
  }

  #request(sets: number): void {
    const possible = sets & this.#available;
    if (possible === this.#requested) return;
    this.#requested = possible;
    this.#page[RUN.kvm_valid_regs] = possible;
  }
}
