/** A machine on KVM in flat protected mode or 64-bit mode, at level 0: where KVM may emulate. */

import { CpuState, type SegmentState } from "../../../hv/accel/mod.ts";
import { TestMachine } from "./test_machine.ts";

/** mov al, value; out port, al */
export const out = (port: number, value: number): number[] => [0xb0, value, 0xe6, port];
/** A little-endian 32-bit word. */
export const dword = (value: number): number[] =>
  [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

const CR4_PAE = 1n << 5n;
const CR4_OSFXSR = 1n << 9n;
const CR4_OSXSAVE = 1n << 18n;
const GDT = 0x5000;
const IDT = 0x6000;
const PAGE_TABLES = 0x8000;
export const STACK = 0x4000;
export const DATA = 0x3000;
/** Null, code and data of level 0, code and data of level 3; flat. */
const DESCRIPTORS = [
  0n,
  0x00cf9b000000ffffn,
  0x00cf93000000ffffn,
  0x00cffb000000ffffn,
  0x00cff3000000ffffn,
];
const CODE_64 = 0x00af9b000000ffffn;

function segment(into: SegmentState, selector: number, access: number): void {
  into.selector = selector;
  into.base = 0n;
  into.limit = 0xffff_ffff;
  into.access = access;
}

/**
 * A machine that runs `program` at level 0 in flat protected mode, or in 64-bit mode with 2 MiB mapped
 * from 0 on; SSE and XSAVE are enabled. Memory is there up to `MEMORY_BYTES`.
 */
export function inProtectedMode(program: readonly number[], bits: 32 | 64 = 32): TestMachine {
  const machine = new TestMachine();
  machine.start(program);
  const memory = new DataView(machine.memory.buffer);
  const descriptors = bits === 64 ? DESCRIPTORS.with(1, CODE_64) : DESCRIPTORS;
  descriptors.forEach((value, i) => memory.setBigUint64(GDT + i * 8, value, true));
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  machine.vcpu.save(state);
  segment(state.cs, 0x08, bits === 64 ? 0xa09b : 0xc09b);
  for (const name of ["ss", "ds", "es"] as const) segment(state[name], 0x10, 0xc093);
  state.gdtr.base = BigInt(GDT);
  state.gdtr.limit = 0x27;
  state.idtr.base = BigInt(IDT);
  state.idtr.limit = 0x7ff;
  state.cr0 = 0x23n; // NE, MP, PE
  state.cr4 = CR4_OSFXSR | CR4_OSXSAVE;
  state.general[4] = BigInt(STACK);
  if (bits === 64) {
    memory.setBigUint64(PAGE_TABLES, BigInt(PAGE_TABLES + 0x1003), true);
    memory.setBigUint64(PAGE_TABLES + 0x1000, BigInt(PAGE_TABLES + 0x2003), true);
    memory.setBigUint64(PAGE_TABLES + 0x2000, 0x83n, true); // 2 MiB from 0
    state.cr3 = BigInt(PAGE_TABLES);
    state.cr4 |= CR4_PAE;
    state.cr0 = 0x8000_0023n;
    state.efer = 0x500n;
  }
  machine.vcpu.restore(state);
  return machine;
}

/** Has vector `vector` write itself to port EEh, tell the 8259 and return. */
export function handle(machine: TestMachine, vector: number, bits: 32 | 64 = 32): void {
  const at = 0x7000 + vector * 16;
  const iret = bits === 64 ? [0x48, 0xcf] : [0xcf];
  machine.bytes.set([...out(0xee, vector), ...out(0x20, 0x20), ...iret], at);
  const gate = [at & 0xff, at >> 8, 0x08, 0, 0, 0x8e, 0, 0];
  machine.bytes.set(gate, IDT + vector * (bits === 64 ? 16 : 8));
}
