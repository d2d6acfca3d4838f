/** Which accelerator runs a machine, and what the user is told of it. */

import assert from "node:assert/strict";
import { chooseAccelerator, type KvmWorth, kvmWorth } from "../../hv/accel/choose.ts";
import { measureKvm } from "../../hv/accel/kvm/probe.ts";
import { probeSoft } from "../../hv/accel/soft/probe.ts";
import { kvmTest } from "./kvm/test_machine.ts";

const host = (worth: KvmWorth) => ({ worth: () => Promise.resolve(worth) });

Deno.test("auto takes KVM where it runs kernel-mode code at hardware speed", async () => {
  const kvm = host({ native: true, description: "hardware speed" });
  assert.deepEqual(await chooseAccelerator("auto", kvm), {
    accelerator: "kvm",
    description: "KVM",
  });
});

Deno.test("auto takes the software CPU where KVM emulates, and tells how slow KVM is", async () => {
  const kvm = host({ native: false, description: "emulated, 0.8 MIPS" });
  assert.deepEqual(await chooseAccelerator("auto", kvm), {
    accelerator: "soft",
    description: "software CPU, since KVM is emulated, 0.8 MIPS",
  });
});

Deno.test("auto takes the software CPU where there is no KVM, and tells why", async () => {
  const kvm = host({ native: false, description: "not usable: Cannot open /dev/kvm: …" });
  const { accelerator, description } = await chooseAccelerator("auto", kvm);
  assert.equal(accelerator, "soft");
  assert.equal(description, "software CPU, since KVM is not usable: Cannot open /dev/kvm: …");
});

Deno.test("an accelerator that was named is taken without a look at the host", async () => {
  const kvm = { worth: () => Promise.reject(new Error("asked")) };
  assert.equal((await chooseAccelerator("soft", kvm)).accelerator, "soft");
  assert.equal((await chooseAccelerator("kvm", kvm)).accelerator, "kvm");
});

kvmTest("KVM is measured once a process, and what the measurement says decides", async () => {
  const first = await kvmWorth();
  const again = await kvmWorth();
  assert.deepEqual(again, first);
  if (first.speed !== undefined) assert.equal(again, first);
  const { accelerator } = await chooseAccelerator("auto");
  assert.equal(accelerator, first.native ? "kvm" : "soft");
});

Deno.test("the software CPU's speed is measured", () => {
  assert.ok(probeSoft().worst > 1e6);
});

kvmTest("KVM's speed in user mode is measured", () => {
  assert.ok(measureKvm("user").worst > 1000);
});
