/**
 * A virtual processor of the software CPU: enters generated code and acts on what it comes back
 * with, until something needs the host.
 */

import { type Access, Exit, type InterruptSource, type Vcpu } from "../accelerator.ts";
import { Activity, type CpuState } from "../cpu_state.ts";
import { DR6_BS } from "./events/breakpoints.ts";
import { Status } from "./codegen/operation.ts";
import { Cpu, type CpuContext } from "./cpu.ts";
import { Vector } from "./events/faults.ts";
import { IF, RF, TF } from "./state/flags_word.ts";
import { deliver, type Event } from "./events/interrupts.ts";
import { SoftRegisters } from "./state/registers.ts";
import { initCpu, resetCpu, startCpu } from "./state/reset.ts";
import { Pending } from "./state/state.ts";
import { checkState, restoreState, saveState } from "./state/state_transfer.ts";

const NO_EXIT = -1;
const SHADOW_SS = 1;

/** See `Vcpu`. */
export class SoftVcpu implements Vcpu {
  readonly index: number;
  readonly access: Access;
  readonly registers: SoftRegisters;
  readonly #cpu: Cpu;
  /** The last exit was an access whose instruction has not been completed. */
  #awaiting = false;
  /** An exit found while completing an instruction for `registers` or `save`. */
  #held: Exit | typeof NO_EXIT = NO_EXIT;
  /** The last instruction is a string instruction that has not come to its end. */
  #midString = false;
  #failure = "";

  constructor(context: CpuContext) {
    this.index = context.index;
    this.#cpu = new Cpu(context);
    this.access = this.#cpu.log.access;
    this.registers = new SoftRegisters(this.#cpu, () => this.#settleWrite());
  }

  /** Where interrupts come from; none at first. */
  get interrupts(): InterruptSource | undefined {
    return this.#cpu.interrupts;
  }

  set interrupts(source: InterruptSource | undefined) {
    this.#cpu.interrupts = source;
    // Something may have come before.
    this.#cpu.request(Pending.interrupt);
  }

  /** The processor itself, for who hands it single instructions (hv/accel/kvm/gaps). */
  get cpu(): Cpu {
    return this.#cpu;
  }

  run(): Exit {
    const { world } = this.#cpu;
    world.enter();
    try {
      return this.#run();
    } finally {
      world.leave();
    }
  }

  #run(): Exit {
    if (this.#held !== NO_EXIT) {
      const exit = this.#held;
      this.#held = NO_EXIT;
      return exit;
    }
    const cpu = this.#cpu;
    const { state } = cpu;
    if (this.#awaiting) {
      const exit = this.#complete();
      if (exit !== NO_EXIT) return exit;
    }
    for (;;) {
      const trap = this.#trap();
      if (trap !== NO_EXIT) return trap;
      if (state.pending[0] !== 0) {
        const exit = this.#attend();
        if (exit !== NO_EXIT) return exit;
      }
      if (state.halted || state.activity !== Activity.running) {
        if (cpu.interrupts === undefined) return Exit.halt;
        cpu.world.leave();
        Atomics.wait(state.pending, 0, 0);
        cpu.world.enter();
        continue;
      }
      // RF says something to execute breakpoints alone.
      if (!cpu.breakpoints.onCode) state.eflags &= ~RF;
      this.#midString = false;
      const careful = state.shadow !== 0 || (state.eflags & (TF | RF)) !== 0;
      const exit = careful ? this.#stepOnce() : this.#handle(cpu.enter());
      if (exit !== NO_EXIT) return exit;
    }
  }

  /**
   * Executes one instruction (or delivers the exception that it gives), for whoever cannot himself;
   * undefined when nothing needs the host.
   */
  step(): Exit | undefined {
    const { world } = this.#cpu;
    world.enter();
    try {
      const exit = this.#awaiting ? this.#complete() : this.#stepOnce();
      return exit === NO_EXIT ? undefined : exit;
    } finally {
      world.leave();
    }
  }

  /** Does the last exit's instruction go on once its access has been served? */
  get awaitsDevice(): boolean {
    return this.#awaiting;
  }

  failure(): string {
    return this.#failure;
  }

  settle(): boolean {
    if (this.#awaiting && this.#held === NO_EXIT) {
      const { world } = this.#cpu;
      world.enter();
      try {
        this.#held = this.#complete();
      } finally {
        world.leave();
      }
    }
    return this.#held === NO_EXIT;
  }

  /**
   * See `Vcpu.save`.
   *
   * @throws Error when the instruction needs a further access first
   */
  save(state: CpuState): void {
    if (!this.settle()) {
      throw new Error(
        `Cannot save processor ${this.index}: it awaits a device; settle it before it is stopped`,
      );
    }
    saveState(this.#cpu, state);
  }

  /**
   * See `Vcpu.restore`. Memory must be mapped: an interrupt or exception whose delivery was begun is
   * delivered here. A software interrupt is not: its instruction will be executed again.
   *
   * @throws Error for what this processor has not: then nothing has changed
   */
  restore(state: CpuState): void {
    checkState(this.#cpu, state);
    this.#forgetExit();
    restoreState(this.#cpu, state);
    const { events } = state;
    if (events.exceptionInjected) {
      const errorCode = events.exceptionHasErrorCode ? events.exceptionErrorCode : undefined;
      this.#deliver({ vector: events.exceptionVector, errorCode });
    } else if (events.interruptInjected && !events.interruptSoft) {
      this.#deliver({ vector: events.interruptVector });
    }
  }

  reset(): void {
    this.#forgetExit();
    resetCpu(this.#cpu, this.index);
  }

  [Symbol.dispose](): void {}

  #forgetExit(): void {
    this.#awaiting = false;
    this.#held = NO_EXIT;
    this.#cpu.log.clear();
  }

  /** Completes a write that the last exit reported, so that the registers are those after it. */
  #settleWrite(): void {
    if (this.access.isWrite) this.settle();
  }

  /** Runs the instruction whose access has been served to its end, or to its next access. */
  #complete(): Exit | typeof NO_EXIT {
    this.#cpu.log.complete();
    this.#awaiting = false;
    return this.#stepOnce();
  }

  /** One instruction, with what follows from TF and from the shadow of the one before. */
  #stepOnce(): Exit | typeof NO_EXIT {
    const cpu = this.#cpu;
    const { state } = cpu;
    const traps = (state.eflags & TF) !== 0;
    const { shadow, pendingDebug } = state;
    this.#midString = false;
    const resume = state.eflags & RF;
    state.shadow = 0;
    const status = cpu.step(shadow);
    const begun = status === Status.access;
    // An instruction that does not get to its end has met no breakpoint.
    if (begun || status === Status.exception) state.pendingDebug = pendingDebug;
    const exit = this.#handle(status);
    if (begun) {
      state.shadow = shadow;
      state.eflags |= resume;
      return exit;
    }
    const done = status !== Status.exception && status !== Status.failed &&
      status !== Status.shutdown && status !== Status.interrupted;
    // A load of SS holds the trap of a single step back for good, those of breakpoints for a while.
    if (done && traps && (state.shadow & SHADOW_SS) === 0) state.pendingDebug |= DR6_BS;
    return exit === NO_EXIT ? this.#trap() : exit;
  }

  /** #DB after an instruction (priority 4 of table 6-2, before any interrupt). */
  #trap(): Exit | typeof NO_EXIT {
    const { state } = this.#cpu;
    if (state.pendingDebug === 0 || (state.shadow & SHADOW_SS) !== 0) return NO_EXIT;
    this.#cpu.breakpoints.takePending();
    return this.#deliver({ vector: Vector.debug });
  }

  /** Requests of others, between two instructions. */
  #attend(): Exit | typeof NO_EXIT {
    const cpu = this.#cpu;
    const { state } = cpu;
    const pending = Atomics.load(state.pending, 0);
    if ((pending & Pending.stop) !== 0) {
      cpu.unrequest(Pending.stop);
      cpu.world.leave();
      cpu.world.enter();
    }
    if ((pending & Pending.remap) !== 0) {
      cpu.unrequest(Pending.remap);
      cpu.flushTranslations();
    }
    if ((pending & Pending.clock) !== 0) {
      cpu.unrequest(Pending.clock);
      cpu.kvmClock.publish();
    }
    if ((pending & Pending.code) !== 0) {
      cpu.unrequest(Pending.code);
      const each = (offset: number, bytes: number) => cpu.blocks.invalidate(offset, bytes);
      if (!cpu.sharedCode.take(each)) cpu.blocks.flush();
    }
    if ((pending & Pending.kick) !== 0) {
      cpu.unrequest(Pending.kick);
      return Exit.interrupted;
    }
    if ((pending & Pending.interrupt) !== 0) {
      // Taken back before the source is asked: what comes afterwards sets it again. With IF clear
      // it is `Cpu.flagsChanged` that does.
      cpu.unrequest(Pending.interrupt);
      state.interruptHeld = 1;
      if (this.#takeSignal()) {
        cpu.request(Pending.interrupt);
        return NO_EXIT;
      }
    }
    if (state.activity !== Activity.running) return NO_EXIT;
    const nmi = (Atomics.load(state.pending, 0) & Pending.nmi) !== 0;
    if (nmi && !state.nmiMasked && state.shadow === 0) {
      cpu.unrequest(Pending.nmi);
      cpu.request(pending & Pending.interrupt);
      state.nmiMasked = true;
      if (this.#midString) state.eflags |= RF;
      return this.#deliver({ vector: Vector.nmi });
    }
    if ((pending & Pending.interrupt) !== 0) {
      if (state.shadow !== 0) cpu.request(Pending.interrupt);
      else if ((state.eflags & IF) !== 0) {
        state.interruptHeld = 0;
        if (cpu.interrupts?.pending() === true) {
          cpu.request(Pending.interrupt);
          const vector = cpu.interrupts.acknowledge();
          if (vector >= 0) {
            if (this.#midString) state.eflags |= RF;
            return this.#deliver({ vector });
          }
        }
      }
    }
    // What cannot be taken now would end every block: instructions go one at a time until it can.
    const waiting = Atomics.load(state.pending, 0) !== 0;
    return waiting && !state.halted && state.activity === Activity.running
      ? this.#stepOnce()
      : NO_EXIT;
  }

  /** Takes a signal of the local APIC; was there one? */
  #takeSignal(): boolean {
    const cpu = this.#cpu;
    const { state, interrupts } = cpu;
    const signal = interrupts?.signal();
    if (interrupts === undefined || signal === undefined) return false;
    switch (signal) {
      case "init":
        interrupts.takeSignal(signal);
        initCpu(cpu);
        interrupts.init();
        return true;
      case "startUp":
        interrupts.takeSignal(signal);
        // Without an INIT before, it is dropped (SDM volume 3, 9.4.4).
        if (state.activity === Activity.awaitsSipi) startCpu(cpu, interrupts.startUpVector);
        return true;
      case "nmi":
        interrupts.takeSignal(signal);
        if (state.activity === Activity.running) cpu.request(Pending.nmi);
        return true;
    }
  }

  #deliver(event: Event): Exit | typeof NO_EXIT {
    return deliver(this.#cpu, event) ? NO_EXIT : Exit.shutdown;
  }

  #handle(status: Status): Exit | typeof NO_EXIT {
    const cpu = this.#cpu;
    const { state } = cpu;
    switch (status) {
      case Status.exception:
        return this.#exception();
      case Status.access:
        state.rip = cpu.operationRip();
        this.#awaiting = true;
        cpu.log.rewind();
        return cpu.log.access.isPort ? Exit.port : Exit.mmio;
      case Status.accessDone:
        cpu.log.clear();
        return Exit.port;
      case Status.pendingHere:
        cpu.log.clear();
        state.rip = cpu.operationRip();
        this.#midString = true;
        return NO_EXIT;
      case Status.alone:
        cpu.log.rewind();
        state.rip = cpu.operationRip();
        return this.#stepOnce();
      case Status.halt:
        state.halted = true;
        return NO_EXIT;
      case Status.shutdown:
        return Exit.shutdown;
      case Status.failed:
        return this.#fail();
      default:
        cpu.log.clear();
        return NO_EXIT;
    }
  }

  #exception(): Exit | typeof NO_EXIT {
    const cpu = this.#cpu;
    const { state } = cpu;
    cpu.log.clear();
    if (state.op !== 0) state.rip = cpu.operationRip();
    const vector = state.exceptionVector;
    const errorCode = state.exceptionHasError ? state.exceptionError : undefined;
    // Faults set RF in the image of the flags that they push, so that breakpoints do not repeat,
    // but for those by an execute breakpoint, which come before any operation.
    if (vector !== Vector.debug || state.op !== 0) state.eflags |= RF;
    const exit = this.#deliver({ vector, errorCode });
    return exit;
  }

  #fail(): Exit {
    const cpu = this.#cpu;
    const { state } = cpu;
    state.rip = cpu.operationRip();
    const bytes = [...cpu.codeBytes()].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const selector = state.segments[1].selector.toString(16).padStart(4, "0");
    this.#failure = `The software CPU cannot execute the instruction at ` +
      `${selector}:${state.rip.toString(16)} (${bytes})` +
      (cpu.trouble === "" ? ": it does not have it" : `: ${cpu.trouble}`);
    cpu.trouble = "";
    return Exit.failed;
  }
}
