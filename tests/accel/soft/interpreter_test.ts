/** The generated module, and states that move between accelerators. */

import assert from "node:assert/strict";
import { createVm, Exit, type Vcpu } from "../../../hv/accel/mod.ts";
import { CpuState } from "../../../hv/accel/cpu_state.ts";
import { softVm } from "./support/soft_vm.ts";
import { buildFloat80 } from "../../../hv/accel/soft/float/module.ts";
import { buildInterpreter, HANDLERS } from "../../../hv/accel/soft/interpreter.ts";
import { MISSING_SERVICES } from "../../../hv/accel/soft/services/mod.ts";

Deno.test("the generated modules are valid, with 32- and with 64-bit guest memory", () => {
  assert.ok(WebAssembly.validate(buildInterpreter(16, false)));
  assert.ok(WebAssembly.validate(buildInterpreter(5 * 16384, true)));
  assert.ok(WebAssembly.validate(buildFloat80()));
});

Deno.test("handlers have different names, and services that are missing are known", () => {
  assert.ok(HANDLERS.size > 1000);
  assert.deepEqual(MISSING_SERVICES, []);
});

Deno.test("a machine beyond 4 GiB runs on 64-bit memory", () => {
  const pages = 5 * 16384;
  const memory = new WebAssembly.Memory(
    { initial: BigInt(pages), maximum: BigInt(pages), shared: true, address: "i64" } as never,
  );
  const code = [0xb8, 0x34, 0x12, 0xa3, 0x00, 0x20, 0xa1, 0x00, 0x20, 0x40, 0xf4];
  const base = 0x1_2000_0000;
  new Uint8Array(memory.buffer).set(code, base + 0x1000);
  const vm = softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 0x1_0000, memoryOffset: base });
  const vcpu = vm.openVcpu(0);
  vcpu.registers.cs.selector = 0;
  vcpu.registers.ip = 0x1000;
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(vcpu.registers.eax, 0x1235);
  assert.equal(new DataView(memory.buffer).getUint16(base + 0x2000, true), 0x1234);
});

/** inc dx; add ax, dx; rol ax, 3; out 84h, al; jmp back; in real mode. */
const CODE = [0x42, 0x01, 0xd0, 0xc1, 0xc0, 0x03, 0xe6, 0x84, 0xeb, 0xf6];

function machine(accelerator: "kvm" | "soft"): Vcpu {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  new Uint8Array(memory.buffer).set(CODE, 0x1000);
  const vm = accelerator === "kvm"
    ? createVm({ accelerator, memory, cpus: 1 })
    : softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 65536, memoryOffset: 0 });
  return vm.openVcpu(0);
}

function hasKvm(): boolean {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return true;
  } catch {
    console.log("skipped: moving a state between accelerators needs /dev/kvm");
    return false;
  }
}

Deno.test({
  name: "a processor stopped on one accelerator goes on on the other, and back again",
  ignore: !hasKvm(),
  fn: () => {
    const run = (vcpu: Vcpu, times: number) => {
      for (let i = 0; i < times; i++) {
        let exit = vcpu.run();
        while (exit === Exit.interrupted) exit = vcpu.run();
        assert.equal(exit, Exit.port);
      }
    };
    const whole = machine("soft");
    whole.registers.cs.selector = 0;
    whole.registers.ip = 0x1000;
    whole.registers.edx = 1;
    whole.registers.eax = 7;
    const start = new CpuState(new ArrayBuffer(CpuState.byteLength));
    whole.save(start);
    run(whole, 30);

    let state = start;
    for (const accelerator of ["soft", "kvm", "soft"] as const) {
      const vcpu = machine(accelerator);
      // What only this accelerator knows (MSRs, local APIC) stays its own.
      const own = new CpuState(new ArrayBuffer(CpuState.byteLength));
      vcpu.save(own);
      state.msrCount = own.msrCount;
      state.msrIndices.set(own.msrIndices);
      state.msrValues.set(own.msrValues);
      state.apic.set(own.apic);
      state.apicBase = own.apicBase;
      vcpu.restore(state);
      run(vcpu, 10);
      const next = new CpuState(new ArrayBuffer(CpuState.byteLength));
      assert.ok(vcpu.settle());
      vcpu.save(next);
      state = next;
    }
    assert.equal(state.general[0], BigInt(whole.registers.eax));
    assert.equal(state.general[2], BigInt(whole.registers.edx));
    assert.equal(state.rflags, BigInt(whole.registers.eflags));
  },
});
