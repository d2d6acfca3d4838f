/**
 * The registers of a stopped processor with few calls to KVM.
 *
 * KVM can store them in the shared page at every exit and take changed ones from there at the next
 * run (KVM_CAP_SYNC_REGS). That makes every exit a little slower, so it is asked for only while
 * somebody looks at the registers often, as the firmware's services do: a call costs 0.5 µs on an
 * ordinary host and 10 µs on one whose KVM is itself emulated.
 */

import { call, KVM_GET_REGS, KVM_GET_SREGS, KVM_SET_REGS, KVM_SET_SREGS } from "./ioctl.ts";
import { KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, RUN } from "./run_page.ts";
import { kvm_regs, kvm_sregs } from "./structs.ts";

/** Looks at the registers with at most so many exits from one to the next are often. */
const OFTEN_EXITS = 32;

const INTERRUPT_BITMAP = kvm_sregs.layout.find(({ name }) => name === "interrupt_bitmap")!;

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
    this.#available = available & (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
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
    if ((this.#fresh & KVM_SYNC_X86_REGS) !== 0) {
      this.#copy(RUN.sync_regs, into);
    } else {
      const fd = this.#fd();
      this.flush();
      call(fd, KVM_GET_REGS, into);
    }
    this.#looked(KVM_SYNC_X86_REGS);
  }

  /**
   * Copies a kvm_sregs into `into`, with an empty interrupt bitmap: KVM never clears it in the page, and
   * would deliver what stands there, long since delivered, when the registers are stored again.
   */
  loadSpecial(into: Uint8Array): void {
    if ((this.#fresh & KVM_SYNC_X86_SREGS) !== 0) this.#copy(RUN.sync_sregs, into);
    else call(this.#fd(), KVM_GET_SREGS, into);
    into.fill(0, INTERRUPT_BITMAP.offset, INTERRUPT_BITMAP.offset + INTERRUPT_BITMAP.size);
    this.#looked(KVM_SYNC_X86_SREGS);
  }

  /** Makes the kvm_regs `from` the processor's, at the latest when it runs next. */
  store(from: Uint8Array): void {
    if ((this.#available & KVM_SYNC_X86_REGS) === 0) {
      call(this.#fd(), KVM_SET_REGS, from);
      return;
    }
    this.#fd();
    this.#page.set(from, RUN.sync_regs);
    this.#page[RUN.kvm_dirty_regs] |= KVM_SYNC_X86_REGS;
    this.#fresh |= KVM_SYNC_X86_REGS;
  }

  /** Makes the kvm_sregs `from` the processor's. */
  storeSpecial(from: Uint8Array): void {
    call(this.#fd(), KVM_SET_SREGS, from);
    this.#fresh &= ~KVM_SYNC_X86_SREGS;
  }

  /** Gives KVM what is stored in the page, also by another thread. */
  flush(): void {
    if ((this.#page[RUN.kvm_dirty_regs] & KVM_SYNC_X86_REGS) === 0) return;
    const regs = new Uint8Array(kvm_regs.byteLength);
    this.#copy(RUN.sync_regs, regs);
    call(this.#fd(), KVM_SET_REGS, regs);
    this.#page[RUN.kvm_dirty_regs] = 0;
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
