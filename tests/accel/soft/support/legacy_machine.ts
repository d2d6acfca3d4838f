/**
 * As user_machine.ts, in real-address mode and in flat 32-bit protected mode at privilege level 0:
 * what KVM does there may be the processor or KVM's emulator, whose word counts for less.
 */

import { type AcceleratedVm, CpuState, Exit, type Vcpu } from "../../../../hv/accel/mod.ts";
import { SoftVm } from "../../../../hv/accel/soft/vm.ts";

const MEMORY_BYTES = 1 << 20;
const LOADER = 0x1000;
const HANDLERS = 0x2000;
const IDT = 0x3000;
const REGISTERS = 0x4000;
const GDT = 0x5000;
/** Where the instruction is put. */
export const CODE = 0x6800;
const CODE_PAGE = 0x6000;
/** What its operands are mostly in. */
export const DATA = 0x8000;
export const DATA_BYTES = 0x6000;
const PORT = 0xe9;
/** One byte that ends the run, wherever a jump leads. */
const OUT_DX_AL = 0xee;
/** Limit of the data segments in protected mode. */
const LIMIT = 0xf_ffff;

/** Which mode. */
export type Mode = "real" | "protected";

/** What an instruction starts with; general registers of 32 bits as encoded, ESP too. */
export interface Case {
  readonly bytes: readonly number[];
  readonly registers: readonly number[];
  readonly flags: number;
}

/** What came of it. */
export interface Outcome {
  readonly exit: Exit;
  /** Vector of the exception. */
  readonly vector: number;
  readonly registers: readonly number[];
  readonly eflags: number;
}

/** See above. */
export class LegacyMachine {
  /** The pages of `DATA`. */
  readonly data: Uint8Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #vcpu: Vcpu;
  readonly #mode: Mode;
  readonly #wrote: (offset: number, length: number) => void;

  constructor(make: (memory: WebAssembly.Memory) => AcceleratedVm, mode: Mode) {
    const pages = MEMORY_BYTES / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#mode = mode;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    this.data = this.#bytes.subarray(DATA, DATA + DATA_BYTES);
    const vm = make(memory);
    vm.mapMemory({ slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 });
    this.#wrote = vm instanceof SoftVm ? (at, length) => vm.hostWrote(at, length) : () => {};
    this.#vcpu = vm.openVcpu(0);
    this.restart();
  }

  /** Puts everything but the data as it was. */
  restart(): void {
    this.#bytes.fill(0, 0, DATA);
    this.#bytes.fill(0, DATA + DATA_BYTES);
    this.#build();
    this.#wrote(0, MEMORY_BYTES);
    const vcpu = this.#vcpu;
    vcpu.reset();
    const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
    vcpu.save(state);
    const flat = this.#mode === "protected";
    for (const name of ["cs", "ds", "es", "ss", "fs", "gs"] as const) {
      state[name].base = 0n;
      state[name].selector = flat ? (name === "cs" ? 8 : 16) : 0;
      if (!flat) continue;
      state[name].limit = LIMIT;
      state[name].access = name === "cs" ? 0x409b : 0x4093;
    }
    state.cr0 = flat ? 0x11n : 0x10n;
    state.gdtr.base = BigInt(GDT);
    state.gdtr.limit = 0x1f;
    state.idtr.base = BigInt(IDT);
    state.idtr.limit = flat ? 0xff : 0x3ff;
    state.rip = BigInt(LOADER);
    vcpu.restore(state);
  }

  run({ bytes, registers, flags }: Case): Outcome {
    this.#bytes.fill(OUT_DX_AL, CODE, CODE + 24);
    this.#bytes.set(bytes, CODE);
    this.#wrote(CODE, 32);
    this.#view.setUint32(REGISTERS, flags, true);
    // POPAD: EDI, ESI, EBP, (ESP), EBX, EDX, ECX, EAX.
    [7, 6, 5, 4, 3, 2, 1, 0].forEach((n, i) =>
      this.#view.setUint32(REGISTERS + 4 + i * 4, registers[n], true)
    );
    this.#view.setUint32(REGISTERS + 36, registers[4], true);
    const vcpu = this.#vcpu;
    const file = vcpu.registers;
    file.load();
    file.ip = LOADER;
    file.eflags = 2;
    file.store();
    let exit: Exit = Exit.interrupted;
    for (let i = 0; exit === Exit.interrupted && i < 100; i++) exit = vcpu.run();
    if (exit !== Exit.port) {
      return {
        exit,
        vector: exit === Exit.mmio ? vcpu.access.address : 0,
        registers: [],
        eflags: 0,
      };
    }
    file.load();
    const inHandler = file.ip >= HANDLERS && file.ip < HANDLERS + 0x200;
    return {
      exit,
      vector: inHandler ? Math.floor((file.ip - HANDLERS) / 16) : -1,
      registers: [
        file.eax,
        file.ecx,
        file.edx,
        file.ebx,
        file.esp,
        file.ebp,
        file.esi,
        file.edi,
        inHandler ? 0 : file.ip,
      ],
      eflags: file.eflags,
    };
  }

  #build(): void {
    const view = this.#view;
    const wide = this.#mode === "protected";
    const prefix = wide ? [] : [0x66];
    const word = (value: number) => [0, 8, 16, 24].map((shift) => value >> shift & 0xff);
    // mov esp, REGISTERS; popfd; popad; mov esp, [REGISTERS + 36]; jmp CODE
    const loader = [
      ...prefix,
      0xbc,
      ...word(REGISTERS),
      ...prefix,
      0x9d,
      ...prefix,
      0x61,
      ...prefix,
      0x8b,
      ...(wide
        ? [0x25, ...word(REGISTERS + 36)]
        : [0x26, (REGISTERS + 36) & 0xff, REGISTERS + 36 >> 8]),
    ];
    const distance = CODE - (LOADER + loader.length + (wide ? 5 : 3));
    loader.push(0xe9, ...word(distance).slice(0, wide ? 4 : 2));
    this.#bytes.fill(OUT_DX_AL, CODE_PAGE, CODE_PAGE + 0x1000);
    this.#bytes.set(loader, LOADER);
    for (let vector = 0; vector < 32; vector++) {
      const handler = HANDLERS + vector * 16;
      this.#bytes.set([0xe6, PORT, 0xeb, 0xfe], handler);
      if (wide) {
        view.setUint16(IDT + vector * 8, handler, true);
        view.setUint16(IDT + vector * 8 + 2, 8, true);
        view.setUint32(IDT + vector * 8 + 4, 0x8e00, true);
      } else {
        view.setUint32(IDT + vector * 4, handler, true);
      }
    }
    view.setBigUint64(GDT + 8, 0x004f_9b00_0000_ffffn, true);
    view.setBigUint64(GDT + 16, 0x004f_9300_0000_ffffn, true);
  }
}
