/** What returns to an outer level leave in the registers, and stacks of 16 bits (SDM volume 2: IRET, RET, POP). */

import assert from "node:assert/strict";
import type { CpuState } from "../../../../hv/accel/cpu_state.ts";
import {
  CODE,
  END,
  IDT,
  INT_END,
  KERNEL_STACK,
  PAGE_TABLES,
  Selector,
  SystemMachine,
} from "../support/system_machine.ts";

const HLT = 0xf4;
const USER = CODE + 0x100;
const IRETQ = [0x48, 0xcf];
/** Where the frames lie, and the same place in the kernel's half. */
const FRAME = 0x1_8000;
const HIGH_FRAME = 0xffff_8000_0000_0000n + BigInt(FRAME);

/** A kernel at level 0 whose stack has `frame`, in the upper half of the address space; INT 30h at `USER`. */
function kernel(frame: readonly number[]): SystemMachine {
  const m = new SystemMachine("long");
  m.view.setBigUint64(PAGE_TABLES + 256 * 8, BigInt(PAGE_TABLES + 0x1000) | 7n, true);
  frame.forEach((word, i) => m.view.setBigUint64(FRAME + i * 8, BigInt(word), true));
  m.bytes.set(INT_END, USER);
  return m;
}

const onHighStack = (state: CpuState) => state.general[4] = HIGH_FRAME;
/** RSP in the frame of the interrupt that ended the code at level 3. */
const userRsp = (m: SystemMachine): bigint => m.view.getBigUint64(KERNEL_STACK - 16, true);

Deno.test("IRETQ and RETFQ to 32-bit code leave nothing of the kernel's stack pointer in RSP", () => {
  const { code3, data3 } = Selector;
  const iret = kernel([USER, code3, 2, 0x1_7000, data3]);
  assert.equal(iret.run(IRETQ, onHighStack).vector, END);
  assert.equal(userRsp(iret), 0x1_7000n);
  const retf = kernel([USER, code3, 0x1_7000, data3]);
  assert.equal(retf.run([0x48, 0xcb], onHighStack).vector, END);
  assert.equal(userRsp(retf), 0x1_7000n);
});

Deno.test("IRETQ to a stack of 16 bits takes SP, and nothing above bit 31 comes along", () => {
  const { code3, data16At3 } = Selector;
  const m = kernel([USER, code3, 2, 0x1_7000, data16At3]);
  assert.equal(m.run(IRETQ, onHighStack).vector, END);
  assert.equal(userRsp(m), 0x1_7000n);
});

Deno.test("IRETQ to level 3 makes selectors of level 0 null; in long mode their bases stay", () => {
  const m = kernel([USER, Selector.code64At3, 2, 0x1_7000, Selector.data3]);
  const { state, vector } = m.run(IRETQ, (s) => {
    onHighStack(s);
    s.gs.base = 0x40_0000n;
    s.gs.selector = Selector.data;
  });
  assert.equal(vector, END);
  assert.deepEqual([state.gs.selector, state.gs.base], [0, 0x40_0000n]);
});

Deno.test("IRETQ to level 3 takes the RPL from null selectors", () => {
  const m = kernel([USER, Selector.code64At3, 2, 0x1_7000, Selector.data3]);
  // mov eax, 3; mov ds, eax; mov es, eax; mov fs, eax; mov gs, eax
  const nulls = [0xb8, 3, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8];
  const { state } = m.run([...nulls, ...IRETQ], onHighStack);
  const { ds, es, fs, gs } = state;
  assert.deepEqual([ds, es, fs, gs].map(({ selector }) => selector), [0, 0, 0, 0]);
});

/** Runs 32-bit code whose stack has 16 bits. */
function onSmallStack(code: readonly number[], esp: number): CpuState {
  const m = new SystemMachine("protected");
  m.view.setUint16(esp & 0xffff, Selector.data, true);
  const { state, vector } = m.run([...code, HLT], (s) => {
    s.ss.access &= ~0x4000;
    s.general[4] = BigInt(esp);
  });
  assert.equal(vector, END);
  return state;
}

Deno.test("POP SS moves the stack pointer by the size of the stack that it is read from", () => {
  assert.equal(onSmallStack([0x17], 0x2_fffc).general[4], 0x2_0000n);
});

Deno.test("ENTER on a stack of 16 bits puts all of the frame's address into EBP", () => {
  const { general } = onSmallStack([0xc8, 8, 0, 0], 0x1_8000);
  assert.deepEqual([general[5], general[4]], [0x1_7ffcn, 0x1_7ff4n]);
});

Deno.test("INT through a gate with an offset that is not canonical faults at the INT (6.14)", () => {
  const m = new SystemMachine("long");
  m.setGate(0x31, 0x6000, Selector.code64);
  m.view.setBigUint64(IDT + 0x31 * 16 + 8, 0x8000n, true);
  const { vector, rip, errorCode } = m.run([0x90, 0xcd, 0x31]);
  assert.deepEqual([vector, rip, errorCode], [13, BigInt(CODE + 1), 0]);
});

Deno.test("SYSCALL and SYSRET exist in 64-bit mode alone, as Intel's have it (volume 2, SYSCALL)", () => {
  for (const code of [[0x0f, 0x05], [0x0f, 0x07]]) {
    assert.equal(new SystemMachine("compatibility").run(code).vector, 6);
  }
});

Deno.test("SALC is CF in all bits of AL, and does not exist in 64-bit mode", () => {
  const al = (code: number[]) =>
    new SystemMachine("protected").run([0xb0, 0x5a, ...code, 0xd6, HLT]).state.general[0] & 0xffn;
  assert.deepEqual([al([0xf9]), al([0xf8])], [0xffn, 0n]);
  assert.equal(new SystemMachine("long").run([0xd6]).vector, 6);
});
