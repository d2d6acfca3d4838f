/**
 * Instructions that some KVM's emulator lacks (hv/accel/kvm/gaps). Where the processor runs guests
 * itself these tests show that the programs are right.
 */

import assert from "node:assert/strict";
import { CpuState, Exit, type SegmentState } from "../../hv/accel/mod.ts";
import { emulatesRealMode } from "../../hv/accel/kvm/host.ts";
import { RegisterSync } from "../../hv/accel/kvm/register_sync.ts";
import { KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, RUN } from "../../hv/accel/kvm/run_page.ts";
import { kvm_sregs } from "../../hv/accel/kvm/structs.ts";
import { bytesOf } from "../../hv/core/record.ts";
import { kvmTest, runToExit, START, TestMachine } from "./test_machine.ts";

const out = (port: number, value: number) => [0xb0, value, 0xe6, port]; // mov al, value; out port, al
const dword = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

const GDT = 0x5000;
const IDT = 0x6000;
const PAGE_TABLES = 0x8000;
const STACK = 0x4000;
const DATA = 0x3000;
/** Null, code and data of level 0, code and data of level 3; flat. */
const DESCRIPTORS = [
  0n,
  0x00cf9b000000ffffn,
  0x00cf93000000ffffn,
  0x00cffb000000ffffn,
  0x00cff3000000ffffn,
];
const CODE_64 = 0x00af9b000000ffffn;

function segment(into: SegmentState, selector: number, access: number): void {
  into.selector = selector;
  into.base = 0n;
  into.limit = 0xffff_ffff;
  into.access = access;
}

/** A machine that runs `program` at level 0 in flat protected mode, or in 64-bit mode. */
function inProtectedMode(program: readonly number[], bits: 32 | 64 = 32): TestMachine {
  const machine = new TestMachine();
  machine.start(program);
  const memory = new DataView(machine.memory.buffer);
  const descriptors = bits === 64 ? DESCRIPTORS.with(1, CODE_64) : DESCRIPTORS;
  descriptors.forEach((value, i) => memory.setBigUint64(GDT + i * 8, value, true));
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  machine.vcpu.save(state);
  segment(state.cs, 0x08, bits === 64 ? 0xa09b : 0xc09b);
  for (const name of ["ss", "ds", "es"] as const) segment(state[name], 0x10, 0xc093);
  state.gdtr.base = BigInt(GDT);
  state.gdtr.limit = 0x27;
  state.idtr.base = BigInt(IDT);
  state.idtr.limit = 0x7ff;
  state.cr0 = 0x21n;
  state.general[4] = BigInt(STACK);
  if (bits === 64) {
    memory.setBigUint64(PAGE_TABLES, BigInt(PAGE_TABLES + 0x1003), true);
    memory.setBigUint64(PAGE_TABLES + 0x1000, BigInt(PAGE_TABLES + 0x2003), true);
    memory.setBigUint64(PAGE_TABLES + 0x2000, 0x83n, true); // 2 MiB from 0
    state.cr3 = BigInt(PAGE_TABLES);
    state.cr4 = 0x20n;
    state.cr0 = 0x8000_0021n;
    state.efer = 0x500n;
  }
  machine.vcpu.restore(state);
  return machine;
}

/** Has vector `vector` write itself to port EEh and return. */
function handle(machine: TestMachine, vector: number): void {
  const at = 0x7000 + vector * 16;
  machine.bytes.set([...out(0xee, vector), ...out(0x20, 0x20), 0xcf], at);
  machine.bytes.set([at & 0xff, at >> 8, 0x08, 0, 0, 0x8e, 0, 0], IDT + vector * 8);
}

const FNINIT = [0xdb, 0xe3];

kvmTest("IRET returns in protected mode, to its own level (SDM volume 2, IRET)", () => {
  using machine = inProtectedMode([
    ...[0x9c, 0x6a, 0x08], // pushfd; push 8
    ...[0x68, ...dword(START + 10), 0xcf, 0xf4], // push 100Ah; iret; hlt
    ...[0xe6, 0xe0], // 100Ah: out 0E0h, al
    ...[0x89, 0xe0, 0xe7, 0xe1], // mov eax, esp; out 0E1h, eax
  ]);
  machine.expectOut(0xe0, 0);
  machine.expectOut(0xe1, STACK, 4);
});

kvmTest("IRET finds its frame where base and offset of the stack go beyond 4 GiB", () => {
  using machine = inProtectedMode([
    ...[0xbc, ...dword(STACK + 0x8000)], // mov esp, C000h
    ...[0x9c, 0x6a, 0x08], // pushfd; push 8
    ...[0x68, ...dword(START + 15), 0xcf, 0xf4], // push 100Fh; iret; hlt
    ...[0x89, 0xe0, 0xe7, 0xe1], // 100Fh: mov eax, esp; out 0E1h, eax
  ]);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  machine.vcpu.save(state);
  state.ss.base = 0xffff_8000n;
  machine.vcpu.restore(state);
  machine.expectOut(0xe1, STACK + 0x8000, 4);
});

kvmTest("IRET returns to level 3 with its stack and without the kernel's data segments", () => {
  using machine = inProtectedMode([
    ...[0x6a, 0x23, 0x68, ...dword(0x3ff0)], // push 23h; push 3FF0h
    ...[0x68, ...dword(0x3002)], // push 3002h: IOPL 3
    ...[0x6a, 0x1b, 0x68, ...dword(START + 32), 0xcf], // push 1Bh; push 1020h; iret
    ...new Array(32 - 20).fill(0xf4),
    ...[0x54, 0x58, 0xe7, 0xe1], // 1020h: push esp; pop eax; out 0E1h, eax
    ...[0x8c, 0xd8, 0xe7, 0xe2], // mov eax, ds; out 0E2h, eax
    ...[0x8c, 0xc8, 0xe7, 0xe3], // mov eax, cs; out 0E3h, eax
  ]);
  machine.expectOut(0xe1, 0x3ff0, 4);
  machine.expectOut(0xe2, 0, 4);
  machine.expectOut(0xe3, 0x1b, 4);
});

kvmTest("IRETQ returns in 64-bit mode and takes the stack from its frame", () => {
  using machine = inProtectedMode([
    ...[0x6a, 0x10, 0x68, ...dword(0x3ff0), 0x9c], // push 10h; push 3FF0h; pushfq
    ...[0x6a, 0x08, 0x68, ...dword(START + 32), 0x48, 0xcf], // push 8; push 1020h; iretq
    ...new Array(32 - 17).fill(0xf4),
    ...[0x48, 0x89, 0xe0, 0xe7, 0xe0], // 1020h: mov rax, rsp; out 0E0h, eax
  ], 64);
  machine.expectOut(0xe0, 0x3ff0, 4);
});

kvmTest("x87 loads, computes and stores with the processor's own precision", () => {
  using machine = inProtectedMode([
    ...FNINIT,
    ...[0xd9, 0xeb, 0xdb, 0x3d, ...dword(DATA)], // fldpi; fstp tword [3000h]
    ...[0xc7, 0x05, ...dword(DATA + 0x10), ...dword(12345)], // mov dword [3010h], 12345
    ...[0xbe, ...dword(2), 0xbb, ...dword(DATA)], // mov esi, 2; mov ebx, 3000h
    ...[0xdb, 0x04, 0xf3, 0xdc, 0xc0], // fild dword [ebx+esi*8]; fadd st0, st0
    ...[0xdb, 0x5c, 0xf3, 0x04], // fistp dword [ebx+esi*8+4]
    ...[0xbd, ...dword(DATA + 0x18), 0xd9, 0xe8], // mov ebp, 3018h; fld1
    ...[0xdd, 0x5d, 0x00], // fstp qword [ebp]
    ...[0xbe, ...dword(0x20), 0xd9, 0xe8], // mov esi, 20h; fld1
    ...[0x67, 0xd9, 0x18], // fstp dword [bx+si]
    ...[0xe6, 0xe0],
  ]);
  machine.expectOut(0xe0, 0);
  const memory = new DataView(machine.memory.buffer);
  // Pi in 80 bits, rounded to nearest.
  assert.equal(memory.getBigUint64(DATA, true), 0xc90f_daa2_2168_c235n);
  assert.equal(memory.getUint16(DATA + 8, true), 0x4000);
  assert.equal(memory.getUint32(DATA + 0x14, true), 24690);
  assert.equal(memory.getFloat64(DATA + 0x18, true), 1);
  assert.equal(memory.getFloat32(DATA + 0x20, true), 1);
});

kvmTest("x87 compares into the flags and stores its status in AX, after WAIT", () => {
  using machine = inProtectedMode([
    ...FNINIT,
    ...[0xd9, 0xee, 0xd9, 0xe8, 0xdf, 0xf1], // fldz; fld1; fcomip st1
    ...[0x0f, 0x97, 0xc0, 0xe6, 0xe0], // seta al; out 0E0h, al
    ...[0xdf, 0xf0, 0x0f, 0x94, 0xc0, 0xe6, 0xe1], // fcomip st0; sete al; out 0E1h, al
    ...[0xd9, 0xee, 0x9b, 0xdf, 0xe0], // fldz; wait; fnstsw ax
    ...[0x88, 0xe0, 0xe6, 0xe2], // mov al, ah; out 0E2h, al
  ]);
  machine.expectOut(0xe0, 1);
  machine.expectOut(0xe1, 1);
  machine.expectOut(0xe2, 0x38); // TOP is 7
});

kvmTest("x87 in 64-bit mode addresses by RIP and the extended registers", () => {
  using machine = inProtectedMode([
    ...FNINIT,
    ...[0xdb, 0x05, ...dword(32 - 8)], // fild dword [rip + 24]
    ...[0x49, 0xc7, 0xc5, ...dword(DATA)], // mov r13, 3000h
    ...[0x41, 0xdb, 0x5d, 0x08], // fistp dword [r13+8]
    ...[0xe6, 0xe0],
    ...new Array(32 - 21).fill(0xf4),
    ...dword(-7),
  ], 64);
  machine.expectOut(0xe0, 0);
  assert.equal(new DataView(machine.memory.buffer).getInt32(DATA + 8, true), -7);
});

kvmTest("x87 raises device-not-available while CR0.TS is set, and so does WAIT with MP", () => {
  using machine = inProtectedMode([
    ...[0x0f, 0x20, 0xc0, 0x0c, 0x0a, 0x0f, 0x22, 0xc0], // mov eax, cr0; or al, 0Ah; mov cr0, eax
    ...[0xd9, 0xee, 0xf4], // fldz
  ]);
  handle(machine, 7);
  machine.expectOut(0xee, 7);
});

kvmTest("x87 raises an error that is not masked at the next instruction that waits", () => {
  using machine = inProtectedMode([
    ...FNINIT,
    ...[0xc7, 0x05, ...dword(DATA), ...dword(0x0360), 0xd9, 0x2d, ...dword(DATA)], // fldcw 360h
    ...[0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9], // fld1; fldz; fdivp: division by zero
    ...[0x9b, 0xf4], // wait
  ]);
  handle(machine, 16);
  machine.expectOut(0xee, 16);
});

kvmTest("an interrupt that IF holds back stays pending over an x87 instruction", () => {
  using machine = inProtectedMode([
    ...[...out(0x20, 0x11), ...out(0x21, 0x20), ...out(0x21, 0x04), ...out(0x21, 0x01)],
    ...[...out(0x21, 0x00), ...out(0xe0, 1)],
    ...[...FNINIT, 0xd9, 0xe8, 0xd9, 0xe8, 0xde, 0xc1], // fld1; fld1; faddp
    ...[0xdb, 0x1d, ...dword(DATA)], // fistp dword [3000h]
    ...[...out(0xe1, 2), 0xfb, 0x90, 0xf4], // sti; nop; hlt
  ]);
  handle(machine, 0x26);
  machine.expectOut(0xe0, 1);
  machine.vm.setIrq(6, true);
  machine.expectOut(0xe1, 2);
  assert.equal(machine.bytes[DATA], 2);
  machine.expectOut(0xee, 0x26);
});

kvmTest("an instruction that nobody can carry out is named with its bytes and address", () => {
  if (!emulatesRealMode()) return console.log("skipped: KVM runs guests at hardware speed here");
  using machine = inProtectedMode([...FNINIT, 0xdd, 0x35, ...dword(DATA)]); // fnsave [3000h]
  assert.equal(runToExit(machine.vcpu), Exit.failed);
  assert.match(
    machine.vcpu.failure(),
    /KVM cannot emulate an instruction at 0008:1002 \(linear 0x1002\), bytes dd 35 00 30 00 00/,
  );
});

kvmTest("special registers come without the interrupts that KVM leaves in the shared page", () => {
  using machine = new TestMachine();
  const { vcpuFds } = machine.vm.handle.detail as { vcpuFds: number[] };
  const page = new Uint8Array(4096);
  const sync = new RegisterSync(() => vcpuFds[0], page, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
  const special = new kvm_sregs(new ArrayBuffer(kvm_sregs.byteLength));
  for (let i = 0; i < 3; i++) {
    sync.loadSpecial(bytesOf(special));
    sync.ran();
  }
  const inPage = new kvm_sregs(page.buffer, RUN.sync_sregs);
  inPage.cr2 = 0x1234n;
  inPage.interrupt_bitmap[0] = 1n << 8n;
  sync.loadSpecial(bytesOf(special));
  assert.equal(special.cr2, 0x1234n, "the page is what is read");
  assert.deepEqual([...special.interrupt_bitmap], [0n, 0n, 0n, 0n]);
});
