/**
 * Processor states at entry, and the tables in guest memory that they need.
 *
 * References: Intel SDM vol. 3, 3.4.5 (descriptors), 4.5 (4-level paging); Linux
 * Documentation/arch/x86/boot.rst, "32-bit" and "64-bit boot protocol": CS is selector 10h,
 * DS, ES and SS are 18h, flat; Multiboot 0.6.96, 3.2; Xen docs/misc/pvh.pandoc.
 */

import type { Placement } from "./placement.ts";
import type { EntryRegisters, EntryState, SegmentState } from "./plan.ts";
import { StructWriter } from "./struct_writer.ts";

const CR0_PE = 1 << 0;
const CR0_MP = 1 << 1;
const CR0_ET = 1 << 4;
const CR0_NE = 1 << 5;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5;
const EFER_LME = 1 << 8;
const EFER_LMA = 1 << 10;
/** Bit 1 of RFLAGS is always set; interrupts are off. */
const RFLAGS_FIXED = 0x2;

const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
/** Present, S, execute/read, accessed. */
const CODE = 0x9b;
/** Present, S, read/write, accessed. */
const DATA = 0x93;
const GRANULAR = 0x8000;
const DEFAULT_32 = 0x4000;
const LONG = 0x2000;
/** Present, busy 32-bit TSS (64-bit in long mode): what a virtual processor needs to be entered. */
const TSS_BUSY = 0x8b;
const LDT = 0x82;

const PAGE = 4096;
/** Kernels switch to stacks of their own soon: this one is for what they do before. */
const STACK_LENGTH = PAGE;
const PAGE_PRESENT_WRITE = 0x3;
const PAGE_LARGE = 0x80;
const TWO_MIB = 0x20_0000;
const FOUR_GIB_DIRECTORIES = 4;

const flat = (selector: number, access: number): SegmentState => ({
  selector,
  base: 0,
  limit: 0xffff_ffff,
  access,
});
const realSegment = (selector: number, access: number): SegmentState => ({
  selector,
  base: selector * 16,
  limit: 0xffff,
  access,
});
const ldtr: SegmentState = { selector: 0, base: 0, limit: 0xffff, access: LDT };
const tr: SegmentState = { selector: 0, base: 0, limit: 0x67, access: TSS_BUSY };

const registers = (given: Partial<EntryRegisters>): EntryRegisters => ({
  rax: 0,
  rbx: 0,
  rcx: 0,
  rdx: 0,
  rsi: 0,
  rdi: 0,
  rbp: 0,
  rsp: 0,
  rip: 0,
  rflags: RFLAGS_FIXED,
  ...given,
});

/** What the three modes have in common: one data segment in all data registers, no task, no paging. */
const common = (data: SegmentState) => ({
  ds: data,
  es: data,
  fs: data,
  gs: data,
  ss: data,
  ldtr,
  tr,
  cr3: 0,
  cr4: 0,
  efer: 0,
});

/** Real mode: all data segments at `dataSegment`. */
export function real16(
  codeSegment: number,
  dataSegment: number,
  given: Partial<EntryRegisters>,
): EntryState {
  return {
    ...common(realSegment(dataSegment, DATA)),
    mode: "real16",
    registers: registers(given),
    cs: realSegment(codeSegment, CODE),
    gdtr: { base: 0, limit: 0xffff },
    idtr: { base: 0, limit: 0x3ff },
    cr0: CR0_ET,
  };
}

/** Flat segments, without interrupts; places a small stack and the descriptor table. */
function flatState(placement: Placement, given: Partial<EntryRegisters>, codeAccess: number) {
  const data = flat(BOOT_DS, DATA | GRANULAR | DEFAULT_32);
  return {
    ...common(data),
    registers: registers({ rsp: placeStack(placement), ...given }),
    cs: flat(BOOT_CS, codeAccess),
    gdtr: placeGdt(placement, codeAccess, data.access),
    idtr: { base: 0, limit: 0 },
  };
}

/** Protected mode, flat, paging off; places the descriptor table and a small stack. */
export function protected32(placement: Placement, given: Partial<EntryRegisters>): EntryState {
  return {
    ...flatState(placement, given, CODE | GRANULAR | DEFAULT_32),
    mode: "protected32",
    cr0: CR0_PE | CR0_ET,
  };
}

/** 64-bit mode with the first 4 GiB mapped to themselves; places tables and a small stack. */
export function long64(placement: Placement, given: Partial<EntryRegisters>): EntryState {
  return {
    ...flatState(placement, given, CODE | GRANULAR | LONG),
    mode: "long64",
    cr0: (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG) >>> 0,
    cr3: placePageTables(placement),
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
  };
}

function placeGdt(placement: Placement, code: number, data: number): EntryState["gdtr"] {
  const gdt = new StructWriter(BOOT_DS + 8);
  for (const [selector, access] of [[BOOT_CS, code], [BOOT_DS, data]]) {
    // Base 0, limit FFFFFh in pages: the rest of the descriptor is the access rights.
    gdt.u32(selector, 0xffff).u32(selector + 4, ((access | 0x0f00) << 8) >>> 0);
  }
  const base = placement.low(gdt.bytes, "the descriptor table");
  return { base, limit: gdt.bytes.length - 1 };
}

function placeStack(placement: Placement): number {
  return placement.low(new Uint8Array(STACK_LENGTH), "the stack", PAGE) + STACK_LENGTH;
}

/** Pages of 2 MiB, because not every processor has those of 1 GiB. */
function placePageTables(placement: Placement): number {
  const tables = new StructWriter((2 + FOUR_GIB_DIRECTORIES) * PAGE);
  const address = placement.low(tables.bytes, "the page tables", PAGE);
  const entries = PAGE / 8;
  tables.u64(0, address + PAGE + PAGE_PRESENT_WRITE);
  for (let d = 0; d < FOUR_GIB_DIRECTORIES; d++) {
    tables.u64(PAGE + d * 8, address + (2 + d) * PAGE + PAGE_PRESENT_WRITE);
    for (let i = 0; i < entries; i++) {
      const target = (d * entries + i) * TWO_MIB;
      tables.u64((2 + d) * PAGE + i * 8, target + PAGE_PRESENT_WRITE + PAGE_LARGE);
    }
  }
  return address;
}
