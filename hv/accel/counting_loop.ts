/**
 * How fast an accelerator runs guest code: a loop of two instructions, in flat 32-bit protected mode
 * at privilege level 0 or in 64-bit mode at level 3. Every processor with VT-x or AMD-V runs both
 * natively (16-bit real mode is emulated on the oldest).
 */

import { monotonicNs } from "../sys/clock.ts";
import { type AcceleratedVm, Exit, type Vcpu } from "./accelerator.ts";
import * as cpu from "./cpu_state.ts";

/** Where the loop runs. */
export type LoopMode = "kernel" | "user";

/** Counts ECX, which is set from outside, down to 0; the same in 32- and 64-bit code. */
const CODE = new Uint8Array([
  0xff, // again: dec ecx
  0xc9,
  0x75, // jnz again
  0xfc,
  0xe6, // out E9h, al
  0xe9,
  0xeb, // jmp again
  0xf8,
]);
const PORT = 0xe9;
/** Signals and timers interrupt a run; so many mean that it does not end. */
const MAX_INTERRUPTIONS = 1000;

const CODE_ADDRESS = 0x1000;
const PAGE_TABLES = 0x2000;
const TABLES = 4;
const PAGE = 4096;
const MEMORY_BYTES = 65536;
const PRESENT_WRITABLE_USER = 7n;
const IOPL_3 = 0x3000n;

/** The loop in a machine of its own, ready to be measured. */
export class CountingLoop implements Disposable {
  readonly #vm: AcceleratedVm;
  readonly #vcpu: Vcpu;

  /** @param make Makes a virtual machine with one processor over the memory. */
  constructor(make: (memory: WebAssembly.Memory) => AcceleratedVm, mode: LoopMode) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    new Uint8Array(memory.buffer).set(CODE, CODE_ADDRESS);
    if (mode === "user") mapWithItself(memory.buffer);
    this.#vm = make(memory);
    try {
      this.#vm.mapMemory({ slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 });
      this.#vcpu = this.#vm.openVcpu(0);
      const state = new cpu.CpuState(new ArrayBuffer(cpu.CpuState.byteLength));
      this.#vcpu.save(state);
      setMode(state, mode);
      this.#vcpu.restore(state);
    } catch (error) {
      this.#vm[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Instructions a second over `rounds` rounds.
   *
   * @throws {Error} When the accelerator cannot run it.
   */
  measure(rounds: number): number {
    const vcpu = this.#vcpu;
    vcpu.registers.load();
    vcpu.registers.ecx = rounds;
    vcpu.registers.ip = CODE_ADDRESS;
    vcpu.registers.store();
    const start = monotonicNs();
    let exit = vcpu.run();
    for (let i = 0; exit === Exit.interrupted && i < MAX_INTERRUPTIONS; i++) exit = vcpu.run();
    const elapsedNs = monotonicNs() - start;
    if (exit !== Exit.port || vcpu.access.address !== PORT) {
      const what = exit === Exit.failed ? vcpu.failure() : `exit ${exit}`;
      throw new Error(`Cannot measure how fast guest code runs: ${what}`);
    }
    return rounds * 2 * 1e9 / elapsedNs;
  }

  [Symbol.dispose](): void {
    this.#vcpu[Symbol.dispose]();
    this.#vm[Symbol.dispose]();
  }
}

/** Page tables that map the memory where it is, for user mode, too. */
function mapWithItself(memory: ArrayBufferLike): void {
  const entries = new BigUint64Array(memory);
  const table = (level: number) => PAGE_TABLES + level * PAGE;
  for (let level = 0; level < TABLES - 1; level++) {
    entries[table(level) / 8] = BigInt(table(level + 1)) | PRESENT_WRITABLE_USER;
  }
  for (let page = 0; page < MEMORY_BYTES / PAGE; page++) {
    entries[table(TABLES - 1) / 8 + page] = BigInt(page * PAGE) | PRESENT_WRITABLE_USER;
  }
}

function setMode(state: cpu.CpuState, mode: LoopMode): void {
  const user = mode === "user";
  const level = user ? 3 : 0;
  const flat = cpu.ACCESS_PRESENT | cpu.ACCESS_S | cpu.ACCESS_G | level << cpu.ACCESS_DPL_SHIFT;
  for (const name of ["es", "cs", "ss", "ds", "fs", "gs"] as const) {
    const code = name === "cs";
    state[name].base = 0n;
    state[name].limit = 0xffff_ffff;
    state[name].selector = (code ? 0x8 : 0x10) | level;
    state[name].access = flat | (code ? 0xb : 0x3) |
      (code && user ? cpu.ACCESS_L : cpu.ACCESS_DB);
  }
  state.rip = BigInt(CODE_ADDRESS);
  state.cr0 = 0x11n; // PE and ET
  if (!user) return;
  state.cr0 = 0x8000_0031n; // and PG and NE
  state.cr3 = BigInt(PAGE_TABLES);
  state.cr4 = 0x20n; // PAE
  state.efer = 0x500n; // LME and LMA
  state.rflags = 2n | IOPL_3;
}
