/** The virtual interrupt flag: CR4.VME and CR4.PVI (Intel SDM volume 3, 20.3.3 and 20.4). */

import assert from "node:assert/strict";
import { CODE, END, SystemMachine, TSS } from "../support/system_machine.ts";

const IF = 1n << 9n;
const IOPL = 3n << 12n;
const VM = 1n << 17n;
const VIF = 1n << 19n;
const VIP = 1n << 20n;
const VME = 1n;
const PVI = 2n;
/** Of the I/O permissions; the redirection bitmap is the 32 bytes below. */
const IO_MAP = 0x90;
const STACK = CODE + 0x8000;

/** INT3 ends code here: INT n is what is tested. */
const END_86 = 0xcc;

interface Setup {
  readonly iopl?: number;
  readonly flags?: bigint;
  readonly cr4?: bigint;
  /** Vectors whose bit in the bitmap is 1: they go to the system. */
  readonly toSystem?: readonly number[];
  readonly stack?: readonly number[];
}

/** Runs virtual-8086 code; with a program's handler for INT 21h at 1000:0100h. */
function run(
  code: number[],
  { iopl = 0, flags = 0n, cr4 = VME, toSystem = [], stack = [] }: Setup,
) {
  const m = new SystemMachine("v86");
  m.view.setUint16(TSS + 102, IO_MAP, true);
  for (const vector of toSystem) m.bytes[TSS + IO_MAP - 32 + (vector >> 3)] |= 1 << (vector & 7);
  m.view.setUint32(0x21 * 4, 0x1000_0100, true);
  m.bytes[CODE + 0x100] = END_86;
  stack.forEach((word, i) => m.view.setUint16(STACK + i * 2, word, true));
  const outcome = m.run([...code, END_86], (s) => {
    s.rflags = 2n | VM | BigInt(iopl) << 12n | flags;
    s.cr4 |= cr4;
  });
  return { ...outcome, m, word: (down: number) => m.view.getUint16(STACK - down, true) };
}

Deno.test("CLI and STI change VIF where IOPL is below 3, IF where it is 3 (20.3.3.1)", () => {
  const cleared = run([0xfa], { flags: IF | VIF });
  assert.deepEqual([cleared.vector, cleared.flags & (IF | VIF)], [3, IF]);
  const set = run([0xfb], {});
  assert.deepEqual([set.vector, set.flags & (IF | VIF)], [3, VIF]);
  assert.equal(run([0xfb], { flags: VIP }).vector, 13, "STI with VIP");
  assert.equal(run([0xfa], { cr4: 0n }).vector, 13, "without VME");
  const privileged = run([0xfa], { iopl: 3, flags: IF | VIF });
  assert.deepEqual([privileged.vector, privileged.flags & (IF | VIF)], [3, VIF]);
});

Deno.test("PUSHF shows VIF as IF with IOPL 3, POPF takes IF into VIF (20.3.3.1)", () => {
  const { word, vector } = run([0x9c], { flags: VIF });
  assert.deepEqual([vector, word(2)], [3, 0x3202]);
  assert.equal(run([0x9c], { flags: IF }).word(2), 0x3002);
  const popped = run([0x9d], { stack: [0x3203] });
  assert.deepEqual([popped.vector, popped.flags & (IF | VIF | IOPL | 1n)], [3, VIF | 1n]);
  assert.equal(run([0x9d], { stack: [0x0200], flags: VIP }).vector, 13, "IF with VIP");
  assert.equal(run([0x9d], { stack: [0x0100] }).vector, 13, "TF");
  assert.equal(run([0x66, 0x9c], {}).vector, 13, "PUSHFD");
  assert.equal(run([0x66, 0x9d], { stack: [2, 0] }).vector, 13, "POPFD");
  assert.equal(run([0x9c], { cr4: 0n }).vector, 13, "without VME");
});

Deno.test("IRET takes IF into VIF (20.3.3.1)", () => {
  const returned = run([0xcf], { stack: [0x0100, 0x1000, 0x3202] });
  assert.deepEqual([returned.vector, returned.rip], [3, 0x101n]);
  assert.equal(returned.flags & (IF | VIF | IOPL), VIF);
  assert.equal(run([0xcf], { stack: [0x0100, 0x1000, 0x202], flags: VIP }).vector, 13);
  assert.equal(run([0xcf], { stack: [0x0100, 0x1000, 2], cr4: 0n }).vector, 13, "without VME");
});

Deno.test("INT n goes to the program's handler or to the system as the bitmap says (table 20-2)", () => {
  const own = run([0xcd, 0x21], { flags: VIF | IF });
  assert.deepEqual([own.vector, own.rip], [3, 0x101n], "method 6");
  assert.deepEqual([own.word(2), own.word(4), own.word(6)], [0x3202, 0x1000, 2]);
  assert.equal(own.flags & (IF | VIF), IF, "VIF is clear in the handler");
  const open = run([0xcd, 0x21], { iopl: 3, flags: IF });
  assert.deepEqual([open.vector, open.flags & IF, open.word(2)], [3, 0n, 0x3202], "method 5");
  assert.equal(run([0xcd, 0x21], { toSystem: [0x21] }).vector, 13, "method 4");
  assert.equal(run([0xcd, 0x21], { toSystem: [0x21], iopl: 3 }).vector, 0x21, "method 3");
  assert.equal(run([0xcd, 0x21], { cr4: 0n, iopl: 3 }).vector, 0x21, "method 1");
  assert.equal(run([0xcd, 0x21], { cr4: 0n }).vector, 13, "method 2");
});

Deno.test("CR4.PVI gives level 3 of protected mode VIF for CLI and STI alone (20.4)", () => {
  const m = new SystemMachine("protected", 3);
  const go = (code: number[], flags: bigint, cr4: bigint) =>
    m.run([...code, 0xcd, END], (s) => {
      s.rflags = 2n | flags;
      s.cr4 |= cr4;
    });
  assert.equal(go([0xfb], 0n, PVI).flags & (IF | VIF), VIF);
  assert.equal(go([0xfa], VIF | IF, PVI).flags & (IF | VIF), IF);
  assert.equal(go([0xfb], VIP, PVI).vector, 13);
  assert.equal(go([0xfb], 0n, 0n).vector, 13);
  assert.equal(go([0x9d], VIF, PVI).flags & VIF, VIF, "POPF leaves VIF alone");
});
