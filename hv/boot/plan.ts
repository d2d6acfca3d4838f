/** What a kernel loader is given, and what it answers: plain data, no machine. */

import type { MemoryRange } from "../core/memory/e820.ts";

/** How a kernel is entered; `auto` takes what suits the kernel best. */
export type BootEntry = "auto" | "real16" | "protected32" | "long64";

/** What to boot. The loaders do not change the bytes that they are given. */
export interface BootRequest {
  /** The kernel's file, whole. */
  readonly kernel: Uint8Array;
  /** What error messages call it. */
  readonly kernelName: string;
  /** Initial RAM disk, or the single Multiboot or PVH module. */
  readonly initrd?: Uint8Array;
  /** Name and arguments handed over with the module (Multiboot, PVH); default `"initrd"`. */
  readonly initrdCommandLine?: string;
  /** Passed as UTF-8. */
  readonly commandLine: string;
  /** The guest's memory, as the firmware would report it; at most 128 ranges for Linux. */
  readonly memoryMap: readonly MemoryRange[];
  /** Guest-physical address of the ACPI root pointer, where there is one. */
  readonly rsdpAddress?: number;
  /** Default `"auto"`. */
  readonly entry?: BootEntry;
  /** Whether there is a VGA in text mode 3 (80 by 25) to tell the kernel about; default true. */
  readonly textScreen?: boolean;
}

/** Bytes to put into guest memory before the first instruction. */
export interface BootSegment {
  /** Guest-physical address in bytes, below 4 GiB. */
  readonly address: number;
  /** A view, often of the kernel's file itself: copy, do not keep or change. */
  readonly bytes: Uint8Array;
  /** Bytes that it occupies, at least `bytes.length`: what follows `bytes` is to be zero. */
  readonly memoryLength: number;
}

/** The hidden and the visible part of a segment register. */
export interface SegmentState {
  /** Visible part. */
  readonly selector: number;
  /** Linear address in bytes. */
  readonly base: number;
  /** Last offset in bytes, already scaled: FFFFFFFFh for a flat segment. */
  readonly limit: number;
  /**
   * Access rights as in bits 8-23 of the descriptor's upper half, with the limit's four bits zero:
   * type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15 (Intel SDM vol. 3, 3.4.5).
   */
  readonly access: number;
}

/** A descriptor-table register. */
export interface TableState {
  /** Linear address in bytes. */
  readonly base: number;
  /** Last offset in bytes. */
  readonly limit: number;
}

/** General registers at entry; every value fits 32 bits, the upper halves are zero. */
export interface EntryRegisters {
  /** RAX. */
  readonly rax: number;
  /** RBX. */
  readonly rbx: number;
  /** RCX. */
  readonly rcx: number;
  /** RDX. */
  readonly rdx: number;
  /** RSI. */
  readonly rsi: number;
  /** RDI. */
  readonly rdi: number;
  /** RBP. */
  readonly rbp: number;
  /** RSP; in mode `real16` relative to SS. */
  readonly rsp: number;
  /** RIP; in mode `real16` relative to CS. */
  readonly rip: number;
  /** RFLAGS: interrupts are off. */
  readonly rflags: number;
}

/**
 * The state of virtual processor 0 when the kernel gets it, whole: what is not named here is as
 * after RESET, and A20 is open. In mode `real16` the kernel calls the firmware, so the firmware
 * must have run its self-test and be resident; in the other modes no firmware is needed.
 */
export interface EntryState {
  /** Which of the three modes the state below amounts to. */
  readonly mode: "real16" | "protected32" | "long64";
  /** General registers, RIP and RFLAGS. */
  readonly registers: EntryRegisters;
  /** Code segment. */
  readonly cs: SegmentState;
  /** Data segment. */
  readonly ds: SegmentState;
  /** Extra segment. */
  readonly es: SegmentState;
  /** Further data segment. */
  readonly fs: SegmentState;
  /** Further data segment. */
  readonly gs: SegmentState;
  /** Stack segment. */
  readonly ss: SegmentState;
  /** Local descriptor table: empty. */
  readonly ldtr: SegmentState;
  /** Task register: a busy TSS of 68h bytes that nobody uses. */
  readonly tr: SegmentState;
  /** Global descriptor table; in mode `real16` as after RESET. */
  readonly gdtr: TableState;
  /** Interrupt descriptor table: the vectors at 0, or none. */
  readonly idtr: TableState;
  /** Control register 0, unsigned. */
  readonly cr0: number;
  /** Physical address of the page tables; 0 without paging. */
  readonly cr3: number;
  /** Control register 4. */
  readonly cr4: number;
  /** Extended-feature-enable register, MSR C0000080h. */
  readonly efer: number;
}

/** Everything that a machine does to start a kernel. */
export interface BootPlan {
  /** They do not overlap and lie in RAM of the memory map. */
  readonly segments: readonly BootSegment[];
  /** State of virtual processor 0 at the first instruction. */
  readonly entry: EntryState;
  /** One line for the user: what is booted and how. */
  readonly description: string;
}
