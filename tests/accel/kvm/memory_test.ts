/** Memory slots: reading, protecting, moving and logging. */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/mod.ts";
import { accessValue, kvmTest, MEMORY_BYTES, runToExit, TestMachine } from "./test_machine.ts";

/** Writes AL to byte 0 of segment 8000h, reads it back to port E0h, for ever. */
const WRITE_AND_READ = [
  ...[0xb8, 0x00, 0x80, 0x8e, 0xd8], // mov ax, 8000h; mov ds, ax
  ...[0xb0, 0x5a], // mov al, 5Ah
  ...[0xa2, 0x00, 0x00], // again: mov [0], al
  ...[0xa0, 0x00, 0x00], // mov al, [0]
  ...[0xe6, 0xe0], // out 0E0h, al
  ...[0xeb, 0xf6], // jmp again
];

kvmTest("writes to a read-only slot exit as MMIO and change nothing; reads read it", () => {
  using machine = new TestMachine();
  machine.vm.mapMemory({ slot: 0, guestAddress: 0, length: 0x8_0000, memoryOffset: 0 });
  const rom = { slot: 1, guestAddress: 0x8_0000, length: 0x1000, memoryOffset: 0x9_0000 };
  machine.vm.mapMemory({ ...rom, readOnly: true });
  machine.bytes[0x9_0000] = 0x11;
  machine.start(WRITE_AND_READ);
  assert.equal(runToExit(machine.vcpu), Exit.mmio);
  const { access } = machine.vcpu;
  assert.deepEqual([access.address, access.isWrite], [0x8_0000, true]);
  assert.equal(accessValue(machine.vcpu), 0x5a);
  machine.expectOut(0xe0, 0x11);
  assert.equal(machine.bytes[0x9_0000], 0x11);
});

kvmTest("mapping a slot again moves it, and with length 0 removes it", () => {
  using machine = new TestMachine();
  machine.vm.mapMemory({ slot: 0, guestAddress: 0, length: 0x8_0000, memoryOffset: 0 });
  const slot = { slot: 1, guestAddress: 0x8_0000, length: 0x1000, memoryOffset: 0x9_0000 };
  machine.vm.mapMemory(slot);
  machine.start(WRITE_AND_READ);
  machine.expectOut(0xe0, 0x5a);
  assert.equal(machine.bytes[0x9_0000], 0x5a);
  machine.vm.mapMemory({ ...slot, memoryOffset: 0xa_0000 });
  machine.expectOut(0xe0, 0x5a);
  assert.equal(machine.bytes[0xa_0000], 0x5a);
  machine.vm.mapMemory({ ...slot, length: 0 });
  machine.vm.mapMemory({ ...slot, length: 0 });
  assert.equal(runToExit(machine.vcpu), Exit.mmio);
  assert.equal(machine.vcpu.access.address, 0x8_0000);
});

kvmTest("the dirty log names each page written since it was last taken", () => {
  using machine = new TestMachine();
  const slot = { slot: 0, guestAddress: 0, length: MEMORY_BYTES, memoryOffset: 0 };
  machine.start(WRITE_AND_READ);
  machine.expectOut(0xe0, 0x5a);
  assert.throws(() => machine.vm.takeDirtyPages(0), /not mapped with a log/);
  // Also while it is mapped: the log is turned on without moving it.
  machine.vm.mapMemory({ ...slot, logDirty: true });
  const page = 0x8_0000 / 4096;
  const isDirty = (log: Uint8Array, number: number) => (log[number >> 3] >> (number & 7) & 1) === 1;
  machine.expectOut(0xe0, 0x5a);
  const log = machine.vm.takeDirtyPages(0);
  assert.equal(log.length, MEMORY_BYTES / 4096 / 8);
  assert.equal(isDirty(log, page), true);
  assert.equal(isDirty(log, page + 1), false);
  assert.equal(isDirty(machine.vm.takeDirtyPages(0), page), false);
  machine.expectOut(0xe0, 0x5a);
  assert.equal(isDirty(machine.vm.takeDirtyPages(0), page), true);
  machine.vm.mapMemory(slot);
  assert.throws(() => machine.vm.takeDirtyPages(0), /not mapped with a log/);
});

kvmTest("slots outside of the machine's memory are refused before KVM sees them", () => {
  using machine = new TestMachine();
  const slot = { slot: 1, guestAddress: 0x100_0000, length: 0x1000, memoryOffset: 0 };
  const map = (change: Partial<typeof slot>) => () => machine.vm.mapMemory({ ...slot, ...change });
  assert.throws(map({ memoryOffset: MEMORY_BYTES }), /do not lie in the machine's memory/);
  assert.throws(map({ length: MEMORY_BYTES + 4096 }), /do not lie in/);
  assert.throws(map({ memoryOffset: -4096 }), /do not lie in/);
  assert.throws(map({ guestAddress: 1 }), /whole pages/);
  assert.throws(map({ length: 17 }), /whole pages/);
  assert.throws(map({ slot: 64 }), /0 to 63 exist/);
  assert.throws(map({ guestAddress: 0 }), /KVM_SET_USER_MEMORY_REGION: file exists \(EEXIST\)/);
});
