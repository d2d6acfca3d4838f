/** What a guest does, and the exit that hv sees of it. */

import assert from "node:assert/strict";
import { loadGapFiller } from "../../../hv/accel/kvm/gaps/mod.ts";
import { Exit } from "../../../hv/accel/mod.ts";
import { accessValue, answer, kvmTest, runToExit, START, TestMachine } from "./test_machine.ts";

kvmTest("OUT of 8, 16 and 32 bits exits with port, width and value", () => {
  using machine = new TestMachine();
  machine.start([
    ...[0x66, 0xb8, 0x78, 0x56, 0x34, 0x12], // mov eax, 12345678h
    ...[0xe6, 0xe0], // out 0E0h, al
    ...[0xe7, 0xe1], // out 0E1h, ax
    ...[0xba, 0x02, 0xfe], // mov dx, 0FE02h
    ...[0x66, 0xef], // out dx, eax
  ]);
  machine.expectOut(0xe0, 0x78, 1);
  machine.expectOut(0xe1, 0x5678, 2);
  machine.expectOut(0xfe02, 0x12345678, 4);
});

kvmTest("IN of 8, 16 and 32 bits receives what the handler stores before the next run", () => {
  using machine = new TestMachine();
  machine.start([
    ...[0x66, 0x31, 0xc0], // xor eax, eax
    ...[0xe4, 0xe0], // in al, 0E0h
    ...[0x66, 0xe7, 0xe8], // out 0E8h, eax
    ...[0xe5, 0xe1], // in ax, 0E1h
    ...[0x66, 0xe7, 0xe8], // out 0E8h, eax
    ...[0x66, 0xe5, 0xe2], // in eax, 0E2h
    ...[0x66, 0xe7, 0xe8], // out 0E8h, eax
  ]);
  const { vcpu } = machine;
  for (
    const [port, size, value, eax] of [
      [0xe0, 1, 0xa5, 0xa5],
      [0xe1, 2, 0xbeef, 0xbeef],
      [0xe2, 4, 0xdeadbeef, 0xdeadbeef],
    ]
  ) {
    assert.equal(runToExit(vcpu), Exit.port);
    const { access } = vcpu;
    assert.deepEqual([access.address, access.size, access.isWrite], [port, size, false]);
    assert.equal(access.count, 1);
    answer(vcpu, value);
    machine.expectOut(0xe8, eax, 4);
  }
});

kvmTest(
  "REP OUTSW and REP INSB deliver every item once, in order, however they are grouped",
  () => {
    using machine = new TestMachine();
    machine.start([
      ...[0xfc], // cld
      ...[0xbe, 0x00, 0x20], // mov si, 2000h
      ...[0xb9, 0x05, 0x00], // mov cx, 5
      ...[0xba, 0xf0, 0x01], // mov dx, 1F0h
      ...[0xf3, 0x6f], // rep outsw
      ...[0xbf, 0x00, 0x30], // mov di, 3000h
      ...[0xb9, 0x06, 0x00], // mov cx, 6
      ...[0xf3, 0x6c], // rep insb
      ...[0xe6, 0xe0], // out 0E0h, al
    ]);
    machine.bytes.set([1, 0, 2, 0, 3, 0, 4, 0, 5, 0], 0x2000);
    const { vcpu } = machine;
    const { access } = vcpu;
    const out: number[] = [];
    let next = 0x40;
    for (;;) {
      assert.equal(runToExit(vcpu), Exit.port);
      if (access.address === 0xe0) break;
      assert.equal(access.address, 0x1f0);
      for (let item = 0; item < access.count; item++) {
        if (access.isWrite) out.push(accessValue(vcpu, item));
        else answer(vcpu, next++, item);
      }
    }
    assert.deepEqual(out, [1, 2, 3, 4, 5]);
    assert.deepEqual([...machine.bytes.subarray(0x3000, 0x3007)], [
      0x40,
      0x41,
      0x42,
      0x43,
      0x44,
      0x45,
      0,
    ]);
  },
);

kvmTest("accesses where no memory is exit as MMIO with address, width and value", () => {
  using machine = new TestMachine();
  // FFFF:0010 and above is 100000h, behind the machine's memory.
  machine.start([
    ...[0xb8, 0xff, 0xff, 0x8e, 0xd8], // mov ax, 0FFFFh; mov ds, ax
    ...[0xc6, 0x06, 0x10, 0x00, 0x5a], // mov byte [10h], 5Ah
    ...[0xa1, 0x14, 0x00], // mov ax, [14h]
    ...[0xe7, 0xe0], // out 0E0h, ax
    ...[0x66, 0xc7, 0x06, 0x20, 0x00, 0x44, 0x33, 0x22, 0x11], // mov dword [20h], 11223344h
  ]);
  const { vcpu } = machine;
  const { access } = vcpu;
  assert.equal(runToExit(vcpu), Exit.mmio);
  assert.deepEqual([access.address, access.size, access.isWrite], [0x100000, 1, true]);
  assert.equal(accessValue(vcpu), 0x5a);
  assert.equal(runToExit(vcpu), Exit.mmio);
  assert.deepEqual([access.address, access.size, access.isWrite], [0x100004, 2, false]);
  answer(vcpu, 0xcafe);
  machine.expectOut(0xe0, 0xcafe, 2);
  assert.equal(runToExit(vcpu), Exit.mmio);
  assert.deepEqual([access.address, access.size, access.isWrite], [0x100010, 4, true]);
  assert.equal(accessValue(vcpu), 0x11223344);
});

kvmTest("a triple fault exits as shutdown", () => {
  using machine = new TestMachine();
  machine.start([
    ...[0x2e, 0x0f, 0x01, 0x1e, 0x00, 0x20], // lidt [cs:2000h], a table without entries
    ...[0x0f, 0x20, 0xc0], // mov eax, cr0
    ...[0x0c, 0x01], // or al, 1: real mode does not look at the table's limit
    ...[0x0f, 0x22, 0xc0], // mov cr0, eax
    ...[0xb8, 0xf8, 0xff], // mov ax, 0FFF8h
    ...[0x8e, 0xd8], // mov ds, ax: the descriptor is all zeros, #GP
  ]);
  assert.equal(runToExit(machine.vcpu), Exit.shutdown);
});

kvmTest("registers loaded during an OUT are those after it, and can be sent elsewhere", () => {
  using machine = new TestMachine();
  machine.start([
    ...[0xb0, 0x11], // mov al, 11h
    ...[0xe6, 0xe0], // out 0E0h, al
    ...[0xf4], // hlt
  ]);
  machine.bytes.set([0xe6, 0xe1], 0x2000); // out 0E1h, al
  machine.expectOut(0xe0, 0x11);
  const { registers } = machine.vcpu;
  registers.load();
  assert.equal(registers.ip, START + 4);
  assert.equal(registers.eax & 0xff, 0x11);
  registers.eax = 0x8000_0022;
  registers.ip = 0x2000;
  registers.store();
  machine.expectOut(0xe1, 0x22);
  registers.load();
  assert.equal(registers.eax, 0x8000_0022);
});

kvmTest("real-mode segments follow their selectors, and only what changed is stored", () => {
  using machine = new TestMachine();
  machine.start([0xe6, 0xe0, 0xa0, 0x00, 0x00, 0xe6, 0xe1]); // out; mov al, [0]; out 0E1h, al
  machine.bytes[0x23450] = 0x77;
  machine.expectOut(0xe0, 0);
  const { registers } = machine.vcpu;
  registers.load();
  registers.ds.selector = 0x2345;
  assert.equal(registers.ds.base, 0x23450);
  registers.store();
  machine.expectOut(0xe1, 0x77);
  assert.equal(registers.cs.base, 0);
  assert.equal(registers.cr0, 0x6000_0010);
  assert.match(registers.toString(), /ds +=2345 base=0000000000023450/);
});

kvmTest(
  "code where no memory is fails with text instead of an exception, or reads as MMIO",
  async () => {
    await loadGapFiller();
    using machine = new TestMachine();
    machine.start([0xea, 0x00, 0x00, 0xff, 0xff]); // jmp 0FFFFh:0
    machine.bytes.set([0xeb, 0x0e], 0xffff0); // jmp over the end of memory
    let exit = runToExit(machine.vcpu);
    for (let i = 0; exit === Exit.mmio && i < 100; i++) {
      answer(machine.vcpu, 0xff);
      exit = runToExit(machine.vcpu);
    }
    if (exit === Exit.failed) assert.match(machine.vcpu.failure(), /ffff:10 .*no memory/);
    else assert.equal(exit, Exit.shutdown);
  },
);
