/** What KVM cannot run here is loaded once a thread: this has a thread of its own, on which nobody has. */

import assert from "node:assert/strict";
import { emulatesRealMode } from "../../../hv/accel/kvm/host.ts";
import { Exit } from "../../../hv/accel/mod.ts";
import { accessValue, kvmTest, runToExit, TestMachine } from "./test_machine.ts";

kvmTest(
  "code for what KVM cannot run is asked for when it is needed, then the guest goes on",
  async () => {
    using machine = new TestMachine();
    machine.start([
      ...[0xb8, 0x0f, 0x00], // mov ax, 0Fh
      ...[0xf3, 0x0f, 0xb8, 0xc0], // popcnt ax, ax
      ...[0xe7, 0xe0], // out 0E0h, ax
    ]);
    let exit = runToExit(machine.vcpu);
    if (emulatesRealMode()) {
      assert.equal(exit, Exit.needsCode);
      assert.ok(machine.vcpu.settle());
      await machine.vcpu.load();
      exit = runToExit(machine.vcpu);
    }
    assert.equal(exit, Exit.port);
    assert.equal(accessValue(machine.vcpu), 4);
  },
);
