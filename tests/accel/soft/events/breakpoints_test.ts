/** Debug registers, single steps and what holds them back (Intel SDM volume 3, chapter 17). */

import assert from "node:assert/strict";
import { Exit } from "../../../../hv/accel/accelerator.ts";
import type { CpuState } from "../../../../hv/accel/cpu_state.ts";
import { CODE, DATA, END, SystemMachine, type SystemMode } from "../support/system_machine.ts";

const HLT = 0xf4;
const NOP = 0x90;
const DE = 8n;
const TF = 0x100n;
const RF = 0x1_0000n;
/** R/W and LEN of breakpoint `n` with its local enable. */
const enable = (n: number, kind: "execute" | "write" | "port" | "access", bytes = 1): bigint => {
  const rw = { execute: 0, write: 1, port: 2, access: 3 }[kind];
  const length = { 1: 0, 2: 1, 8: 2, 4: 3 }[bytes]!;
  return 1n << BigInt(2 * n) | BigInt(length << 2 | rw) << BigInt(16 + 4 * n);
};

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);
/** mov [address], al; mov al, [address]; mov [address], eax; inc dword [address] */
const store8 = (at: number) => [0x88, 0x04, 0x25, ...little(at, 4)];
const load8 = (at: number) => [0x8a, 0x04, 0x25, ...little(at, 4)];
const store32 = (at: number) => [0x89, 0x04, 0x25, ...little(at, 4)];
const increment32 = (at: number) => [0xff, 0x04, 0x25, ...little(at, 4)];

/** Runs 64-bit code with DR0 = `address` and DR7 = `dr7`. */
function run(
  code: number[],
  address: number,
  dr7: bigint,
  change: (state: CpuState) => void = () => {},
  mode: SystemMode = "long",
) {
  const m = new SystemMachine(mode);
  const outcome = m.run([...code, HLT], (state) => {
    state.debugAddresses[0] = BigInt(address);
    state.dr7 = dr7 | 0x400n;
    change(state);
  });
  return { ...outcome, m, at: Number(outcome.rip) - CODE, causes: outcome.state.dr6 & 0xe00fn };
}

Deno.test("a data breakpoint traps behind the instruction that writes, with its bit in DR6 (17.2.4)", () => {
  const code = [NOP, ...store8(DATA), NOP, NOP];
  const { vector, at, causes, flags } = run(code, DATA, enable(0, "write"));
  assert.deepEqual([vector, at, causes], [1, 8, 1n]);
  assert.equal(flags & RF, 0n, "traps push RF clear");
});

Deno.test("reads count for read-write breakpoints alone (17.2.4)", () => {
  const code = [...load8(DATA), NOP];
  assert.equal(run(code, DATA, enable(0, "write")).vector, END);
  assert.deepEqual([run(code, DATA, enable(0, "access")).at], [7]);
  const change = [...increment32(DATA), NOP];
  assert.equal(run(change, DATA, enable(0, "write", 4)).at, 7);
});

Deno.test("lengths: an access that overlaps counts, one beside does not; addresses are aligned (17.2.5)", () => {
  const hits = (at: number, address: number, bytes: number) =>
    run([...store32(at), NOP], address, enable(0, "write", bytes)).vector === 1;
  assert.ok(hits(DATA - 3, DATA, 1));
  assert.ok(!hits(DATA - 4, DATA, 1));
  assert.ok(!hits(DATA + 1, DATA, 1));
  assert.ok(hits(DATA + 1, DATA, 2));
  assert.ok(!hits(DATA + 2, DATA, 2));
  assert.ok(hits(DATA + 4, DATA, 8));
  assert.ok(!hits(DATA + 8, DATA, 8));
  assert.ok(hits(DATA, DATA + 3, 4), "the low bits of the address do not count");
  assert.ok(hits(DATA + 0xffe, DATA + 0x1000, 1), "across two pages");
});

Deno.test("global enables count as local ones do, breakpoints without either do not (17.2.4)", () => {
  const code = [...store8(DATA), NOP];
  assert.equal(run(code, DATA, enable(0, "write") << 1n & 0xffn | 1n << 16n).vector, 1);
  assert.equal(run(code, DATA, enable(0, "write") & ~1n).vector, END);
});

Deno.test("every breakpoint that is met has its bit, whichever register has it (17.2.3)", () => {
  const dr7 = enable(1, "write") | enable(2, "access") | enable(3, "write");
  const { vector, causes } = run([...store8(DATA), NOP], 0, dr7, (s) => {
    s.debugAddresses.set([BigInt(DATA + 1), BigInt(DATA), BigInt(DATA)], 1);
  });
  assert.deepEqual([vector, causes], [1, 0b1100n]);
});

Deno.test("an execute breakpoint faults before its instruction, RF lets it run once (17.3.1.1)", () => {
  const code = [NOP, NOP, 0xff, 0xc3, NOP]; // inc ebx
  const first = run(code, CODE + 2, enable(0, "execute"));
  assert.deepEqual([first.vector, first.at, first.causes], [1, 2, 1n]);
  assert.equal(first.state.general[3], 0n);
  assert.equal(first.flags & RF, 0n);
  const resumed = run(code, CODE, enable(0, "execute"), (s) => s.rflags |= RF);
  assert.deepEqual([resumed.vector, resumed.state.general[3]], [END, 1n]);
  // RF holds for one instruction: the one behind it is stopped at.
  const next = run(code, CODE + 1, enable(0, "execute"), (s) => s.rflags |= RF);
  assert.deepEqual([next.vector, next.at], [1, 1]);
});

Deno.test("an execute breakpoint is met in a loop that has run before, and in every mode", () => {
  // mov ecx, 3; again: inc ebx; mov dr7, eax when ecx is 1; loop again
  const { vector, state, at } = run(
    [
      0xb9,
      3,
      0,
      0,
      0,
      0xff,
      0xc3,
      0x83,
      0xf9,
      1,
      0x75,
      3,
      0x0f,
      0x23,
      0xf8,
      0xe2,
      0xf4,
      0xeb,
      0xf2,
    ],
    CODE + 5,
    0n,
    (s) => s.general[0] = enable(0, "execute"),
  );
  assert.deepEqual([vector, at, state.general[3]], [1, 5, 3n]);
  for (const mode of ["real", "v86", "protected16", "protected", "compatibility"] as const) {
    const outcome = run([NOP, NOP, NOP], CODE + 2, enable(0, "execute"), () => {}, mode);
    assert.equal(outcome.vector, 1, mode);
    const base = mode === "protected" || mode === "compatibility" ? CODE : 0;
    assert.equal(outcome.rip, BigInt(base + 2), mode);
  }
});

Deno.test("faults push RF set, so that the instruction does not stop again (17.3.1.1)", () => {
  const { vector, flags } = run([0x0f, 0x0b], 0, 0n);
  assert.equal(vector, 6);
  assert.equal(flags & RF, RF);
});

Deno.test("string instructions trap after the iteration that met the breakpoint (17.2.4)", () => {
  // mov edi, DATA; mov ecx, 8; rep stosb
  const code = [0xbf, ...little(DATA, 4), 0xb9, 8, 0, 0, 0, 0xf3, 0xaa, NOP];
  const { vector, at, state } = run(code, DATA + 2, enable(0, "write"));
  assert.deepEqual([vector, at], [1, 10]);
  assert.deepEqual([state.general[1], state.general[7]], [5n, BigInt(DATA + 3)]);
});

Deno.test("what services access counts too: pushes, ENTER, XSAVE, interrupts", () => {
  const top = CODE + 0x8000;
  assert.equal(run([0x50, NOP], top - 8, enable(0, "write", 8)).at, 1, "PUSH");
  assert.equal(run([0xc8, 0, 0, 1, NOP], top - 16, enable(0, "write", 8)).at, 4, "ENTER");
  const fxsave = [0x0f, 0xae, 0x04, 0x25, ...little(DATA, 4), NOP];
  assert.equal(run(fxsave, DATA + 160, enable(0, "write", 8)).at, 8, "FXSAVE");
  // CMPXCHG16B writes its second half after the first: it must not find its own first half.
  const exchange = [0x48, 0x0f, 0xc7, 0x0c, 0x25, ...little(DATA, 4), NOP];
  const { at, m } = run(exchange, DATA + 8, enable(0, "write", 8), (s) => {
    s.general[3] = 7n;
    s.general[2] = 0n;
    s.general[1] = 9n;
  });
  assert.equal(at, 9, "CMPXCHG16B");
  assert.deepEqual([m.view.getBigUint64(DATA, true), m.view.getBigUint64(DATA + 8, true)], [
    7n,
    9n,
  ]);
  // Of an interrupt's own pushes the trap comes at the handler's first instruction.
  const pushed = run([0xcd, 0x21], top - 16, enable(0, "write", 8));
  assert.deepEqual([pushed.vector, Number(pushed.rip) & 0xfff], [1, 0x21 * 16]);
});

Deno.test("an instruction that faults after it met a breakpoint reports the fault alone (6.9)", () => {
  // push [DATA] where the stack has no page
  const m = new SystemMachine("long", 3);
  const { vector, state } = m.run([0xff, 0x34, 0x25, ...little(DATA, 4)], (s) => {
    s.debugAddresses[0] = BigInt(DATA);
    s.dr7 = enable(0, "access");
    s.general[4] = 0x40_0000n;
  });
  assert.deepEqual([vector, state.dr6 & 0xe00fn], [14, 0n]);
});

Deno.test("I/O breakpoints count with CR4.DE alone, and trap behind IN and OUT (17.2.4)", () => {
  const code = [0xe5, 0x42, 0xe6, 0x80, NOP]; // in eax, 42h; out 80h, al
  const dr7 = enable(0, "port");
  const m = new SystemMachine("long");
  const start = (address: number, cr4: bigint) =>
    m.run([...code, HLT], (s) => {
      s.debugAddresses[0] = BigInt(address);
      s.dr7 = dr7 | 0x400n;
      s.cr4 |= cr4;
    });
  assert.equal(start(0x43, DE).exit, Exit.port);
  const input = m.go();
  assert.deepEqual([input.vector, Number(input.rip) - CODE], [1, 2], "IN of 42h to 45h");
  start(0x80, DE);
  assert.equal(m.go().exit, Exit.port);
  const output = m.go();
  assert.deepEqual([output.vector, Number(output.rip) - CODE], [1, 4], "OUT");
  start(0x80, 0n);
  assert.equal(m.go().exit, Exit.port);
  assert.equal(m.go().vector, END);
});

Deno.test("TF traps behind OUT as behind anything else (17.3.1.4)", () => {
  const m = new SystemMachine("long");
  const first = m.run([0xe6, 0x80, NOP, HLT], (s) => s.rflags |= TF);
  assert.equal(first.exit, Exit.port);
  const trap = m.go();
  assert.deepEqual([trap.vector, Number(trap.rip) - CODE, trap.state.dr6 & 0xe00fn], [
    1,
    2,
    0x4000n,
  ]);
});

Deno.test("TF traps after each iteration of a string instruction, with RF clear (17.3.1.4)", () => {
  const code = [0xf3, 0xaa, NOP];
  const { vector, at, state, flags } = run(code, 0, 0n, (s) => {
    s.rflags |= TF;
    s.general[1] = 3n;
    s.general[7] = BigInt(DATA);
  });
  assert.deepEqual([vector, at, state.general[1], flags & RF], [1, 0, 2n, 0n]);
});

Deno.test("a load of SS holds debug exceptions back for one instruction (6.8.3)", () => {
  const mov = [0x8e, 0x14, 0x25, ...little(DATA, 4)]; // mov ss, [DATA]
  const single = new SystemMachine("long");
  single.view.setUint16(DATA, 0x10, true);
  const stepped = single.run([...mov, NOP, NOP, HLT], (s) => s.rflags |= TF);
  assert.deepEqual([stepped.vector, Number(stepped.rip) - CODE], [1, 8]);
  const watching = new SystemMachine("long");
  watching.view.setUint16(DATA, 0x10, true);
  const late = watching.run([...mov, NOP, NOP, HLT], (s) => {
    s.debugAddresses[0] = BigInt(DATA);
    s.dr7 = enable(0, "access");
  });
  assert.deepEqual([late.vector, Number(late.rip) - CODE, late.state.dr6 & 15n], [1, 8, 1n]);
  const executing = new SystemMachine("long");
  executing.view.setUint16(DATA, 0x10, true);
  const missed = executing.run([...mov, NOP, NOP, HLT], (s) => {
    s.debugAddresses[0] = BigInt(CODE + 7);
    s.dr7 = enable(0, "execute");
  });
  assert.equal(missed.vector, END, "an execute breakpoint right behind is not met");
});

Deno.test("DR7.GD guards the debug registers, and is clear in the handler (17.2.4)", () => {
  const { vector, at, causes, state } = run([0x0f, 0x21, 0xc0], 0, 1n << 13n);
  assert.deepEqual([vector, at, causes, state.dr7 & 1n << 13n], [1, 0, 0x2000n, 0n]);
});

Deno.test("DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE; reserved bits read as they must (17.2)", () => {
  // mov dr7, rax; mov rbx, dr5; mov dr6, rcx; mov rdx, dr4
  const code = [0x0f, 0x23, 0xf8, 0x0f, 0x21, 0xeb, 0x0f, 0x23, 0xf1, 0x0f, 0x21, 0xe2];
  const { state } = run(code, 0, 0n, (s) => {
    s.general[0] = 0xdf00n;
    s.general[1] = 0xffffn;
  });
  assert.deepEqual([state.general[3], state.general[2]], [0x700n, 0xffff_efffn]);
  assert.equal(run([0x0f, 0x21, 0xeb], 0, 0n, (s) => s.cr4 |= DE).vector, 6);
  assert.equal(run([0x0f, 0x23, 0xf8], 0, 0n, (s) => s.general[0] = 1n << 32n).vector, 13);
});

Deno.test("ICEBP reaches a handler of level 0 from level 3, and shows nothing in DR6 (volume 2, INT)", () => {
  const m = new SystemMachine("long", 3);
  m.setGate(1, 0x6010, 0x38, 0x8e);
  const { vector, rip, state } = m.run([0xf1, NOP]);
  assert.deepEqual([vector, Number(rip) - CODE, state.dr6 & 0xe00fn], [1, 1, 0n]);
  m.setGate(3, 0x6030, 0x38, 0x8e);
  assert.equal(m.run([0xcc]).vector, 13, "INT3 does not");
});

Deno.test("a task with T set begins with a debug exception; L0 to L3 are off by then (7.2.1, 17.3.1.5)", () => {
  const m = new SystemMachine("protected");
  const OTHER = 0x5800;
  const { view } = m;
  view.setBigUint64(0x3000 + 0x30, BigInt(OTHER) << 16n | 0x0000_8900_0000_00ffn, true);
  const put = (at: number, value: number) => view.setUint32(OTHER + at, value, true);
  put(32, CODE + 0x100);
  put(36, 2);
  put(56, 0x1_7000);
  for (const [at, selector] of [[72, 0x10], [76, 0x08], [80, 0x10], [84, 0x10]]) put(at, selector);
  put(100, 1);
  m.bytes.set([NOP, NOP, HLT], CODE + 0x100);
  const outcome = m.run([0xea, 0, 0, 0, 0, 0x30, 0], (s) => {
    s.debugAddresses[0] = BigInt(DATA);
    s.debugAddresses[1] = BigInt(DATA + 8);
    s.dr7 = enable(0, "write") | enable(1, "write") | 8n;
  });
  assert.deepEqual([outcome.vector, Number(outcome.rip)], [1, CODE + 0x100]);
  assert.equal(outcome.state.dr6 & 0x8000n, 0x8000n);
  assert.equal(outcome.state.dr7 & 0xffn, 8n, "G1 stays");
});

Deno.test("SYSCALL traps by TF only where FMASK leaves it set (volume 2, SYSCALL)", () => {
  for (const masked of [true, false]) {
    const m = new SystemMachine("long", 3);
    const outcome = m.run([0x0f, 0x05], (s) => {
      s.rflags |= TF;
      s.msrCount = 3;
      s.msrIndices.set([0xc000_0081, 0xc000_0082, 0xc000_0084]);
      s.msrValues.set([0x38n << 32n, BigInt(CODE + 0x100), masked ? TF : 0n]);
      m.bytes.set([NOP, HLT], CODE + 0x100);
    });
    assert.equal(outcome.vector, masked ? END : 1);
    assert.equal(Number(outcome.rip) - CODE, masked ? 0x102 : 0x100);
  }
});

Deno.test("a debug exception that is due goes along with a saved state", () => {
  const m = new SystemMachine("long");
  m.run([0xe6, 0x80, NOP, HLT], (s) => s.rflags |= TF);
  const { state } = m.go();
  assert.equal(state.dr6 & 0x4000n, 0x4000n);
  const first = new SystemMachine("long");
  const stopped = first.run([0xe6, 0x80, NOP, HLT], (s) => s.rflags |= TF);
  assert.ok(stopped.state.events.exceptionPending);
  const second = new SystemMachine("long");
  second.bytes.set([0xe6, 0x80, NOP, HLT], CODE);
  second.vcpu.restore(stopped.state);
  const trap = second.go();
  assert.deepEqual([trap.vector, Number(trap.rip) - CODE], [1, 2]);
});

Deno.test("what a load of SS held back comes by ICEBP's debug exception, not by a second one", () => {
  const m = new SystemMachine("long");
  m.view.setUint16(DATA, 0x10, true);
  const mov = [0x8e, 0x14, 0x25, ...little(DATA, 4)]; // mov ss, [DATA]
  const { vector, rip, state } = m.run([...mov, 0xf1, NOP, HLT], (s) => {
    s.debugAddresses[0] = BigInt(DATA);
    s.dr7 = enable(0, "access");
  });
  assert.deepEqual([vector, Number(rip) - CODE, state.dr6 & 15n], [1, 8, 1n]);
});

Deno.test("a debug exception clears the bits of DR6 of breakpoints that were met before (17.2.3)", () => {
  const before = (state: CpuState) => state.dr6 = 0xffff_4ff2n;
  const data = run([...store8(DATA), NOP], DATA, enable(0, "write"), before);
  assert.equal(data.state.dr6, 0xffff_4ff1n);
  const code = run([NOP, NOP], CODE + 1, enable(0, "execute"), before);
  assert.equal(code.state.dr6, 0xffff_4ff1n);
  const step = run([NOP, NOP], 0, 0n, (s) => {
    before(s);
    s.rflags |= TF;
  });
  assert.equal(step.state.dr6, 0xffff_4ff0n);
});
