/** Saving, restoring and resetting a processor and the chips in the kernel. */

import assert from "node:assert/strict";
import { bytesOf } from "../../../hv/core/state/record.ts";
import { hasFeature } from "../../../hv/accel/kvm/cpuid.ts";
import { supportedCpuid } from "../../../hv/accel/kvm/cpuid_table.ts";
import { openKvm } from "../../../hv/accel/kvm/host.ts";
import { Activity, CpuState, Exit } from "../../../hv/accel/mod.ts";
import { closeDescriptor } from "../../../hv/sys/descriptor.ts";
import { answer, kvmTest, runToExit, START, TestMachine } from "./test_machine.ts";

const newState = () => new CpuState(new ArrayBuffer(CpuState.byteLength));

/** Counts in EBX at port E0h for ever, keeping a constant in an x87 register and in DR0. */
const COUNTER = [
  ...[0x66, 0x31, 0xdb], // xor ebx, ebx
  ...[0x66, 0x43], // again: inc ebx
  ...[0x66, 0x89, 0xd8], // mov eax, ebx
  ...[0x66, 0xe7, 0xe0], // out 0E0h, eax
  ...[0xeb, 0xf6], // jmp again
];

kvmTest("a program saved in the middle continues in another machine", () => {
  using first = new TestMachine();
  first.start(COUNTER);
  for (let i = 1; i <= 5; i++) first.expectOut(0xe0, i, 4);
  const state = newState();
  first.vcpu.save(state);
  using second = new TestMachine();
  second.bytes.set(first.bytes);
  second.vcpu.restore(state);
  second.vm.restoreChips(first.vm.saveChips());
  for (let i = 6; i <= 10; i++) second.expectOut(0xe0, i, 4);
  // The first is not disturbed by having been saved.
  first.expectOut(0xe0, 6, 4);
});

kvmTest("a state with a feature in CR4 that the processor lacks is refused by its name", () => {
  const CANDIDATES = [["la57", 12], ["pku", 22], ["pcid", 17], ["umip", 11]] as const;
  const systemFd = openKvm();
  const supported = supportedCpuid(systemFd);
  closeDescriptor(systemFd);
  const lacking = CANDIDATES.find(([name]) => !hasFeature(supported, name));
  if (lacking === undefined) return console.log("skipped: this KVM has all features of CR4");
  const [name, bit] = lacking;
  using machine = new TestMachine();
  const state = newState();
  machine.vcpu.save(state);
  state.cr4 |= 1n << BigInt(bit);
  assert.throws(
    () => machine.vcpu.restore(state),
    new Error(
      `the guest uses ${name} in CR4, which its processor on KVM does not have; ` +
        `start it with --cpu host,-${name}`,
    ),
  );
});

kvmTest("what is restored is what is saved next, in every byte but the running clocks", () => {
  using machine = new TestMachine();
  machine.start(COUNTER);
  machine.expectOut(0xe0, 1, 4);
  const state = newState();
  machine.vcpu.save(state);
  state.general.set(Array.from({ length: 16 }, (_, i) => 0x1111_2222_3333_0000n + BigInt(i)));
  state.fs.base = 0x12340n;
  state.fs.selector = 0x1234;
  state.gdtr.base = 0x5000n;
  state.gdtr.limit = 0x7f;
  state.idtr.limit = 0x3ff;
  state.cr2 = 0xdead_beefn;
  state.debugAddresses[0] = 0x1234n;
  state.xsave[0] = 0x7f; // control word of the x87
  state.xsave[1] = 0x02;
  state.xsave[160] = 0xab; // XMM0
  state.xsave[512] = 3; // x87 and SSE are in use
  state.events.nmiMasked = true;
  state.activity = Activity.halted;
  machine.vcpu.restore(state);
  const again = newState();
  machine.vcpu.save(again);
  for (const view of [state, again]) view.tsc = 0n;
  // The timer of the local APIC is stopped; MSRs hold a clock of their own.
  assert.deepEqual(again.msrCount, state.msrCount);
  for (let i = 0; i < state.msrCount; i++) {
    assert.equal(again.msrIndices[i], state.msrIndices[i]);
  }
  for (const view of [state, again]) view.msrValues.fill(0n);
  for (const { name, offset, size } of CpuState.layout) {
    const part = (view: CpuState) => bytesOf(view).subarray(offset, offset + size);
    assert.deepEqual(part(again), part(state), name);
  }
});

kvmTest("MSRs are part of the state", () => {
  using machine = new TestMachine();
  const MSR_STAR = 0xc000_0081;
  const state = newState();
  machine.vcpu.save(state);
  const at = state.msrIndices.indexOf(MSR_STAR);
  assert.ok(at >= 0 && at < state.msrCount);
  state.msrValues[at] = 0x0023_0010_0000_0000n;
  machine.vcpu.restore(state);
  const again = newState();
  machine.vcpu.save(again);
  assert.equal(again.msrValues[again.msrIndices.indexOf(MSR_STAR)], 0x0023_0010_0000_0000n);
  machine.vcpu.reset();
  machine.vcpu.save(again);
  assert.equal(again.msrValues[again.msrIndices.indexOf(MSR_STAR)], 0n);
});

kvmTest("a state from another kind of processor is refused with the MSR's number", () => {
  using machine = new TestMachine();
  const state = newState();
  machine.vcpu.save(state);
  state.msrIndices[state.msrCount] = 0x1234_5678;
  state.msrValues[state.msrCount++] = 1n;
  assert.throws(() => machine.vcpu.restore(state), /Cannot set MSR 0x12345678 to 0x1: .*another/);
});

kvmTest(
  "a read that was answered is part of what is saved, by another thread's object as well",
  () => {
    using machine = new TestMachine();
    machine.start([0xe4, 0xe0, 0xe6, 0xe1]); // in al, 0E0h; out 0E1h, al
    assert.equal(runToExit(machine.vcpu), Exit.port);
    answer(machine.vcpu, 0x33);
    const state = newState();
    using same = machine.vm.openVcpu(0);
    same.save(state);
    assert.equal(state.general[0] & 0xffn, 0x33n);
    assert.equal(state.rip, BigInt(START + 2));
    machine.expectOut(0xe1, 0x33);
  },
);

kvmTest("an access in two parts is settled after the second, and saved only then", () => {
  using machine = new TestMachine();
  machine.vm.mapMemory({ slot: 0, guestAddress: 0, length: 0x8_0000, memoryOffset: 0 });
  machine.start([
    ...[0xb8, 0x00, 0x80, 0x8e, 0xd8], // mov ax, 8000h; mov ds, ax
    ...[0x66, 0xb8, 0x44, 0x33, 0x22, 0x11], // mov eax, 11223344h
    ...[0x66, 0xa3, 0xfe, 0x0f], // mov [0FFEh], eax: over the end of a page
    ...[0xe6, 0xe0], // out 0E0h, al
  ]);
  const { vcpu } = machine;
  const written: number[] = [];
  assert.equal(runToExit(vcpu), Exit.mmio);
  written.push(vcpu.access.address, vcpu.access.size);
  if (vcpu.access.size === 2) {
    assert.equal(vcpu.settle(), false);
    assert.throws(() => vcpu.save(newState()), /Cannot save processor 0: it awaits a device/);
    assert.equal(runToExit(vcpu), Exit.mmio);
    written.push(vcpu.access.address, vcpu.access.size);
    assert.deepEqual(written, [0x8_0ffe, 2, 0x8_1000, 2]);
  }
  assert.equal(vcpu.settle(), true);
  vcpu.save(newState());
  machine.expectOut(0xe0, 0x44);
});

kvmTest("registers stored for the next run are part of what is saved before it", () => {
  using machine = new TestMachine();
  machine.start(COUNTER);
  machine.expectOut(0xe0, 1, 4);
  const { registers } = machine.vcpu;
  registers.load();
  registers.ebx = 0x77;
  registers.store();
  registers.load();
  assert.equal(registers.ebx, 0x77);
  const state = newState();
  using other = machine.vm.openVcpu(0);
  other.registers.load();
  assert.equal(other.registers.ebx, 0x77);
  other.save(state);
  assert.equal(state.general[3], 0x77n);
  machine.expectOut(0xe0, 0x78, 4);
  registers.load();
  registers.ebx = 0x99;
  registers.store();
  other.restore(state);
  machine.expectOut(0xe0, 0x78, 4);
  registers.load();
  assert.equal(registers.ebx, 0x78);
});

kvmTest("registers are right whether they are looked at often or rarely", () => {
  using machine = new TestMachine();
  machine.start(COUNTER);
  const { registers } = machine.vcpu;
  for (let i = 1; i <= 700; i++) {
    machine.expectOut(0xe0, i, 4);
    // At every exit at first, then not for so long that KVM stops storing them.
    if (i > 50 && i !== 650 && i !== 651) continue;
    registers.load();
    assert.equal(registers.ebx, i);
    assert.equal(registers.cs.selector, 0);
  }
});

kvmTest("RESET in the middle of an access starts at FFFF:FFF0 and leaves nothing of it", () => {
  using machine = new TestMachine();
  const rom = { slot: 1, guestAddress: 0xffff_0000, length: 0x1_0000, memoryOffset: 0xf_0000 };
  machine.vm.mapMemory({ ...rom, readOnly: true });
  machine.bytes.set([0xe6, 0xe5, 0xeb, 0xfc], 0xf_fff0); // again: out 0E5h, al; jmp again
  machine.start([0xb0, 0x77, 0xe4, 0xe0]); // mov al, 77h; in al, 0E0h
  assert.equal(runToExit(machine.vcpu), Exit.port);
  machine.vcpu.reset();
  machine.expectOut(0xe5, 0);
  const { registers } = machine.vcpu;
  registers.load();
  assert.equal(registers.cs.base, 0xffff_0000);
  assert.equal(registers.cs.selector, 0xf000);
  assert.equal(registers.ip, 0xfff2);
});

kvmTest("after RESET the registers are those of SDM volume 3, table 10-1", () => {
  using machine = new TestMachine();
  machine.start(COUNTER);
  machine.expectOut(0xe0, 1, 4);
  machine.vcpu.reset();
  const state = newState();
  machine.vcpu.save(state);
  assert.equal(state.rip, 0xfff0n);
  assert.equal(state.rflags, 2n);
  assert.equal(state.cr0, 0x6000_0010n);
  assert.deepEqual([state.cr2, state.cr3, state.cr4, state.efer], [0n, 0n, 0n, 0n]);
  assert.deepEqual([state.cs.selector, state.cs.base, state.cs.limit], [
    0xf000,
    0xffff_0000n,
    0xffff,
  ]);
  assert.deepEqual([state.ds.selector, state.ds.base, state.ds.limit], [0, 0n, 0xffff]);
  assert.deepEqual([state.gdtr.base, state.gdtr.limit], [0n, 0xffff]);
  assert.deepEqual([state.idtr.base, state.idtr.limit], [0n, 0xffff]);
  assert.equal(state.dr6, 0xffff_0ff0n);
  assert.equal(state.dr7, 0x400n);
  assert.equal(state.xcr0, 1n);
  assert.equal(state.apicBase, 0xfee0_0900n);
  assert.equal(state.activity, Activity.running);
  state.general[2] = 0n; // EDX: the processor's signature
  assert.deepEqual([...state.general], new Array(16).fill(0n));
});

kvmTest("the second processor awaits INIT, with its number as local APIC ID", () => {
  using machine = new TestMachine({ cpus: 2 });
  using vcpu = machine.vm.openVcpu(1);
  const state = newState();
  vcpu.save(state);
  assert.equal(state.activity, Activity.awaitsInit);
  assert.equal(state.apicBase, 0xfee0_0800n);
  assert.equal(state.apic[0x23], 1);
  assert.throws(() => machine.vm.openVcpu(2), /the machine has 2/);
});

kvmTest("INIT and SIPI start the second processor at the page that they name", () => {
  using machine = new TestMachine({ cpus: 2 });
  using vcpu = machine.vm.openVcpu(1);
  machine.bytes.set([0xe6, 0xe7], 0x8000); // out 0E7h, al
  // The local APIC's command register is beyond 1 MiB: written by state, not by a program.
  machine.vm.sendMsi(0xfee0_1000, 0x500); // INIT to APIC ID 1
  machine.vm.sendMsi(0xfee0_1000, 0x608); // SIPI, vector 8
  assert.equal(runToExit(vcpu), Exit.port);
  assert.equal(vcpu.access.address, 0xe7);
});

kvmTest("chips are saved as named blobs, restored, reset, and refused at a wrong length", () => {
  using machine = new TestMachine();
  const { vm } = machine;
  const fresh = vm.saveChips();
  assert.deepEqual([...fresh.keys()], [
    "kvm.pic1",
    "kvm.pic0",
    "kvm.ioapic",
    "kvm.pit",
    "kvm.clock",
  ]);
  machine.start([
    ...[0xb0, 0xa5, 0xe6, 0x21], // mov al, 0A5h; out 21h, al: the master's interrupt mask
    ...[0xb0, 0x5a, 0xe6, 0xa1], // mov al, 5Ah; out 0A1h, al
    ...[0xe6, 0xe0],
  ]);
  machine.expectOut(0xe0, 0x5a);
  const masked = vm.saveChips();
  const IMR = 8 + 2; // kvm_irqchip: head, then kvm_pic_state.imr
  assert.deepEqual([masked.get("kvm.pic0")![IMR], masked.get("kvm.pic1")![IMR]], [0xa5, 0x5a]);
  vm.resetChips();
  assert.deepEqual(vm.saveChips().get("kvm.pic0"), fresh.get("kvm.pic0"));
  vm.restoreChips(masked);
  assert.deepEqual(vm.saveChips().get("kvm.pic1"), masked.get("kvm.pic1"));
  assert.throws(
    () => vm.restoreChips(new Map([["kvm.pit", new Uint8Array(3)]])),
    /Cannot restore kvm\.pit: it has 3 bytes, 112 are required/,
  );
});

kvmTest("a processor ends once, and is of no use afterwards", () => {
  using machine = new TestMachine();
  const vcpu = machine.vm.openVcpu(0);
  vcpu[Symbol.dispose]();
  vcpu[Symbol.dispose]();
  assert.throws(() => vcpu.registers.load(), /after its end/);
  assert.throws(() => vcpu.run(), /after its end/);
});
