/**
 * A machine for tests of system instructions: any mode at any privilege, tables and handlers in place.
 * Code runs until it executes HLT (at privilege level 0) or INT 30h, or until an exception comes; every
 * vector's handler is a HLT.
 */

import { Exit } from "../../../../hv/accel/accelerator.ts";
import { CpuState } from "../../../../hv/accel/cpu_state.ts";
import type { SoftOptions } from "../../../../hv/accel/soft/create.ts";
import { softVm } from "./soft_vm.ts";
import type { SoftVcpu } from "../../../../hv/accel/soft/vcpu.ts";
import type { SoftVm } from "../../../../hv/accel/soft/vm.ts";

/** See above; in 16-bit modes the segments begin at `CODE`. */
export type SystemMode = "real" | "v86" | "protected16" | "protected" | "compatibility" | "long";

export const GDT = 0x3000;
export const IDT = 0x4000;
export const TSS = 0x5000;
export const HANDLERS = 0x6000;
/** PML4, PDPT, page directory and the table of the first 2 MiB, which maps it one to one. */
export const PAGE_TABLES = 0x8000;
export const PAGE_TABLE = PAGE_TABLES + 0x3000;
export const KERNEL_STACK = 0xf000;
export const CODE = 0x1_0000;
/** Top of the stack that code begins with, from `CODE`. */
export const STACK_OFFSET = 0x8000;
/** Data for the tests, from `CODE`: addresses as 16-bit code sees them too. */
export const DATA_OFFSET = 0x4000;
export const DATA = CODE + DATA_OFFSET;
export const MEMORY_BYTES = 1 << 20;

/** Selectors; at level 3 those with the suffix 3. */
export const Selector = {
  code: 0x08,
  data: 0x10,
  code3: 0x1b,
  data3: 0x23,
  tss: 0x28,
  code64: 0x38,
  code64At3: 0x43,
  code16: 0x48,
  data16: 0x50,
  code16At3: 0x5b,
  data16At3: 0x63,
} as const;

/** Vector of the interrupt by which code ends. */
export const END = 0x30;
export const INT_END = [0xcd, END];
const VECTORS = 64;
const HANDLER_BYTES = 16;
const PAGE = 4096n;
const HAS_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);

/** What came of a run. */
export interface SystemOutcome {
  readonly exit: Exit;
  /** Vector of the handler that was reached, or `END` when HLT was reached. */
  readonly vector: number;
  readonly errorCode: number;
  /** Where the handler would return to; after HLT, behind it. */
  readonly rip: bigint;
  /** RFLAGS as the handler would return them. */
  readonly flags: bigint;
  readonly state: CpuState;
}

/** See above. */
export class SystemMachine {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly vm: SoftVm;
  readonly vcpu: SoftVcpu;
  readonly mode: SystemMode;
  readonly cpl: 0 | 3;

  constructor(
    mode: SystemMode,
    cpl: 0 | 3 = 0,
    options: Partial<Omit<SoftOptions, "memory">> = {},
  ) {
    this.mode = mode;
    this.cpl = mode === "v86" ? 3 : cpl;
    const pages = MEMORY_BYTES / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.vm = softVm({ memory, cpus: 1, ...options });
    this.vm.mapMemory({ slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 });
    this.vcpu = this.vm.openVcpu(0);
    this.buildTables();
  }

  get isWide(): boolean {
    return this.mode === "long" || this.mode === "compatibility";
  }

  /** Runs `code` from the beginning; `change` may alter the state it begins with. */
  run(code: readonly number[], change: (state: CpuState) => void = () => {}): SystemOutcome {
    this.bytes.set(code, CODE);
    this.vm.hostWrote(CODE, code.length);
    const state = this.initialState();
    change(state);
    this.vcpu.restore(state);
    return this.go();
  }

  /** Runs on until HLT, an exception, or what ends `Vcpu.run`. */
  go(): SystemOutcome {
    let exit = this.vcpu.run();
    while (exit === Exit.interrupted) exit = this.vcpu.run();
    const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
    if (exit !== Exit.failed) this.vcpu.save(state);
    const linear = state.cs.base + state.rip;
    const inHandler = linear >= HANDLERS && linear < HANDLERS + VECTORS * HANDLER_BYTES;
    if (exit !== Exit.halt || !inHandler) {
      return { exit, vector: END, errorCode: -1, rip: state.rip, flags: state.rflags, state };
    }
    const vector = Math.floor((Number(linear) - HANDLERS) / HANDLER_BYTES);
    const bytes = this.mode === "real" ? 2 : this.isWide ? 8 : 4;
    const at = Number(state.ss.base + state.general[4]);
    const word = (i: number) => {
      const place = at + i * bytes;
      return bytes === 2
        ? BigInt(this.view.getUint16(place, true))
        : bytes === 4
        ? BigInt(this.view.getUint32(place, true))
        : this.view.getBigUint64(place, true);
    };
    const hasError = this.mode !== "real" && HAS_ERROR.has(vector);
    const skip = hasError ? 1 : 0;
    return {
      exit,
      vector,
      errorCode: hasError ? Number(word(0)) : -1,
      rip: word(skip),
      flags: word(skip + 2),
      state,
    };
  }

  /** Sets a descriptor of the interrupt table, of the form that the mode has. */
  setGate(vector: number, offset: number, selector: number, access = 0xee): void {
    const { view } = this;
    const at = IDT + vector * (this.isWide ? 16 : 8);
    view.setUint16(at, offset, true);
    view.setUint16(at + 2, selector, true);
    view.setUint16(at + 4, access << 8, true);
    view.setUint16(at + 6, offset >>> 16, true);
    if (this.isWide) view.setBigUint64(at + 8, 0n, true);
  }

  /** Writes all tables and handlers. */
  buildTables(): void {
    const { view, mode } = this;
    const table = (at: number, next: number) => view.setBigUint64(at, BigInt(next) | 7n, true);
    for (let level = 0; level < 3; level++) {
      table(PAGE_TABLES + level * 0x1000, PAGE_TABLES + (level + 1) * 0x1000);
    }
    for (let page = 0; page < 512; page++) this.setPage(page, BigInt(page) * PAGE | 7n);
    const descriptors: Readonly<Record<number, bigint>> = {
      [Selector.code]: 0x00cf_9b00_0000_ffffn,
      [Selector.data]: 0x00cf_9300_0000_ffffn,
      [Selector.code3]: 0x00cf_fb00_0000_ffffn,
      [Selector.data3]: 0x00cf_f300_0000_ffffn,
      [Selector.tss]: BigInt(TSS) << 16n | 0x0000_8b00_0000_00ffn,
      [Selector.code64]: 0x00af_9b00_0000_ffffn,
      [Selector.code64At3]: 0x00af_fb00_0000_ffffn,
      [Selector.code16]: 0x0000_9b01_0000_ffffn,
      [Selector.data16]: 0x0000_9301_0000_ffffn,
      [Selector.code16At3]: 0x0000_fb01_0000_ffffn,
      [Selector.data16At3]: 0x0000_f301_0000_ffffn,
    };
    for (const [selector, value] of Object.entries(descriptors)) {
      view.setBigUint64(GDT + (Number(selector) & ~7), value, true);
    }
    if (this.isWide) view.setBigUint64(TSS + 4, BigInt(KERNEL_STACK), true);
    else {
      view.setUint32(TSS + 4, KERNEL_STACK, true);
      view.setUint32(TSS + 8, Selector.data, true);
    }
    view.setUint16(TSS + 102, 0xffff, true); // no port is allowed
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = HANDLERS + vector * HANDLER_BYTES;
      this.bytes[handler] = 0xf4;
      if (mode === "real") view.setUint32(vector * 4, handler, true);
      else this.setGate(vector, handler, this.isWide ? Selector.code64 : Selector.code);
    }
  }

  /** Sets the entry of one of the first 512 pages. */
  setPage(page: number, entry: bigint): void {
    this.view.setBigUint64(PAGE_TABLE + page * 8, entry, true);
  }

  /** The state with which code begins; paging is on in the wide modes alone. */
  initialState(): CpuState {
    const { mode, cpl, vcpu } = this;
    vcpu.reset();
    const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
    vcpu.save(state);
    const is16 = mode === "real" || mode === "v86" || mode === "protected16";
    for (const name of ["cs", "ds", "es", "ss", "fs", "gs"] as const) {
      const segment = state[name];
      const isCode = name === "cs";
      segment.base = is16 ? BigInt(CODE) : 0n;
      segment.limit = is16 ? 0xffff : 0xffff_ffff;
      segment.access = (isCode ? 0x9b : 0x93) | cpl << 5 | (is16 ? 0 : 0xc000);
      if (mode === "real" || mode === "v86") {
        segment.selector = CODE >> 4;
        segment.access = 0x93 | cpl << 5;
      } else segment.selector = this.#selector(isCode, is16);
    }
    if (mode === "long") state.cs.access = state.cs.access & ~0x4000 | 0x2000;
    state.rip = is16 ? 0n : BigInt(CODE);
    state.general[4] = BigInt(STACK_OFFSET + (is16 ? 0 : CODE));
    state.rflags = mode === "v86" ? 0x2_3002n : 2n;
    state.gdtr.base = BigInt(GDT);
    state.gdtr.limit = 0x7f;
    state.idtr.base = BigInt(mode === "real" ? 0 : IDT);
    state.idtr.limit = 0xfff;
    state.tr.base = BigInt(TSS);
    state.tr.limit = 0xff;
    state.tr.selector = Selector.tss;
    state.tr.access = 0x8b;
    state.cr0 = mode === "real" ? 0x10n : this.isWide ? 0x8001_0031n : 0x31n;
    state.cr4 = 0x620n; // PAE, OSFXSR, OSXMMEXCPT
    state.cr3 = BigInt(PAGE_TABLES);
    if (this.isWide) state.efer = 0xd01n;
    return state;
  }

  #selector(isCode: boolean, is16: boolean): number {
    const user = this.cpl === 3;
    if (is16) {
      if (isCode) return user ? Selector.code16At3 : Selector.code16;
      return user ? Selector.data16At3 : Selector.data16;
    }
    if (!isCode) return user ? Selector.data3 : Selector.data;
    if (this.mode === "long") return user ? Selector.code64At3 : Selector.code64;
    return user ? Selector.code3 : Selector.code;
  }
}
