/**
 * What a virtual processor holds, in a form that every accelerator can save and load: a machine
 * saved on KVM continues on the software CPU and the other way round.
 *
 * References: Intel SDM volume 3 (segments: table 24-2 of the guest-state area; XSAVE: volume 1,
 * chapter 13; local APIC: chapter 10).
 */

import {
  bytes,
  flag,
  nested,
  record,
  u16,
  u32,
  u32s,
  u64,
  u64s,
  u8,
} from "../core/state/record.ts";

/** Model-specific registers that a state has room for; KVM lists about 150 on a current host. */
export const MAX_MSRS = 512;

/** Order of `CpuState.general`: as instructions encode the registers. */
export const GENERAL_REGISTERS = [
  "rax",
  "rcx",
  "rdx",
  "rbx",
  "rsp",
  "rbp",
  "rsi",
  "rdi",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
] as const;

/** Bits of `SegmentState.access` (SDM volume 3, table 24-2). */
export const ACCESS_TYPE = 0xf;
/** S: a code or data segment, not a system segment. */
export const ACCESS_S = 1 << 4;
/** Shift of the descriptor privilege level, two bits. */
export const ACCESS_DPL_SHIFT = 5;
/** P: present. */
export const ACCESS_PRESENT = 1 << 7;
/** AVL: available to software. */
export const ACCESS_AVL = 1 << 12;
/** L: 64-bit code. */
export const ACCESS_L = 1 << 13;
/** D/B: 32-bit operands and stack. */
export const ACCESS_DB = 1 << 14;
/** G: the limit counts pages. The `limit` field is always in bytes. */
export const ACCESS_G = 1 << 15;
/** The register holds a null selector and may not be used. */
export const ACCESS_UNUSABLE = 1 << 16;

/** A segment register with its hidden part. */
export const SegmentState = record("cpu.segment", 1, {
  base: u64,
  /** Highest offset, in bytes. */
  limit: u32,
  /** The `ACCESS_*` bits. */
  access: u32,
  selector: u16,
});

/** GDTR or IDTR. */
export const TableState = record("cpu.table", 1, {
  base: u64,
  /** Highest offset, in bytes. */
  limit: u16,
});

/** What the processor is about to deliver, and what holds deliveries back. */
export const EventState = record("cpu.events", 1, {
  /** Exception whose delivery was begun and must be completed. */
  exceptionInjected: flag,
  /** Exception found, delivery not begun: CR2 and DR6 do not show it yet when it has a payload. */
  exceptionPending: flag,
  exceptionVector: u8,
  exceptionHasErrorCode: flag,
  exceptionErrorCode: u32,
  exceptionHasPayload: flag,
  /** CR2 or DR6 of a pending exception. */
  exceptionPayload: u64,
  /** Interrupt that was acknowledged and whose delivery was begun. */
  interruptInjected: flag,
  interruptVector: u8,
  /** The interrupt comes from an INT instruction. */
  interruptSoft: flag,
  /** Bit 0: after MOV SS or POP SS; bit 1: after STI. */
  interruptShadow: u8,
  nmiInjected: flag,
  /** Non-maskable interrupts waiting, 0 to 2. */
  nmiPending: u8,
  /** An NMI handler runs: IRET ends it. */
  nmiMasked: flag,
  smm: flag,
  smiPending: flag,
  smmInsideNmi: flag,
  /** An INIT waits for the end of system management mode. */
  initLatched: flag,
  tripleFaultPending: flag,
  /** Vector of the last SIPI: the processor starts at 1000h times it. */
  sipiVector: u8,
});

/** What a processor does (`CpuState.activity`). */
export const Activity = {
  /** Runs instructions. */
  running: 0,
  /** An application processor after RESET: only INIT wakes it. */
  awaitsInit: 1,
  /** After INIT: awaits the start-up interrupt (SIPI). */
  awaitsSipi: 2,
  /** HLT. */
  halted: 3,
  /** The start-up interrupt has come. */
  starting: 4,
} as const;

/** Everything a virtual processor holds. */
export const CpuState = record("cpu", 1, {
  /** In the order of `GENERAL_REGISTERS`. */
  general: u64s(16),
  rip: u64,
  rflags: u64,
  es: nested(SegmentState),
  cs: nested(SegmentState),
  ss: nested(SegmentState),
  ds: nested(SegmentState),
  fs: nested(SegmentState),
  gs: nested(SegmentState),
  ldtr: nested(SegmentState),
  tr: nested(SegmentState),
  gdtr: nested(TableState),
  idtr: nested(TableState),
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  /** IA32_APIC_BASE. */
  apicBase: u64,
  /** DR0 to DR3. */
  debugAddresses: u64s(4),
  dr6: u64,
  dr7: u64,
  xcr0: u64,
  /** Time-stamp counter. */
  tsc: u64,
  /** XSAVE area in the standard form: FXSAVE image, header at 512, AVX at 576. */
  xsave: bytes(4096),
  /** Entries used in the two lists that follow. */
  msrCount: u32,
  msrIndices: u32s(MAX_MSRS),
  msrValues: u64s(MAX_MSRS),
  events: nested(EventState),
  /** One of `Activity`. */
  activity: u8,
  /** Local APIC registers, 16 bytes apart as in its page. */
  apic: bytes(1024),
});
/** A view of a processor's state. */
export type CpuState = InstanceType<typeof CpuState>;
/** A view of a segment register's state. */
export type SegmentState = InstanceType<typeof SegmentState>;
/** A view of GDTR or IDTR. */
export type TableState = InstanceType<typeof TableState>;
/** A view of the events. */
export type EventState = InstanceType<typeof EventState>;
