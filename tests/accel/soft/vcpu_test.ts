/** The processor through its interface: exits, interrupts, code that changes, saved states. */

import assert from "node:assert/strict";
import { Exit, type InterruptSource } from "../../../hv/accel/accelerator.ts";
import { CpuState } from "../../../hv/accel/cpu_state.ts";
import { softVm } from "./support/soft_vm.ts";

const MEMORY_BYTES = 1 << 20;
const START = 0x1000;

/** A processor in real mode with `code` at 0:1000h and a stack below it. */
function real(code: number[], prepare: (bytes: Uint8Array) => void = () => {}) {
  const pages = MEMORY_BYTES / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(code, START);
  prepare(bytes);
  const vm = softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 0x8_0000, memoryOffset: 0 });
  vm.mapMemory({
    slot: 1,
    guestAddress: 0x9_0000,
    length: 0x1000,
    memoryOffset: 0x9_0000,
    readOnly: true,
  });
  const vcpu = vm.openVcpu(0);
  vcpu.registers.cs.selector = 0;
  vcpu.registers.ip = START;
  vcpu.registers.esp = START;
  return { vm, vcpu, bytes };
}

/** An interrupt source that never has anything. */
const NO_LOCAL_APIC: InterruptSource = {
  pending: () => false,
  acknowledge: () => -1,
  signal: () => undefined,
  takeSignal: () => {},
  startUpVector: 0,
  init: () => {},
  cr8: 0,
  enabled: false,
  hasMsr: () => false,
  readMsr: () => undefined,
  writeMsr: () => false,
  tscChanged: () => {},
};

Deno.test("OUT is complete when its exit comes, IN takes what the handler stored", () => {
  // mov al, 5; out 80h, al; in ax, 81h; hlt
  const { vcpu } = real([0xb0, 5, 0xe6, 0x80, 0xe5, 0x81, 0xf4]);
  assert.equal(vcpu.run(), Exit.port);
  assert.deepEqual(
    [vcpu.access.address, vcpu.access.size, vcpu.access.isWrite, vcpu.access.data.getUint8(0)],
    [0x80, 1, true, 5],
  );
  assert.equal(vcpu.registers.ip, START + 4);
  assert.equal(vcpu.run(), Exit.port);
  assert.equal(vcpu.access.isWrite, false);
  vcpu.access.data.setUint16(0, 0x1234, true);
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(vcpu.registers.eax, 0x1234);
});

Deno.test("a read-modify-write of a device is one read and one write, in this order", () => {
  // mov ax, 8000h; mov ds, ax; inc word [2]; hlt
  const { vcpu } = real([0xb8, 0, 0x80, 0x8e, 0xd8, 0xff, 0x06, 2, 0, 0xf4]);
  assert.equal(vcpu.run(), Exit.mmio);
  assert.deepEqual([vcpu.access.address, vcpu.access.size, vcpu.access.isWrite], [
    0x8_0002,
    2,
    false,
  ]);
  vcpu.access.data.setUint16(0, 0x10ff, true);
  assert.equal(vcpu.run(), Exit.mmio);
  assert.ok(vcpu.access.isWrite);
  assert.equal(vcpu.access.data.getUint16(0, true), 0x1100);
  assert.equal(vcpu.run(), Exit.halt);
});

Deno.test("REP INSB and REP OUTSB come out item by item, with the registers as after each", () => {
  // mov dx, 300h; mov di, 2000h; mov cx, 3; cld; rep insb; mov si, 2000h; mov cx, 2; rep outsb; hlt
  const { vcpu, bytes } = real([
    ...[0xba, 0, 3, 0xbf, 0, 0x20, 0xb9, 3, 0, 0xfc, 0xf3, 0x6c],
    ...[0xbe, 0, 0x20, 0xb9, 2, 0, 0xf3, 0x6e, 0xf4],
  ]);
  for (let i = 0; i < 3; i++) {
    assert.equal(vcpu.run(), Exit.port);
    assert.equal(vcpu.registers.ecx, 3 - i);
    vcpu.access.data.setUint8(0, 0x41 + i);
  }
  for (let i = 0; i < 2; i++) {
    assert.equal(vcpu.run(), Exit.port);
    assert.ok(vcpu.access.isWrite);
    assert.equal(vcpu.access.data.getUint8(0), 0x41 + i);
  }
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(new TextDecoder().decode(bytes.slice(0x2000, 0x2003)), "ABC");
});

Deno.test("a write to a read-only slot comes out as MMIO and leaves the memory alone", () => {
  // mov ax, 9000h; mov ds, ax; mov byte [5], 7; mov al, [5]; hlt
  const { vcpu, bytes } = real(
    [0xb8, 0, 0x90, 0x8e, 0xd8, 0xc6, 0x06, 5, 0, 7, 0xa0, 5, 0, 0xf4],
    (memory) => memory[0x9_0005] = 0x55,
  );
  assert.equal(vcpu.run(), Exit.mmio);
  assert.equal(vcpu.access.address, 0x9_0005);
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(vcpu.registers.eax & 0xff, 0x55);
  assert.equal(bytes[0x9_0005], 0x55);
});

Deno.test("code that overwrites what follows in its own block runs what it wrote", () => {
  // mov byte [100Ah], 42h (inc dx); nop...; at 100Ah: nop; hlt
  const { vcpu } = real([0xc6, 0x06, 0x0a, 0x10, 0x42, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xf4]);
  vcpu.registers.edx = 1;
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(vcpu.registers.edx, 2);
});

Deno.test("an instruction across two pages runs as what both hold at the time", () => {
  // at 1FFEh: mov ax, 1234h; inc byte [2000h]; jmp 1FFEh until AH is 14h
  const { vcpu } = real([0xe9, 0xfb, 0x0f], (memory) => {
    memory.set(
      [0xb8, 0x34, 0x12, 0xfe, 0x06, 0x00, 0x20, 0x80, 0xfc, 0x14, 0x75, 0xf2, 0xf4],
      0x1ffe,
    );
  });
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(vcpu.registers.eax & 0xffff, 0x1434);
});

Deno.test("what a device writes over code is run once `hostWrote` has been told", () => {
  // again: inc dx; out 80h, al; jmp again
  const { vm, vcpu, bytes } = real([0x42, 0xe6, 0x80, 0xeb, 0xfb]);
  vcpu.registers.edx = 0;
  vcpu.run();
  vcpu.run();
  assert.equal(vcpu.registers.edx, 2);
  bytes[START] = 0x4a; // dec dx
  vm.hostWrote(START, 1);
  vcpu.run();
  assert.equal(vcpu.registers.edx, 1);
});

Deno.test("an interrupt waits for IF and for the instruction after STI, and ends HLT (6.8.1, 6.8.3)", () => {
  // cli; nop; sti; inc dx; inc dx; hlt; out 81h, al; handler of vector 20h: out 80h, al; iret
  const { vm, vcpu } = real(
    [0xfa, 0x90, 0xfb, 0x42, 0x42, 0xf4, 0xe6, 0x81],
    (memory) => {
      memory.set([0x00, 0x20, 0, 0], 0x20 * 4);
      memory.set([0xe6, 0x80, 0xcf], 0x2000);
    },
  );
  let waiting = 1;
  const source: InterruptSource = {
    ...NO_LOCAL_APIC,
    pending: () => waiting > 0,
    acknowledge: () => {
      waiting--;
      return 0x20;
    },
  };
  vcpu.interrupts = source;
  vcpu.registers.edx = 0;
  vcpu.registers.eflags = 2;
  vm.wake(0);
  assert.equal(vcpu.run(), Exit.port);
  assert.equal(vcpu.access.address, 0x80);
  assert.equal(vcpu.registers.edx, 1, "one instruction after STI has run");
  // Without a source HLT is an exit: with one, the processor would wait for it.
  vcpu.interrupts = undefined;
  assert.equal(vcpu.run(), Exit.halt);
  assert.equal(vcpu.registers.edx, 2);
  vcpu.interrupts = source;
  waiting = 1;
  vm.wake(0);
  assert.equal(vcpu.run(), Exit.port);
  assert.equal(vcpu.access.address, 0x80);
  assert.equal(vcpu.run(), Exit.port);
  assert.equal(vcpu.access.address, 0x81);
});

Deno.test("TF traps after each instruction, with DR6.BS (17.3.1.4)", () => {
  // push 100h+2; popf; nop; nop; handler of vector 1: inc dx; out 80h, al; iret
  const { vcpu } = real([0x68, 0x02, 0x01, 0x9d, 0x90, 0x90, 0x90], (memory) => {
    memory.set([0x00, 0x20, 0, 0], 4);
    memory.set([0x42, 0xe6, 0x80, 0xcf], 0x2000);
  });
  vcpu.registers.edx = 0;
  for (let i = 1; i <= 3; i++) {
    assert.equal(vcpu.run(), Exit.port);
    assert.equal(vcpu.registers.edx, i);
  }
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  assert.equal(state.dr6 & 0x4000n, 0x4000n);
});

Deno.test("a saved state restored elsewhere goes on as if nothing had been", () => {
  const code = [0x42, 0xe6, 0x80, 0xeb, 0xfb];
  const first = real(code);
  first.vcpu.registers.edx = 0xfff0;
  first.vcpu.registers.eflags = 0x8d7;
  for (let i = 0; i < 5; i++) first.vcpu.run();
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  first.vcpu.save(state);
  const second = real(code);
  second.vcpu.restore(state);
  for (let i = 0; i < 20; i++) {
    first.vcpu.run();
    second.vcpu.run();
    assert.equal(second.vcpu.registers.toString(), first.vcpu.registers.toString());
  }
});

Deno.test("a triple fault is a shutdown", () => {
  // lidt [cs:1008h] with limit 0; ud2
  const { vcpu } = real([0x2e, 0x0f, 0x01, 0x1e, 0x08, 0x10, 0x0f, 0x0b, 0, 0, 0, 0, 0, 0]);
  assert.equal(vcpu.run(), Exit.shutdown);
});

Deno.test("protected mode, paging and a page moved by INVLPG", () => {
  const { vcpu, bytes } = real([
    ...[0x0f, 0x01, 0x16, 0x00, 0x30], // lgdt [3000h]
    ...[0x0f, 0x20, 0xc0, 0x66, 0x83, 0xc8, 0x01, 0x0f, 0x22, 0xc0], // cr0.pe = 1
    ...[0xea, 0x14, 0x10, 0x08, 0x00], // jmp 8:1014h
    // 32-bit: mov ax, 10h; mov ds, ax; mov eax, 4000h; mov cr3, eax
    ...[0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0xb8, 0, 0x40, 0, 0, 0x0f, 0x22, 0xd8],
    ...[0x0f, 0x20, 0xc0, 0x0d, 0, 0, 0, 0x80, 0x0f, 0x22, 0xc0], // cr0.pg = 1
    ...[0xa1, 0, 0, 0x40, 0, 0xe7, 0x80], // mov eax, [400000h]; out 80h, eax
    ...[0xc7, 0x05, 0x00, 0x60, 0, 0, 0x07, 0x80, 0, 0], // mov dword [6000h], 8007h
    ...[0x0f, 0x01, 0x3d, 0, 0, 0x40, 0], // invlpg [400000h]
    ...[0xa1, 0, 0, 0x40, 0, 0xe7, 0x80], // mov eax, [400000h]; out 80h, eax
  ], (memory) => {
    const view = new DataView(memory.buffer);
    view.setUint16(0x3000, 0x17, true);
    view.setUint32(0x3002, 0x3010, true);
    view.setBigUint64(0x3018, 0x00cf_9a00_0000_ffffn, true);
    view.setBigUint64(0x3020, 0x00cf_9200_0000_ffffn, true);
    view.setUint32(0x4000, 0x5007, true);
    view.setUint32(0x4004, 0x6007, true);
    for (let page = 0; page < 16; page++) view.setUint32(0x5000 + page * 4, page << 12 | 7, true);
    view.setUint32(0x6000, 0x7007, true);
    view.setUint32(0x7000, 0x1111_1111, true);
    view.setUint32(0x8000, 0x2222_2222, true);
  });
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.access.data.getUint32(0, true), 0x1111_1111);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.access.data.getUint32(0, true), 0x2222_2222);
  assert.equal(new DataView(bytes.buffer).getUint32(0x7000, true), 0x1111_1111);
});
