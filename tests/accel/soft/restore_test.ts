/** States from elsewhere: what the software CPU takes over in the middle, and what it refuses. */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/accelerator.ts";
import { CpuState } from "../../../hv/accel/cpu_state.ts";
import { softVm } from "./support/soft_vm.ts";

function stopped() {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const vm = softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 1 << 20, memoryOffset: 0 });
  const vcpu = vm.openVcpu(0);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  state.cs.base = 0n;
  state.cs.selector = 0;
  state.rip = 0x1000n;
  state.general[4] = 0x800n;
  return { vcpu, state, bytes: new Uint8Array(memory.buffer) };
}

Deno.test("an interrupt that was acknowledged and not delivered yet is delivered (SDM volume 3, 6.12)", () => {
  const { vcpu, state, bytes } = stopped();
  bytes.set([0x00, 0x20, 0x00, 0x00], 0x21 * 4); // vector 21h at 0000:2000
  bytes.set([0xf4], 0x2000); // hlt
  state.events.interruptInjected = true;
  state.events.interruptVector = 0x21;
  vcpu.restore(state);
  assert.equal(vcpu.run(), Exit.halt);
  vcpu.save(state);
  assert.equal(state.rip, 0x2001n);
  assert.equal(new DataView(bytes.buffer).getUint16(0x7fa, true), 0x1000, "the return address");
});

Deno.test("AVX state and unknown bits of CR4 are refused, and nothing has changed", () => {
  const { vcpu, state } = stopped();
  vcpu.restore(state);
  state.rip = 0x4000n;
  state.xcr0 = 7n;
  assert.throws(() => vcpu.restore(state), /processor state 0x4 of XCR0 \(AVX\)/);
  state.xcr0 = 3n;
  state.cr4 = 1n << 12n; // LA57
  assert.throws(
    () => vcpu.restore(state),
    /uses la57 in CR4, which the software CPU does not have/,
  );
  state.cr4 = 1n << 15n;
  assert.throws(() => vcpu.restore(state), /bits 0x8000 of CR4/);
  vcpu.save(state);
  assert.equal(state.rip, 0x1000n);
});
