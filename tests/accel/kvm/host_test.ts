/** The host's KVM: errors that say what to do, measuring it, and giving everything back. */

import assert from "node:assert/strict";
import { createKvmVm } from "../../../hv/accel/kvm/create.ts";
import { openKvm } from "../../../hv/accel/kvm/host.ts";
import { describeProbe, probeKvm } from "../../../hv/accel/kvm/probe.ts";
import { createVm } from "../../../hv/accel/mod.ts";
import { closeDescriptor } from "../../../hv/sys/descriptor.ts";
import { createEventFd } from "../../../hv/sys/wait/event_fd.ts";
import { NOBODY, otherUserProblem, Reachable } from "../../support/reachable.ts";
import { kvmTest, TestMachine } from "./test_machine.ts";

Deno.test("a host without KVM is told how to get it", () => {
  assert.throws(
    () => openKvm("/nonexistent/kvm"),
    /^SysError: Cannot open \/nonexistent\/kvm: no such file or directory \(ENOENT\); load the module kvm_intel or kvm_amd, enable virtualization .*$/,
  );
});

Deno.test("a device that is not KVM is refused", () => {
  assert.throws(() => openKvm("/dev/null"), /ENOTTY.*; \/dev\/null is not KVM/);
});

Deno.test("a user without permission is told of the kvm group", async () => {
  const problem = otherUserProblem();
  if (problem !== "") return console.log(`skipped: ${problem}`);
  using copy = new Reachable();
  const device = `${copy.path}/kvm`;
  Deno.writeTextFileSync(device, "");
  Deno.chmodSync(device, 0);
  const main = `${copy.path}/main.ts`;
  Deno.writeTextFileSync(
    main,
    `import { openKvm } from "${copy.root}/hv/accel/kvm/host.ts";
    try { openKvm(Deno.args[0]); console.log("opened"); } catch (error) { console.log(error.message); }`,
  );
  Deno.chmodSync(main, 0o644);
  const { stdout, stderr } = await new Deno.Command(copy.deno, {
    args: ["run", "-A", "--quiet", "--no-lock", "--no-config", main, device],
    cwd: copy.path,
    uid: NOBODY,
    gid: NOBODY,
    env: copy.env,
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(
    text.trim(),
    `Cannot open ${device}: permission denied (EACCES); ` +
      "add your user to the kvm group",
  );
});

kvmTest("a process without descriptors left is told of the limit, and loses none by it", () => {
  const held: number[] = [];
  try {
    try {
      while (held.length < 70_000) held.push(createEventFd());
      return console.log("skipped: the limit of open files is too high to be reached");
    } catch (error) {
      assert.match((error as Error).message, /Cannot create an eventfd: too many open files/);
    }
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const create = () => createKvmVm({ memory, cpus: 4, cpu: "host" });
    assert.throws(create, /too many open files \(EMFILE\); raise the limit of open files/);
    // One free descriptor after the other: each step of creation fails once.
    for (let free = 1; free < 6; free++) {
      closeDescriptor(held.pop()!);
      for (let i = 0; i < 3; i++) assert.throws(create, /too many open files/);
    }
    closeDescriptor(held.pop()!);
    using vm = create();
    assert.equal(vm.handle.cpus, 4);
  } finally {
    for (const fd of held) closeDescriptor(fd);
  }
});

kvmTest("50 machines made and ended leave no descriptor and no mapping behind", () => {
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const mappings = () =>
    Deno.readTextFileSync("/proc/self/maps").split("\n").filter((line) => line.includes("kvm"))
      .length;
  new TestMachine()[Symbol.dispose]();
  const before = [open(), mappings()];
  for (let i = 0; i < 50; i++) {
    using machine = new TestMachine({ cpus: 2 });
    machine.start([0xe6, 0xe0]);
    machine.expectOut(0xe0, 0);
  }
  assert.deepEqual([open(), mappings()], before);
});

kvmTest("a machine with no or too many processors is refused", () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  for (const cpus of [0, 1.5, 100_000]) {
    assert.throws(
      () => createVm({ accelerator: "kvm", memory, cpus }),
      /Cannot make .* processors: this host's KVM allows 1 to \d+/,
    );
  }
});

kvmTest("a mistake in the processor's features costs no descriptor", () => {
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const before = open();
  assert.throws(() => createVm({ accelerator: "kvm", memory, cpus: 1, cpu: "host,-no" }));
  assert.equal(open(), before);
});

kvmTest("KVM's speed in kernel mode is measured", () => {
  const probe = probeKvm();
  assert.ok(probe.speed.worst > 1000, `${probe.speed.worst}`);
  assert.equal(probe.native, probe.speed.best >= 40e6);
});

Deno.test("a measured speed is told in words", () => {
  const steady = (speed: number) => ({ best: speed, median: speed, worst: speed });
  assert.equal(describeProbe({ speed: steady(812_345), native: false }), "emulated, 0.8 MIPS");
  assert.equal(describeProbe({ speed: steady(2e9), native: true }), "hardware speed");
});
