/** Runs a few instructions in real-address mode on the software CPU. */

import assert from "node:assert/strict";
import { Exit } from "../../../../hv/accel/accelerator.ts";
import { CpuState } from "../../../../hv/accel/cpu_state.ts";
import { softVm } from "./soft_vm.ts";

const CODE = 0x1000;
const HANDLERS = 0x8000;

/** CR0.NE and CR4 bits. */
export const NE = 0x20n;
export const OSFXSR = 0x200n;
export const OSXMMEXCPT = 0x400n;

/** What is left. */
export interface Left {
  readonly view: DataView;
  readonly state: CpuState;
  /** Of the exception that came first, or -1. */
  readonly vector: number;
}

/** Runs code at 0:1000h to its HLT, or to that of an exception's handler. */
export function runRealMode(
  code: readonly number[],
  { cr0 = NE, cr4 = OSFXSR | OSXMMEXCPT }: { cr0?: bigint; cr4?: bigint } = {},
): Left {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  bytes.set([...code, 0xf4], CODE);
  for (let vector = 0; vector < 32; vector++) {
    view.setUint16(vector * 4, HANDLERS + vector * 16, true);
    bytes[HANDLERS + vector * 16] = 0xf4;
  }
  const vm = softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 1 << 20, memoryOffset: 0 });
  const vcpu = vm.openVcpu(0);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  state.cs.base = 0n;
  state.cs.selector = 0;
  state.rip = BigInt(CODE);
  state.general[4] = 0x7000n;
  state.cr0 = cr0 | 0x10n;
  state.cr4 = cr4;
  vcpu.restore(state);
  assert.equal(vcpu.run(), Exit.halt, vcpu.failure());
  vcpu.save(state);
  const rip = Number(state.rip) - 1;
  return { view, state, vector: rip >= HANDLERS ? (rip - HANDLERS) / 16 : -1 };
}
