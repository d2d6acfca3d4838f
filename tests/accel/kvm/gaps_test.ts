/**
 * Instructions that some KVM's emulator lacks (hv/accel/kvm/gaps). Where the processor runs guests
 * itself these tests show that the programs are right.
 */

import assert from "node:assert/strict";
import { CpuState, Exit } from "../../../hv/accel/mod.ts";
import { loadGapFiller } from "../../../hv/accel/kvm/gaps/mod.ts";
import { emulatesRealMode } from "../../../hv/accel/kvm/host.ts";
import { RegisterSync } from "../../../hv/accel/kvm/state/register_sync.ts";
import { KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, RUN } from "../../../hv/accel/kvm/api/run_page.ts";
import { kvm_sregs } from "../../../hv/accel/kvm/api/structs.ts";
import { bytesOf } from "../../../hv/core/state/record.ts";
import { DATA, dword, handle, inProtectedMode, out, STACK } from "./gap_machine.ts";
import {
  accessValue,
  kvmTest,
  MEMORY_BYTES,
  runToExit,
  START,
  TestMachine,
} from "./test_machine.ts";

await loadGapFiller();

/** Offsets in the XSAVE area. */
const XSTATE_BV = 512;
const YMM_HIGH = 576;
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

/** As many instructions as `count`, where KVM emulates; elsewhere KVM has no gap here. */
function assertFilled(machine: TestMachine, names: Record<string, number>): void {
  if (!emulatesRealMode()) return;
  assert.deepEqual(Object.fromEntries(machine.vm.filledInstructions().byName), names);
}

const stateOf = ({ vcpu }: TestMachine): CpuState => {
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  return state;
};

kvmTest("POPCNT counts bits and sets ZF", () => {
  using machine = inProtectedMode([
    ...[0xb9, ...dword(0xff01), 0xf3, 0x0f, 0xb8, 0xc1], // mov ecx, FF01h; popcnt eax, ecx
    ...[0xe7, 0xe0, 0x31, 0xc9], // out 0E0h, eax; xor ecx, ecx
    ...[0xf3, 0x0f, 0xb8, 0xc1, 0x0f, 0x94, 0xc0, 0xe6, 0xe1], // popcnt eax, ecx; sete al; out
  ]);
  machine.expectOut(0xe0, 9, 4);
  machine.expectOut(0xe1, 1);
  assertFilled(machine, { popcnt: 2 });
});

kvmTest("a page fault of such an instruction is the guest's, with CR2 and error code", () => {
  using machine = inProtectedMode([
    ...[0xf3, 0x0f, 0xb8, 0x04, 0x25, ...dword(0x20_0008)], // popcnt eax, [200008h]
  ], 64);
  const at = 0x7000 + 14 * 16;
  handle(machine, 14, 64);
  // pop rax; out 0E0h, eax; mov rax, cr2; out 0E1h, eax
  machine.bytes.set([0x58, 0xe7, 0xe0, 0x0f, 0x20, 0xd0, 0xe7, 0xe1], at);
  machine.expectOut(0xe0, 0, 4);
  machine.expectOut(0xe1, 0x20_0008, 4);
});

kvmTest("INT3 calls its handler with the next instruction's address", () => {
  using machine = inProtectedMode([0xcc, ...out(0xe0, 1)]);
  handle(machine, 3);
  machine.expectOut(0xee, 3);
  machine.expectOut(0xe0, 1);
});

kvmTest("UD2 gives the guest its undefined-opcode exception", () => {
  using machine = inProtectedMode([0x0f, 0x0b]);
  handle(machine, 6);
  machine.expectOut(0xee, 6);
});

kvmTest("CMPXCHG16B exchanges 16 bytes, or loads them, and wants them aligned", () => {
  using machine = inProtectedMode([
    ...[0x31, 0xc0, 0x31, 0xd2, 0xbb, ...dword(5), 0xb9, ...dword(6)], // rdx:rax = 0, rcx:rbx = 6:5
    ...[0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, ...dword(DATA)], // lock cmpxchg16b [3000h]
    ...[0x0f, 0x94, 0xc0, 0xe6, 0xe0], // sete al; out 0E0h, al
    ...[0xb8, ...dword(1), 0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, ...dword(DATA)],
    ...[0xe7, 0xe1, 0x89, 0xd0, 0xe7, 0xe2], // out 0E1h, eax; mov eax, edx; out 0E2h, eax
    ...[0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, ...dword(DATA + 8)],
  ], 64);
  handle(machine, 13, 64);
  machine.expectOut(0xe0, 1);
  const memory = new DataView(machine.memory.buffer);
  assert.equal(memory.getBigUint64(DATA, true), 5n);
  assert.equal(memory.getBigUint64(DATA + 8, true), 6n);
  machine.expectOut(0xe1, 5, 4);
  machine.expectOut(0xe2, 6, 4);
  machine.expectOut(0xee, 13);
});

kvmTest("STAC and CLAC change AC", () => {
  using machine = inProtectedMode([
    ...[0x0f, 0x01, 0xcb, 0x9c, 0x58, 0xe7, 0xe0], // stac; pushf; pop eax; out 0E0h, eax
    ...[0x0f, 0x01, 0xca, 0x9c, 0x58, 0xe7, 0xe1], // clac; pushf; pop eax; out 0E1h, eax
  ]);
  assert.equal(runToExit(machine.vcpu), Exit.port);
  assert.equal(accessValue(machine.vcpu) & 0x4_0000, 0x4_0000);
  assert.equal(runToExit(machine.vcpu), Exit.port);
  assert.equal(accessValue(machine.vcpu) & 0x4_0000, 0);
});

kvmTest("SSE instructions work on the processor's own registers", () => {
  using machine = inProtectedMode([
    ...[0x0f, 0x10, 0x04, 0x25, ...dword(DATA)], // movups xmm0, [3000h]
    ...[0x66, 0x0f, 0xfe, 0xc0], // paddd xmm0, xmm0
    ...[0x0f, 0x11, 0x04, 0x25, ...dword(DATA + 0x21)], // movups [3021h], xmm0
    ...out(0xe0, 1),
  ], 64);
  const memory = new DataView(machine.memory.buffer);
  for (let i = 0; i < 4; i++) memory.setUint32(DATA + i * 4, 0x8000_0001 + i, true);
  machine.expectOut(0xe0, 1);
  const sums = [0, 1, 2, 3].map((i) => memory.getUint32(DATA + 0x21 + i * 4, true));
  assert.deepEqual(sums, [2, 4, 6, 8]);
  const { xsave } = stateOf(machine);
  assert.equal(new DataView(xsave.buffer, xsave.byteOffset).getUint32(160, true), 2);
});

kvmTest("XSETBV enables a state, XGETBV shows it, XSAVE and XRSTOR move it", () => {
  using machine = inProtectedMode([
    ...[0x31, 0xc9, 0x31, 0xd2, 0xb8, ...dword(3), 0x0f, 0x01, 0xd1], // xcr0 = 3
    ...[0x31, 0xc0, 0x0f, 0x01, 0xd0, 0xe6, 0xe0], // xgetbv; out 0E0h, al
    ...[0x0f, 0x10, 0x0c, 0x25, ...dword(DATA)], // movups xmm1, [3000h]
    ...[0xb8, ...dword(3), 0x31, 0xd2, 0x0f, 0xae, 0x24, 0x25, ...dword(DATA + 0x400)], // xsave
    ...[0x66, 0x0f, 0xef, 0xc9], // pxor xmm1, xmm1
    ...[0x0f, 0xae, 0x2c, 0x25, ...dword(DATA + 0x400)], // xrstor
    ...[0x0f, 0x11, 0x0c, 0x25, ...dword(DATA + 0x10), ...out(0xe1, 1)], // movups [3010h], xmm1
  ], 64);
  machine.bytes.set([1, 2, 3, 4], DATA);
  machine.expectOut(0xe0, 3);
  machine.expectOut(0xe1, 1);
  assert.deepEqual([...machine.bytes.slice(DATA + 0x10, DATA + 0x14)], [1, 2, 3, 4]);
});

kvmTest("XSAVE and XRSTOR move the upper halves of YMM registers as well", () => {
  using machine = inProtectedMode([
    ...[0xb8, ...dword(7), 0x31, 0xd2, 0x0f, 0xae, 0x24, 0x25, ...dword(DATA)], // xsave [3000h]
    ...[0xb8, ...dword(7), 0x0f, 0xae, 0x2c, 0x25, ...dword(DATA + 0x800)], // xrstor: all initial
    ...out(0xe0, 1),
    ...[0xb8, ...dword(7), 0x31, 0xd2, 0x0f, 0xae, 0x2c, 0x25, ...dword(DATA), ...out(0xe1, 1)],
  ], 64);
  const state = stateOf(machine);
  const xsave = new DataView(state.xsave.buffer, state.xsave.byteOffset, state.xsave.byteLength);
  state.xcr0 = 7n;
  xsave.setUint32(XSTATE_BV, 7, true);
  xsave.setBigUint64(YMM_HIGH, 0x1122_3344_5566_7788n, true);
  try {
    machine.vcpu.restore(state);
  } catch {
    return console.log("skipped: this KVM has no AVX");
  }
  machine.expectOut(0xe0, 1);
  const memory = new DataView(machine.memory.buffer);
  assert.equal(memory.getBigUint64(DATA + YMM_HIGH, true), 0x1122_3344_5566_7788n);
  assert.equal(memory.getUint32(DATA + XSTATE_BV, true) & 4, 4);
  const high = () => {
    const { xsave } = stateOf(machine);
    return new DataView(xsave.buffer, xsave.byteOffset).getBigUint64(YMM_HIGH, true);
  };
  assert.equal(high(), 0n);
  machine.expectOut(0xe1, 1);
  assert.equal(high(), 0x1122_3344_5566_7788n);
});

kvmTest("LAR, LSL and VERW look into the descriptor tables", () => {
  using machine = inProtectedMode([
    ...[0xb8, ...dword(0x10), 0x0f, 0x03, 0xc8], // mov eax, 10h; lsl ecx, eax
    ...[0x0f, 0x02, 0xd0, 0x0f, 0x00, 0xe8], // lar edx, eax; verw ax
    ...[0x0f, 0x94, 0xc0, 0xe6, 0xe0, 0x89, 0xc8, 0xe7, 0xe1], // sete al; out; mov eax, ecx; out
    ...[0x89, 0xd0, 0xe7, 0xe2], // mov eax, edx; out 0E2h, eax
  ]);
  machine.expectOut(0xe0, 1);
  machine.expectOut(0xe1, 0xffff_ffff, 4);
  machine.expectOut(0xe2, 0x00cf_9300, 4);
});

kvmTest("RDTSCP gives KVM's counter and the processor's number", () => {
  using machine = inProtectedMode([
    ...[0x0f, 0x31, 0x89, 0xc6, 0x89, 0xd7], // rdtsc; mov esi, eax; mov edi, edx
    ...[0x0f, 0x01, 0xf9, 0x29, 0xf0, 0x19, 0xfa], // rdtscp; sub eax, esi; sbb edx, edi
    ...[0x92, 0xe7, 0xe0, 0x89, 0xc8, 0xe7, 0xe1], // xchg; out 0E0h, eax; mov eax, ecx; out
  ], 64);
  const state = stateOf(machine);
  const aux = [...state.msrIndices].indexOf(0xc000_0103);
  if (aux < 0) return console.log("skipped: this KVM has no RDTSCP");
  state.msrValues[aux] = 7n;
  machine.vcpu.restore(state);
  machine.expectOut(0xe0, 0, 4);
  machine.expectOut(0xe1, 7, 4);
});

/** Programs the 8259 for vector 20h, all lines open, and says so at port E0h. */
const PIC = [
  ...[...out(0x20, 0x11), ...out(0x21, 0x20), ...out(0x21, 0x04), ...out(0x21, 0x01)],
  ...[...out(0x21, 0x00), ...out(0xe0, 1)],
];
const POPCNT = [0xf3, 0x0f, 0xb8, 0xc0];

kvmTest("STI's shadow holds over such an instruction and no longer", () => {
  // cli; sti; popcnt; inc byte [3000h]; out
  const program = [...PIC, 0xfb, ...POPCNT, 0xfe, 0x05, ...dword(DATA), ...out(0xe1, 2)];
  using machine = inProtectedMode(program);
  handle(machine, 0x26);
  // The return address tells where the interrupt came.
  machine.bytes.set([0x58, 0xe7, 0xe2], 0x7000 + 0x26 * 16); // pop eax; out 0E2h, eax
  machine.expectOut(0xe0, 1);
  machine.vm.setIrq(6, true);
  machine.expectOut(0xe2, START + PIC.length + 1 + POPCNT.length, 4);
  assert.equal(machine.bytes[DATA], 0);
});

kvmTest("the trap flag gives a debug exception after such an instruction, with DR6.BS", () => {
  using machine = inProtectedMode([
    ...[0x9c, 0x81, 0x0c, 0x24, ...dword(0x100), 0x9d], // pushf; or dword [esp], TF; popf
    ...[...POPCNT, 0xf4],
  ]);
  handle(machine, 1);
  machine.bytes.set([0x58, 0xe7, 0xe0, 0x0f, 0x21, 0xf0, 0xe7, 0xe1], 0x7010);
  machine.expectOut(0xe0, START + 9 + POPCNT.length, 4);
  assert.equal(runToExit(machine.vcpu), Exit.port);
  assert.equal(accessValue(machine.vcpu) & 0x4000, 0x4000);
});

kvmTest("IRET ends the masking of NMIs, other instructions do not", () => {
  using machine = inProtectedMode([
    ...[...POPCNT, ...out(0xe0, 1), 0x9c, 0x6a, 0x08], // pushf; push 8
    ...[0x68, ...dword(START + 18), 0xcf, 0xf4], // push 1012h; iret; hlt
    ...[0x90, ...out(0xe1, 1)],
  ]);
  const state = stateOf(machine);
  state.events.nmiMasked = true;
  machine.vcpu.restore(state);
  machine.expectOut(0xe0, 1);
  assert.equal(stateOf(machine).events.nmiMasked, true);
  machine.expectOut(0xe1, 1);
  assert.equal(stateOf(machine).events.nmiMasked, false);
});

kvmTest("an SSE access to a device is an exit for each 8 bytes, and can be settled", () => {
  const device = MEMORY_BYTES + 0x10;
  using machine = inProtectedMode([
    ...[0x0f, 0x10, 0x04, 0x25, ...dword(device)], // movups xmm0, [100010h]
    ...[0x0f, 0x11, 0x04, 0x25, ...dword(DATA), ...out(0xe0, 1)], // movups [3000h], xmm0
  ], 64);
  const { vcpu } = machine;
  for (const [i, value] of [0x1122_3344_5566_7788n, 0x99aa_bbcc_ddee_ff00n].entries()) {
    assert.equal(i === 0 ? runToExit(vcpu) : vcpu.run(), Exit.mmio);
    const { address, size, isWrite, data, dataOffset } = vcpu.access;
    assert.deepEqual({ address, size, isWrite }, {
      address: device + i * 8,
      size: 8,
      isWrite: false,
    });
    data.setBigUint64(dataOffset, value, true);
    assert.equal(vcpu.settle(), i === 1);
  }
  machine.expectOut(0xe0, 1);
  const memory = new DataView(machine.memory.buffer);
  assert.equal(memory.getBigUint64(DATA, true), 0x1122_3344_5566_7788n);
  assert.equal(memory.getBigUint64(DATA + 8, true), 0x99aa_bbcc_ddee_ff00n);
});

kvmTest("pages that such an instruction writes are in the log of dirty pages", () => {
  using machine = inProtectedMode([
    ...[0x0f, 0x11, 0x05, ...dword(0x2_3000), ...out(0xe0, 1)], // movups [23000h], xmm0
  ]);
  machine.vm.mapMemory({
    slot: 0,
    guestAddress: 0,
    length: MEMORY_BYTES,
    memoryOffset: 0,
    logDirty: true,
  });
  machine.vm.takeDirtyPages(0);
  machine.expectOut(0xe0, 1);
  const dirty = machine.vm.takeDirtyPages(0);
  assert.equal(dirty[0x23 >> 3] >> (0x23 & 7) & 1, 1);
});

kvmTest("an instruction that nobody can carry out is named with its bytes and address", () => {
  if (!emulatesRealMode()) return console.log("skipped: KVM runs guests at hardware speed here");
  using machine = inProtectedMode([...FNINIT, 0xc5, 0xfc, 0x58, 0xc1]); // vaddps ymm0, ymm0, ymm1
  assert.equal(runToExit(machine.vcpu), Exit.failed);
  assert.match(
    machine.vcpu.failure(),
    /KVM cannot emulate an instruction at 0008:1002 \(linear 0x1002\), bytes c5 fc 58 c1 .*; the host runs .* and the software CPU does not have it either: run it on a host with VT-x or AMD-V/,
  );
  assert.equal(stateOf(machine).rip, BigInt(START + 2), "nothing has changed");
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
