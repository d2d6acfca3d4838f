/**
 * A machine that does nothing but run single instructions at privilege level 3 in 64-bit mode, on any
 * accelerator: registers and memory are given, one instruction runs, and what it left is read.
 *
 * On KVM this is the real processor, even where kernel-mode code is emulated. Registers are loaded by
 * native code (POPFQ and POPs), the instruction is followed by INT3, and every exception's handler is
 * one OUT, whose exit shows the registers; then IRETQ goes back to the loading code.
 */

import { type AcceleratedVm, type CpuState, Exit, type Vcpu } from "../../../../hv/accel/mod.ts";
import { SoftVm } from "../../../../hv/accel/soft/vm.ts";
import { CpuState as CpuStateRecord, GENERAL_REGISTERS } from "../../../../hv/accel/cpu_state.ts";

const MEMORY_BYTES = 1 << 20;
const PAGE_TABLES = 0x1_0000;
const LOADER = 0x2_0000;
/** Where the instruction is put; the page is full of INT3, the next one is not there. */
export const CODE = 0x2_1800;
const CODE_PAGE = 0x2_1000;
/** Three writable pages, a read-only one, and none. */
export const DATA = 0x3_0000;
export const DATA_BYTES = 0x4000;
const REGISTERS = 0x4_0000;
/** An FXSAVE image, with the XMM registers in it. */
const IMAGE = 0x4_0200;
const VECTORS = IMAGE + 160;
/** Where FXSAVE puts the x87 after a case that has it. */
export const X87_AFTER = 0x3_2c00;
/** Where MXCSR is stored after a case that has XMM registers. */
const MXCSR_AFTER = 0x3_2ef0;
/** Where the XMM registers are stored after a case that has them. */
const VECTORS_AFTER = 0x3_2f00;
const IDT = 0x5_0000;
const GDT = 0x5_1000;
const TSS = 0x5_2000;
const KERNEL_STACK_TOP = 0x5_5000;
const HANDLERS = 0x5_6000;
const FRAME = 0x5_7000;
const PORT = 0xe9;
const USER_CODE = 0x33;
const USER_STACK = 0x2b;
const COMPATIBILITY_CODE = 0x3b;
const FAR_POINTER = 0x4_0100;
const KERNEL_CODE = 0x10;
const KERNEL_STACK = 0x18;
const TSS_SELECTOR = 0x40;

const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;

/** What an instruction starts with. */
export interface Case {
  readonly bytes: readonly number[];
  /** In the order of GENERAL_REGISTERS. */
  readonly registers: readonly bigint[];
  readonly flags: number;
  /** The XMM registers, 256 bytes; afterwards they are stored at the end of the data. */
  readonly vectors?: Uint8Array;
  /** MXCSR, for cases with vectors; afterwards it is stored before them. */
  readonly mxcsr?: number;
  /** The x87 as FXRSTOR takes it, 160 bytes; afterwards FXSAVE puts it into the data. */
  readonly x87?: Uint8Array;
}

/** What it left. */
export interface Outcome {
  readonly vector: number;
  readonly errorCode: number;
  readonly rip: bigint;
  readonly flags: number;
  readonly registers: readonly bigint[];
  /** Meaningful for a page fault. */
  readonly cr2: bigint;
  /** The x87's status and tags, MXCSR and the XMM registers, where a floating-point exception (#XM) kept them from memory. */
  readonly held: string;
}

const SIMD_EXCEPTION = 19;
const HAS_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);

/** See above. */
export class UserMachine {
  /** The pages of `DATA`. */
  readonly data: Uint8Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #vcpu: Vcpu;
  readonly #wrote: (offset: number, length: number) => void;

  readonly #compatibility: boolean;

  /**
   * @param make Makes a virtual machine over the memory.
   * @param compatibility 32-bit code (compatibility mode) instead of 64-bit code.
   */
  constructor(make: (memory: WebAssembly.Memory) => AcceleratedVm, compatibility = false) {
    this.#compatibility = compatibility;
    const pages = MEMORY_BYTES / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    this.data = this.#bytes.subarray(DATA, DATA + DATA_BYTES);
    this.#build();
    const vm = make(memory);
    vm.mapMemory({ slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 });
    this.#wrote = vm instanceof SoftVm ? (at, length) => vm.hostWrote(at, length) : () => {};
    this.#vcpu = vm.openVcpu(0);
    this.restart();
  }

  /** Begins again after something that ended the machine. */
  restart(): void {
    this.#vcpu.restore(this.#initialState());
  }

  /** INT3, or HLT, which is forbidden here, where INT3 is more than KVM's emulator can do. */
  get #filler(): number {
    return this.#compatibility ? 0xf4 : 0xcc;
  }

  /** Runs one instruction. */
  run({ bytes, registers, flags, vectors, mxcsr, x87 }: Case): Outcome {
    const view = this.#view;
    this.#bytes.fill(this.#filler, CODE, CODE + 256);
    this.#bytes.set(bytes, CODE);
    this.#bytes.set(x87 ?? PLAIN_X87, IMAGE);
    const after: number[] = [];
    if (vectors !== undefined) {
      this.#bytes.set(vectors, VECTORS);
      view.setUint32(IMAGE + 24, mxcsr ?? 0x1f80, true);
      const store = [0x0f, 0xae, 0x1c, 0x25, ...littleEndian(MXCSR_AFTER, 4)];
      after.push(...moveVectors(0x11, VECTORS_AFTER), ...store);
    }
    if (x87 !== undefined) after.push(0x0f, 0xae, 0x04, 0x25, ...littleEndian(X87_AFTER, 4));
    this.#bytes.set(after, CODE + bytes.length);
    this.#wrote(CODE, 256);
    view.setBigUint64(REGISTERS, BigInt(flags), true);
    for (let i = 0; i < 16; i++) {
      // POPs from R15 down, RSP last.
      const n = i === 15 ? 4 : [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 3, 2, 1, 0][i];
      view.setBigUint64(REGISTERS + 8 + i * 8, registers[n], true);
    }
    let exit: Exit = Exit.interrupted;
    for (let i = 0; exit === Exit.interrupted && i < 100; i++) exit = this.#vcpu.run();
    if (exit !== Exit.port || this.#vcpu.access.address !== PORT) {
      throw new Error(`exit ${exit}: ${exit === Exit.failed ? this.#vcpu.failure() : ""}`);
    }
    const file = this.#vcpu.registers;
    file.load();
    const text = file.toString();
    const value = (name: string) => {
      const match = new RegExp(`\\b${name} *=([0-9a-f]+)`).exec(text);
      return BigInt(`0x${match![1]}`);
    };
    const vector = Math.floor((file.ip - HANDLERS) / 16);
    const withError = HAS_ERROR.has(vector);
    const at = KERNEL_STACK_TOP - (withError ? 48 : 40);
    const frame = at + (withError ? 8 : 0);
    const general = GENERAL_REGISTERS.map((name) => name === "rsp" ? 0n : value(name));
    general[4] = view.getBigUint64(frame + 24, true);
    return {
      vector,
      errorCode: withError ? view.getUint32(at, true) : 0,
      rip: view.getBigUint64(frame, true),
      flags: view.getUint32(frame + 16, true),
      registers: general,
      cr2: vector === 14 ? value("cr2") : 0n,
      held: vector === SIMD_EXCEPTION ? this.#held() : "",
    };
  }

  #held(): string {
    const state = new CpuStateRecord(new ArrayBuffer(CpuStateRecord.byteLength));
    this.#vcpu.save(state);
    const hex = (from: number, to: number) => state.xsave.slice(from, to).toHex();
    return `x87 ${hex(2, 5)} mxcsr ${hex(24, 28)} xmm ${hex(160, 416)}`;
  }

  #build(): void {
    const view = this.#view;
    const entry = (at: number, value: bigint) => view.setBigUint64(at, value, true);
    const all = PRESENT | WRITABLE | USER;
    entry(PAGE_TABLES, BigInt(PAGE_TABLES + 0x1000) | all);
    entry(PAGE_TABLES + 0x1000, BigInt(PAGE_TABLES + 0x2000) | all);
    entry(PAGE_TABLES + 0x2000, BigInt(PAGE_TABLES + 0x3000) | all);
    for (let page = 0; page < 256; page++) {
      const address = page * 4096;
      let rights = all | 0x60n;
      if (address === DATA + 0x3000) rights = PRESENT | USER | 0x20n;
      // Everything else is the kernel's: first of all the page tables.
      const isUser = address === LOADER || address === CODE_PAGE || address === REGISTERS ||
        address >= DATA && address < DATA + DATA_BYTES;
      // A stray store must not change what the next cases run.
      if (isUser && address < DATA || address === REGISTERS) rights = PRESENT | USER | 0x20n;
      if (!isUser) rights = PRESENT | WRITABLE | 0x60n;
      if (address === DATA + DATA_BYTES || address === CODE_PAGE + 0x1000) rights = 0n;
      if (address >= DATA && address < DATA + DATA_BYTES) rights |= NO_EXECUTE;
      entry(PAGE_TABLES + 0x3000 + page * 8, BigInt(address) | rights);
    }
    const loader = [
      ...[0x0f, 0xae, 0x0c, 0x25, ...littleEndian(IMAGE, 4)], // FXRSTOR
      ...[0x48, 0xbc, ...littleEndian(REGISTERS, 8), 0x9d],
    ];
    for (let n = 15; n >= 8; n--) loader.push(0x41, 0x58 + n - 8);
    for (const n of [7, 6, 5, 3, 2, 1, 0, 4]) loader.push(0x58 + n);
    if (this.#compatibility) {
      loader.push(0xff, 0x2c, 0x25, ...littleEndian(FAR_POINTER, 4));
      view.setUint32(FAR_POINTER, CODE, true);
      view.setUint16(FAR_POINTER + 4, COMPATIBILITY_CODE, true);
    } else loader.push(0xe9, ...littleEndian(CODE - (LOADER + loader.length + 5), 4));
    this.#bytes.set(loader, LOADER);
    this.#bytes.fill(this.#filler, CODE_PAGE, CODE_PAGE + 4096);
    for (let vector = 0; vector < 32; vector++) {
      const handler = HANDLERS + vector * 16;
      this.#bytes.set([0xe6, PORT, 0xbc, ...littleEndian(FRAME, 4), 0x48, 0xcf], handler);
      view.setUint16(IDT + vector * 16, handler & 0xffff, true);
      view.setUint16(IDT + vector * 16 + 2, KERNEL_CODE, true);
      view.setUint16(IDT + vector * 16 + 4, 0xee00, true); // present, DPL 3, interrupt gate
      view.setUint16(IDT + vector * 16 + 6, handler >> 16, true);
    }
    entry(GDT + KERNEL_CODE, 0x00af_9b00_0000_ffffn);
    entry(GDT + KERNEL_STACK, 0x00cf_9300_0000_ffffn);
    entry(GDT + (USER_STACK & ~7), 0x00cf_f300_0000_ffffn);
    entry(GDT + (COMPATIBILITY_CODE & ~7), 0x00cf_fb00_0000_ffffn);
    entry(GDT + (USER_CODE & ~7), 0x00af_fb00_0000_ffffn);
    entry(TSS + 4, BigInt(KERNEL_STACK_TOP));
    view.setUint16(TSS + 102, 0xffff, true); // no port is allowed
    [LOADER, USER_CODE, 0x202, REGISTERS, USER_STACK].forEach((word, i) =>
      entry(FRAME + i * 8, BigInt(word))
    );
  }

  /** In the kernel, at the IRETQ of a handler. */
  #initialState(): CpuState {
    const state = new CpuStateRecord(new ArrayBuffer(CpuStateRecord.byteLength));
    this.#vcpu.save(state);
    const flat = (name: "cs" | "ds" | "es" | "ss", selector: number, access: number) => {
      state[name].selector = selector;
      state[name].base = 0n;
      state[name].limit = 0xffff_ffff;
      state[name].access = access;
    };
    flat("cs", KERNEL_CODE, 0xa09b);
    flat("ss", KERNEL_STACK, 0xc093);
    // Level 3's own, which IRETQ leaves alone.
    for (const name of ["ds", "es"] as const) flat(name, USER_STACK, 0xc0f3);
    state.tr.selector = TSS_SELECTOR;
    state.tr.base = BigInt(TSS);
    state.tr.limit = 103;
    state.tr.access = 0x8b;
    state.gdtr.base = BigInt(GDT);
    state.gdtr.limit = 0xff;
    state.idtr.base = BigInt(IDT);
    state.idtr.limit = 0x1ff;
    state.cr0 = 0x8005_0033n;
    state.cr3 = BigInt(PAGE_TABLES);
    state.cr4 = 0x0005_06a0n; // PAE, PGE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE
    state.xcr0 = 3n;
    state.efer = 0xd01n; // SCE, LME, LMA, NXE
    state.rip = BigInt(HANDLERS + 7);
    state.general[4] = BigInt(FRAME);
    state.rflags = 2n;
    return state;
  }
}

/** An x87 after FNINIT, MXCSR after reset. */
const PLAIN_X87 = new Uint8Array(160);
PLAIN_X87.set([0x7f, 0x03]);
PLAIN_X87.set([0x80, 0x1f], 24);

/** MOVUPS of all XMM registers to memory (11h). */
const moveVectors = (opcode: number, address: number): number[] =>
  Array.from({ length: 16 }, (_, n) => [
    ...(n < 8 ? [] : [0x44]),
    ...[0x0f, opcode, 0x04 | (n & 7) << 3, 0x25],
    ...littleEndian(address + n * 16, 4),
  ]).flat();

const littleEndian = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => i < 4 ? value >> (8 * i) & 0xff : value < 0 ? 0xff : 0);
