/**
 * What lies in a virtual processor's private memory ("memory 0" of its WebAssembly modules).
 *
 * | from    | what                                                                  |
 * | ------- | --------------------------------------------------------------------- |
 * | 0       | `SoftState`: registers, flags, hidden parts, requests                 |
 * | 10000h  | soft TLB: for each privilege (`TlbSet`) a read and a write table      |
 * | 20000h  | jump cache: linear address to block                                   |
 * | 30000h  | heads of the chains of blocks, by physical address and by page        |
 * | 48000h  | which entries of the soft TLB and of the jump cache are global        |
 * | 50000h  | blocks of decoded operations (blocks/blocks.ts)                              |
 *
 * It is a shared memory, so that any thread can open the processor and find everything in it; one
 * thread at a time runs it. Others write `pending` and what blocks/shared_code.ts keeps here, and take
 * entries out of the write tables while the processor stands.
 */

import {
  bytes,
  flag,
  list,
  record,
  u16,
  u32,
  u64,
  u64s,
  u8,
  words,
} from "../../../core/state/record.ts";
import type { Fields } from "../../../core/state/record.ts";

/** Indices of `SoftState.segments`: the first six as instructions encode them. */
export const Seg = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;

/** A segment register. The four bounds are what a data access is checked against, in bytes. */
export const SegmentCache = record("soft.segment", 1, {
  base: u64,
  /** First and last offset that may be read; first above last where nothing may. */
  readLow: u64,
  readHigh: u64,
  /** The same for writing. */
  writeLow: u64,
  writeHigh: u64,
  limit: u32,
  /** The `ACCESS_*` bits of hv/accel/cpu_state.ts. */
  access: u32,
  selector: u16,
});
/** A view of a segment register. */
export type SegmentCache = InstanceType<typeof SegmentCache>;

/** Bits of `SoftState.pending`: why the processor must leave generated code at the next branch. */
export const Pending = {
  /** Somebody wants the thread: `Exit.interrupted`. */
  kick: 1 << 0,
  /** An interrupt controller has something for this processor. */
  interrupt: 1 << 1,
  nmi: 1 << 2,
  /** The guest-physical map has changed: forget translations and blocks. */
  remap: 1 << 3,
  /** One instruction at a time: trap flag, or the shadow of STI and MOV SS. */
  step: 1 << 4,
  /** A device or the firmware has written memory that holds decoded code. */
  code: 1 << 5,
  /** Another processor stops the world (world.ts). */
  stop: 1 << 6,
  /** KVM's clock has been set, or a time-stamp counter: the guest's page of it is to be written. */
  clock: 1 << 7,
} as const;

/** Bits of `SoftState.modeKey` beside the code size. */
export const MODE_USER = 1 << 2;
/** 32-bit code with flat segments: see `isFlat` in flat_segments.ts. */
export const MODE_FLAT = 1 << 3;
/** What decoded code depends on. */
export const MODE_CODE = 3 | MODE_FLAT;

/** Code size of the block mode key, and of instructions. */
export const CodeSize = { bits16: 0, bits32: 1, bits64: 2 } as const;

/** More device accesses than any instruction makes: XSAVE and XRSTOR make the most, 80. */
export const LOG_CAPACITY = 128;

/** Writes of others to code that are kept one by one. */
export const CODE_WRITES = 32;

const FIELDS = {
  /** In the order of `GENERAL_REGISTERS`; the byte registers AH to BH are at offset + 1. */
  general: u64s(16),
  /** Always 0: the base or index that an address does not have. */
  zero: u64,
  /** RIP at which the block that runs begins; RIP-relative addresses count from it. */
  blockRip: u64,
  /** RIP between blocks; while one runs, `blockRip` plus the operation's offset is what counts. */
  rip: u64,
  /** Lazy arithmetic flags: see codegen/flags.ts. */
  lazyResult: u64,
  lazyAux: u64,
  /** Linear address and datum of an access that the TLB did not serve. */
  slowAddress: u64,
  slowValue: u64,
  slowValueHigh: u64,
  /** With LOCK: the datum that was read. */
  slowExpected: u64,
  /** Highest RIP that CS allows; all ones in 64-bit mode. */
  ripLimit: u64,
  /** ANDed with the stack pointer: FFFFh, FFFFFFFFh or all ones. */
  stackMask: u64,
  /** Flags other than the six arithmetic ones, with bit 1 set. */
  eflags: u32,
  /** The `Pending` bits, changed by `Atomics` only. */
  pending: words(1),
  /** Operation being executed (address in this memory), as far as it can leave generated code. */
  op: u32,
  /** Where to write the next block's address so that the branch goes there directly; 0: nowhere. */
  link: u32,
  /** Page of the machine's memory in which the block that runs lies. */
  blockPage: u32,
  /** Read table of the soft TLB for the current privilege; the write table follows it. */
  tlb: u32,
  /** What the jump cache depends on: the code size and `MODE_*` bits. */
  modeKey: u32,
  /** Not 0 while SSE instructions are to give #UD or #NM (CR0.EM, CR0.TS, CR4.OSFXSR). */
  vectorGate: u32,
  cpl: u8,
  /** Bit 0: after MOV SS or POP SS; bit 1: after STI. */
  shadow: u8,
  /** Not 0: the interrupt controller may have something that was not asked for, as IF was clear. */
  interruptHeld: u8,
  halted: flag,
  nmiMasked: flag,
  /** One of `Activity`. */
  activity: u8,
  sipiVector: u8,
  segments: list(SegmentCache, 8),
  gdtrBase: u64,
  idtrBase: u64,
  gdtrLimit: u16,
  idtrLimit: u16,
  cr0: u32,
  cr4: u32,
  cr2: u64,
  cr3: u64,
  efer: u32,
  debugAddresses: u64s(4),
  dr6: u32,
  dr7: u32,
  /** Bits of DR6 for which a #DB is due after the instruction. */
  pendingDebug: u32,
  /** Time-stamp counter minus the machine's time in its ticks. */
  tscOffset: u64,
  tscAux: u32,
  /** IA32_TSC_ADJUST: what the guest has added to the counter. */
  tscAdjust: u64,
  /** MSR_KVM_WALL_CLOCK and MSR_KVM_SYSTEM_TIME: see kvm_clock.ts. */
  kvmWallClock: u64,
  kvmSystemTime: u64,
  apicBase: u64,
  cr8: u8,
  star: u64,
  lstar: u64,
  cstar: u64,
  fmask: u64,
  kernelGsBase: u64,
  sysenterCs: u64,
  sysenterEsp: u64,
  sysenterEip: u64,
  pat: u64,
  miscEnable: u64,
  mtrrDefault: u64,
  mtrrs: u64s(32),
  xcr0: u64,
  /** The exception that generated code or a service has found. */
  exceptionVector: u8,
  exceptionHasError: flag,
  exceptionError: u32,
  /** Accesses of the current instruction that devices have answered: see memory/device_log.ts. */
  logCount: u8,
  logNext: u8,
  logAddresses: u64s(LOG_CAPACITY),
  logValues: u64s(LOG_CAPACITY),
  /** Size in bytes, bit 6 write, bit 7 port. */
  logKinds: bytes(LOG_CAPACITY),
  /** Writes of others to code: see shared_code.ts. Their number, and page and place of each. */
  codeLock: words(1),
  codeCount: words(1),
  codeWrites: words(2 * CODE_WRITES),
  /** End of the blocks, an address in memory 0. */
  blockEnd: u32,
  /** XSAVE area in the standard form: MXCSR and the XMM registers live in it. */
  xsave: bytes(4096),
  apic: bytes(1024),
} satisfies Fields;

/** See above. */
export const SoftState = record("soft.cpu", 1, FIELDS);
/** A view of a processor's state. */
export type SoftState = InstanceType<typeof SoftState>;

/** Offset of every field in memory 0. */
export const AT = Object.fromEntries(
  SoftState.layout.map(({ name, offset }) => [name, offset]),
) as { readonly [K in keyof typeof FIELDS]: number };

/** Offset of a general register (number as encoded). */
export const generalAt = (register: number): number => AT.general + register * 8;
/** Offset of a byte register: AH to BH (4 to 7) unless there is a REX prefix. */
export const byteRegisterAt = (register: number, rex: boolean): number =>
  !rex && register >= 4 && register < 8 ? AT.general + (register - 4) * 8 + 1 : generalAt(register);
/** Offset of a vector register: its place in the FXSAVE image. */
export const vectorAt = (register: number): number => AT.xsave + 160 + register * 16;
/** Offset of an MMX register: the x87's by its physical number. REX does not extend it. */
export const mmxAt = (register: number): number => AT.xsave + 32 + (register & 7) * 16;
/** Offset of MXCSR. */
export const MXCSR_AT: number = AT.xsave + 24;
/** Offsets of the x87's status word, and of its tags: one bit a register. */
export const STATUS87_AT: number = AT.xsave + 2;
export const TAGS87_AT: number = AT.xsave + 4;
/** Offset of a segment register's record. */
export const segmentAt = (segment: number): number =>
  AT.segments + segment * SegmentCache.byteLength;
/** Offsets within a segment register's record. */
export const SEGMENT = Object.fromEntries(
  SegmentCache.layout.map(({ name, offset }) => [name, offset]),
) as {
  readonly [K in "base" | "readLow" | "readHigh" | "writeLow" | "writeHigh" | "selector"]: number;
};

/** Tables of the soft TLB, by who accesses. */
export const TlbSet = {
  user: 0,
  kernel: 1,
  /** The kernel while EFLAGS.AC lifts SMAP. */
  kernelAc: 2,
  /** The user while CR0.AM and EFLAGS.AC ask for alignment; nothing is ever entered there. */
  aligned: 3,
} as const;
export const TLB_BASE = 0x1_0000;
/** Entries of a table; one is 16 bytes: linear page, then what to add for the place in memory 1. */
export const TLB_ENTRIES = 512;
export const TLB_TABLE_BYTES = TLB_ENTRIES * 16;
export const TLB_SET_BYTES = TLB_TABLE_BYTES * 2;
export const TLB_BYTES = TLB_SET_BYTES * 4;

export const JUMP_CACHE_BASE = 0x2_0000;
/** Entries of 16 bytes: linear address, mode key (-1: none), block. */
export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE_BYTES = JUMP_CACHE_ENTRIES * 16;

export const BLOCK_HEADS_BASE = 0x3_0000;
export const BLOCK_HEADS = 16384;
export const PAGE_HEADS_BASE = 0x4_0000;
export const PAGE_HEADS = 8192;
/** A byte for each entry of the soft TLB, and of the jump cache: is it of a global page? */
export const TLB_GLOBALS = 0x4_8000;
export const JUMP_GLOBALS = 0x4_a000;
/** A block of one instruction, made anew each time: single steps, and code across two pages. */
export const TEMPORARY_BLOCK = 0x5_0000;
export const BLOCKS_BASE = 0x5_0100;
/** Size of memory 0. */
export const PRIVATE_BYTES = 16 << 20;

if (SoftState.byteLength > TLB_BASE) throw new Error("The state does not fit below the TLB");
