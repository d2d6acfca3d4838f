/**
 * What runs guest code: the interface that KVM and the software CPU fulfil alike, so that devices,
 * firmware and the machine's life cycle never know which of them it is.
 *
 * An accelerator's virtual machine exists once a process (`AcceleratedVm`, on the main thread); each
 * worker opens its own handle on it from the `VmHandle` that main posts (`openVm`, see
 * hv/accel/mod.ts). A virtual processor is run by one thread at a time.
 */

import type { MemorySlot } from "../core/memory/memory_map.ts";
import type { CpuState } from "./cpu_state.ts";

export type { MemorySlot } from "../core/memory/memory_map.ts";

/** Why `Vcpu.run` came back. */
export const Exit = {
  /** The guest accessed a port: `vcpu.access` says which; `run()` again completes it. */
  port: 0,
  /** The guest accessed guest-physical memory where there is none: as for `port`. */
  mmio: 1,
  /** HLT, where no interrupt controller in the accelerator waits by itself. */
  halt: 2,
  /** Triple fault. */
  shutdown: 3,
  /** Kicked: somebody wants this thread's attention. */
  interrupted: 4,
  /** The accelerator cannot go on: `vcpu.failure()` says why. */
  failed: 5,
  /** Code is needed that is loaded only when it is: await `vcpu.load()`, then run on. */
  needsCode: 6,
} as const;
/** One of `Exit`. */
export type Exit = typeof Exit[keyof typeof Exit];

/**
 * The port or MMIO access that ended a run. For reads, the handler stores the answer in `bytes`
 * before the next run; for writes, the data are there. Repeated string I/O (`count` > 1) has its
 * items one after the other. The object is the vCPU's and is reused by every exit.
 */
export interface Access {
  /** Port number, or guest-physical address. */
  readonly address: number;
  /** Bytes an item: 1, 2 or 4 for ports; 1 to 8 for MMIO. */
  readonly size: number;
  /** Items; 1 except for string I/O. */
  readonly count: number;
  readonly isWrite: boolean;
  /** Data of the items, little-endian, beginning at `dataOffset`. */
  readonly data: DataView;
  /** Offset of the first item in `data`, in bytes. */
  readonly dataOffset: number;
}

/**
 * A processor's local APIC, and the 8259 pair behind it, where they are the board's. Used by the thread
 * that runs the processor.
 */
export interface InterruptSource {
  /** Is there something to deliver? Asked with interrupts enabled. */
  pending(): boolean;
  /** Takes the most urgent interrupt: its vector, or -1 when it went away meanwhile. */
  acknowledge(): number;
  /** A signal other than an interrupt, or undefined; the most urgent first. */
  signal(): CpuSignal | undefined;
  /** Takes a signal that `signal` has given. */
  takeSignal(signal: CpuSignal): void;
  /** Vector of the start-up interrupt: the processor starts at 1000h times it. */
  readonly startUpVector: number;
  /** INIT has reset the processor: the local APIC goes along. */
  init(): void;
  /** Bits 7-4 of the task priority. */
  cr8: number;
  /** Is the local APIC enabled in IA32_APIC_BASE? */
  readonly enabled: boolean;
  /** Is `msr` one of the local APIC's? */
  hasMsr(msr: number): boolean;
  /** Its value; undefined: #GP(0). */
  readMsr(msr: number): bigint | undefined;
  /** False: #GP(0), and nothing has changed. */
  writeMsr(msr: number, value: bigint): boolean;
  /** The time-stamp counter was written: deadlines are at another time. */
  tscChanged(): void;
}

/** What a local APIC has for its processor besides interrupts. */
export type CpuSignal = "init" | "startUp" | "nmi";

/** A virtual processor. */
export interface Vcpu {
  /** Number of the processor, from 0; also its initial local APIC ID. */
  readonly index: number;
  readonly access: Access;
  /** Runs guest code until something needs the host. Never throws for what a guest does. */
  run(): Exit;
  /** After `Exit.needsCode`: loads, for the calling thread, what the processor needs to go on. */
  load?(): Promise<void>;
  /** After `Exit.failed`: the reason, with the instruction's address and bytes where known. */
  failure(): string;
  /**
   * Completes the access that the last run reported, and whose data are in place, without running
   * on; to be called before the processor is stopped, saved or handed to another thread. False when
   * the instruction needs a further access first: then the next `run` reports it.
   */
  settle(): boolean;
  /**
   * Copies everything that the processor holds into `state`; only while it is not running and is
   * settled.
   */
  save(state: CpuState): void;
  /** The reverse of `save`. */
  restore(state: CpuState): void;
  /** Puts the processor into its state after RESET; index 0 runs, the others await INIT-SIPI. */
  reset(): void;
  /**
   * Registers for firmware services and debugging, live: `load()` fetches them from the processor,
   * `store()` puts changes back.
   */
  readonly registers: RegisterFile;
  /** Where interrupts come from, for an accelerator without interrupt controllers. */
  interrupts?: InterruptSource;
  [Symbol.dispose](): void;
}

/** General registers and segments as the firmware's services use them. */
export interface RegisterFile {
  load(): void;
  store(): void;
  /** Low 32 bits of a general register; writing zero-extends. */
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
  esi: number;
  edi: number;
  ebp: number;
  esp: number;
  /** RIP as a number (exact below 2^53). */
  ip: number;
  /** Low 32 bits of RFLAGS. */
  eflags: number;
  readonly cs: Segment;
  readonly ds: Segment;
  readonly es: Segment;
  readonly ss: Segment;
  readonly cr0: number;
  /** CR3 and CR4, by which the firmware finds the memory of a caller in V86 mode; low 32 bits. */
  readonly cr3?: number;
  readonly cr4?: number;
  /** A multi-line dump of general registers, segments, control registers and flags. */
  toString(): string;
}

/** A segment register: for real mode, `base` follows `selector` when that is set. */
export interface Segment {
  selector: number;
  readonly base: number;
}

/** What crosses a thread boundary to open the same virtual machine there. */
export interface VmHandle {
  readonly accelerator: "kvm" | "soft";
  readonly cpus: number;
  readonly memory: WebAssembly.Memory;
  /** The accelerator's own: descriptors, shared buffers. Structured-cloneable. */
  readonly detail: unknown;
}

/** Instructions that KVM could not emulate and that the software CPU has executed in its place. */
export interface FilledInstructions {
  /** Instructions in all. */
  readonly count: number;
  /** Instructions by name, the most frequent first. */
  readonly byName: ReadonlyMap<string, number>;
  /** Time that they took, summed over the processors, ns. */
  readonly spentNs: number;
}

/** Where the guest rings a doorbell: an eventfd is raised instead of an exit. */
export interface Doorbell {
  readonly space: "port" | "memory";
  /** Port number or guest-physical address. */
  readonly address: number;
  /** Bytes of the write: 1, 2, 4 or 8; 0 for any. */
  readonly size: number;
  /** Only writes of this value ring it. */
  readonly value?: number;
}

/** A virtual machine on an accelerator; every thread has its own object for the same machine. */
export interface AcceleratedVm {
  readonly handle: VmHandle;
  mapMemory(slot: MemorySlot): void;
  /** The bitmap of pages written since the last call, one bit a page from the slot's start. */
  takeDirtyPages(slot: number): Uint8Array;
  /** Level of a global system interrupt (0-15 go to the PIC and the I/O APIC, 16-23 to the latter). */
  setIrq(gsi: number, level: boolean): void;
  /**
   * Where interrupt controllers are the board's: there may be an interrupt for processor `index`. On
   * any thread, under any lock. Undefined where they are the accelerator's.
   */
  interrupt?(index: number): void;
  /**
   * Nanoseconds until the time-stamp counter of processor `index` reaches `value`, 0 or less when it
   * has. Where interrupt controllers are the board's.
   */
  nsUntilTsc?(index: number, value: bigint): number;
  /**
   * To be told of every write to the machine's memory that does not come from a processor: `length`
   * bytes from `offset` in the memory. Undefined where the accelerator sees them by itself.
   */
  hostWrote?(offset: number, length: number): void;
  /** Delivers a message-signalled interrupt: address and data as in the PCI capability. */
  sendMsi(address: number, data: number): void;
  /**
   * Raises `eventFd` when the guest rings `doorbell`, without an exit; false where that cannot be.
   * Undefined for an accelerator to which an exit costs nothing.
   */
  attachDoorbell?(doorbell: Doorbell, eventFd: number): boolean;
  /** Ends `attachDoorbell`, if it has begun. */
  detachDoorbell?(doorbell: Doorbell, eventFd: number): void;
  /** Opens virtual processor `index`. The thread that calls `run()` need not be the one that opened. */
  openVcpu(index: number): Vcpu;
  /**
   * Ends a `run()` of processor `index` that is under way on another thread, or the next one, with
   * `Exit.interrupted`. `threadId` is what that thread found in `currentThreadId()`.
   */
  kick(index: number, threadId: number): void;
  /** What another accelerator has executed in this one's place; undefined where that never is. */
  filledInstructions?(): FilledInstructions | undefined;
  /** Interrupt controllers, timers and clock that live in the accelerator, as named blobs. */
  saveChips(): Map<string, Uint8Array>;
  restoreChips(chips: Map<string, Uint8Array>): void;
  /** All interrupt controllers and timers in the accelerator to their state after RESET. */
  resetChips(): void;
  [Symbol.dispose](): void;
}
