/**
 * Guests that mean no good: whatever they do, the host neither throws nor hangs nor grows.
 * hostile_run.ts does the first of these for as long as one likes.
 */

import assert from "node:assert/strict";
import { Exit } from "../../../../hv/accel/accelerator.ts";
import type { CpuState } from "../../../../hv/accel/cpu_state.ts";
import { seeded } from "../../../support/random.ts";
import { HOSTILE_MODES, HostileStreams, startKicking } from "./hostile_streams.ts";
import {
  CODE,
  DATA,
  END,
  HANDLERS,
  PAGE_TABLE,
  STACK_OFFSET,
  SystemMachine,
  type SystemMode,
} from "../support/system_machine.ts";

const STREAMS = 60;
const HLT = 0xf4;
const NOP = 0x90;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);

Deno.test("random code, tables and page tables in every mode end in exits, never in exceptions", async () => {
  for (const [mode, cpl] of HOSTILE_MODES) {
    const hostile = new HostileStreams(mode, cpl);
    using _kicks = await startKicking(hostile.machine, 2);
    seeded((random) => {
      for (let i = 0; i < STREAMS; i++) hostile.run(random);
    });
    assert.deepEqual([...hostile.failures], [], `${mode} at level ${cpl}`);
    assert.ok(hostile.exits[Exit.halt] > 0, `${mode} at level ${cpl} came to an end, now and then`);
  }
});

Deno.test("a jump to 0:0 in real mode runs what is there: an empty jump cache leads nowhere", () => {
  const m = new SystemMachine("real");
  m.bytes.set([0xb3, 7, HLT], 0); // mov bl, 7; hlt, in place of vector 0
  const { state } = m.run([0xea, 0, 0, 0, 0]);
  assert.equal(state.general[3], 7n);
});

/** Guests that never stop by themselves. */
const ENDLESS: Readonly<
  Record<string, {
    readonly mode: SystemMode;
    readonly cpl?: 0 | 3;
    readonly code: readonly number[];
    readonly prepare?: (m: SystemMachine) => void;
    readonly change?: (state: CpuState) => void;
  }>
> = {
  "a jump to itself": { mode: "long", code: [0xeb, 0xfe] },
  "a jump to itself at level 3": { mode: "long", cpl: 3, code: [0xeb, 0xfe] },
  "CPUID in a loop": { mode: "long", code: [0x0f, 0xa2, 0xeb, 0xfc] },
  "FSIN in a loop": { mode: "long", code: [0xdb, 0xe3, 0xd9, 0xeb, 0xd9, 0xfe, 0xeb, 0xfc] },
  "a division by zero whose handler returns to it": {
    mode: "long",
    cpl: 3,
    code: [0x31, 0xc9, 0xf7, 0xf1],
    prepare: (m) => m.bytes.set([0x48, 0xcf], HANDLERS),
  },
  "a division by zero whose handler divides by zero": {
    mode: "real",
    code: [0x31, 0xc9, 0xf7, 0xf1],
    prepare: (m) => m.bytes.set([0xf7, 0xf1], HANDLERS),
  },
  "a page fault whose handler mends nothing": {
    mode: "long",
    cpl: 3,
    code: [0xa0, ...little(0x40_0000, 4), 0, 0, 0, 0],
    prepare: (m) => m.bytes.set([0x48, 0x83, 0xc4, 8, 0x48, 0xcf], HANDLERS + 14 * 16),
  },
  "an undefined instruction in a page that is not memory": {
    mode: "long",
    code: [0xe9, ...little(0x10_0000 - CODE - 5, 4)],
    prepare: (m) => m.bytes.set([0x48, 0xcf], HANDLERS + 6 * 16),
  },
  "a single step after the other": {
    mode: "long",
    code: [0xeb, 0xfe],
    prepare: (m) => m.bytes.set([0x48, 0xcf], HANDLERS + 16),
    change: (s) => s.rflags |= 0x100n,
  },
  "an execute breakpoint whose handler does not set RF": {
    mode: "long",
    code: [NOP, NOP],
    prepare: (m) => m.bytes.set([0x48, 0xcf], HANDLERS + 16),
    change: (s) => {
      s.debugAddresses[0] = BigInt(CODE);
      s.dr7 = 1n;
    },
  },
  "a data breakpoint in the page of the stack": {
    mode: "long",
    code: [0x50, 0x58, 0xeb, 0xfc],
    change: (s) => {
      s.debugAddresses[0] = BigInt(CODE + STACK_OFFSET + 8);
      s.dr7 = 0x1_0001n;
    },
  },
  "REP MOVSB over all of the address space": {
    mode: "protected",
    code: [0xf3, 0xa4],
    change: (s) => {
      s.general[1] = 0xffff_ffffn;
      s.general[6] = s.general[7] = BigInt(DATA);
    },
  },
  "two tasks that jump to each other": {
    mode: "protected",
    code: [0xea, 0, 0, 0, 0, 0x30, 0, 0xeb, 0xf7],
    prepare: (m) => {
      const OTHER = 0x5800;
      m.view.setBigUint64(0x3000 + 0x30, BigInt(OTHER) << 16n | 0x0000_8900_0000_00ffn, true);
      const put = (at: number, value: number) => m.view.setUint32(OTHER + at, value, true);
      put(32, CODE + 0x100);
      put(36, 2);
      put(56, CODE + STACK_OFFSET);
      for (const [at, one] of [[72, 0x10], [76, 0x08], [80, 0x10], [84, 0x10]]) put(at, one);
      m.bytes.set([0xea, 0, 0, 0, 0, 0x28, 0, 0xeb, 0xf7], CODE + 0x100);
    },
  },
  "code that writes itself anew all the time": {
    mode: "long",
    // again: inc byte [rip + 1]; mov al, 0; jmp again
    code: [0xfe, 0x05, 1, 0, 0, 0, 0xb0, 0, 0xeb, 0xf6],
  },
};

for (const [name, { mode, cpl, code, prepare, change }] of Object.entries(ENDLESS)) {
  Deno.test(`a guest without end is left when the processor is kicked: ${name}`, async () => {
    const m = new SystemMachine(mode, cpl);
    prepare?.(m);
    m.bytes.set(code, CODE);
    const state = m.initialState();
    change?.(state);
    m.vcpu.restore(state);
    using _kicks = await startKicking(m, 5);
    for (let i = 0; i < 5; i++) {
      let exit = m.vcpu.run();
      // Where memory ends there are accesses to nothing.
      while (exit === Exit.mmio) exit = m.vcpu.run();
      assert.equal(exit, Exit.interrupted);
    }
  });
}

Deno.test("handlers that fault for ever end in a shutdown once their stack has eaten the tables", () => {
  const m = new SystemMachine("long");
  for (let vector = 0; vector < 32; vector++) m.bytes.set([0x0f, 0x0b], HANDLERS + vector * 16);
  assert.equal(m.run([0x0f, 0x0b]).exit, Exit.shutdown);
});

Deno.test("jumps into nothing: no page, no memory, beyond CS, not canonical", () => {
  const long = new SystemMachine("long");
  const jump = (m: SystemMachine, target: bigint) =>
    m.run([0xff, 0xe0], (s) => s.general[0] = target);
  const absent = jump(long, 0x40_0000n);
  assert.deepEqual([absent.vector, absent.rip, absent.state.cr2], [14, 0x40_0000n, 0x40_0000n]);
  const nowhere = jump(long, 0x10_0000n);
  assert.deepEqual([nowhere.vector, nowhere.rip], [6, 0x10_0000n], "all ones are no instruction");
  const wild = jump(long, 1n << 47n);
  assert.deepEqual([wild.vector, wild.rip], [13, BigInt(CODE)], "the jump itself faults");
  const narrow = new SystemMachine("protected16");
  const beyond = narrow.run([0x66, 0xff, 0xe0], (s) => s.general[0] = 0x1_0000n);
  assert.deepEqual([beyond.vector, beyond.rip], [13, 0n]);
  // The last instruction of the segment goes on beyond it.
  narrow.bytes.set([0xb8, 1], CODE + 0xfffe);
  const over = narrow.run([0xe9, ...little(0xfffe - 3, 2)]);
  assert.deepEqual([over.vector, over.rip], [13, 0xfffen]);
});

Deno.test("code that another mapping of its page changes is run as changed", () => {
  const m = new SystemMachine("long");
  // The page at 100000h more is the code's page.
  m.setPage((CODE >> 12) + 0x100, BigInt(CODE) | 7n);
  // mov byte [CODE + 100000h + 9], 7; mov bl, 1; hlt
  const code = [0xc6, 0x04, 0x25, ...little(CODE + 0x10_0009, 4), 7, 0xb3, 1, HLT];
  assert.equal(m.run(code).state.general[3], 7n);
});

Deno.test("REP STOSB over its own code and what follows ends in what it wrote", () => {
  const m = new SystemMachine("long");
  // mov edi, CODE + 14; mov ecx, 3; mov al, 90h; rep stosb; then INC EBX, overwritten by NOPs
  const code = [0xbf, ...little(CODE + 14, 4), 0xb9, 3, 0, 0, 0, 0xb0, NOP, 0xf3, 0xaa];
  const { state, vector } = m.run([...code, 0xff, 0xc3, 0x90, HLT]);
  assert.deepEqual([vector, state.general[3]], [END, 0n]);
});

Deno.test("a store across two pages changes the code in both", () => {
  const m = new SystemMachine("long");
  const edge = CODE + 0x1000;
  // At the page's end: mov dword [edge - 2], ...: two bytes here, two there.
  m.bytes.set([0xb3, 1, 0xb7, 1, HLT], edge - 2); // mov bl, 1; mov bh, 1; hlt
  const store = [0xc7, 0x04, 0x25, ...little(edge - 2, 4), 0xb3, 5, 0xb7, 6];
  const back = CODE + store.length + 5;
  const first = m.run([0xe8, ...little(edge - 2 - CODE - 5, 4), ...store, 0xeb, 0]);
  assert.equal(first.state.general[3], 0x101n);
  const code = [...store, 0xe9, ...little(edge - 2 - back, 4)];
  assert.equal(m.run(code).state.general[3], 0x605n);
});

Deno.test("page tables changed without INVLPG: the old page or the new, after CR3 the new (4.10.4.3)", () => {
  const m = new SystemMachine("long");
  const entry = PAGE_TABLE + ((DATA >> 12) + 2) * 8;
  m.view.setUint32(DATA + 0x2000, 1, true);
  m.view.setUint32(DATA + 0x3000, 2, true);
  const load = (
    register: number,
  ) => [0x8b, 0x04 | register << 3, 0x25, ...little(DATA + 0x2000, 4)];
  const code = [
    ...load(3),
    ...[0xc7, 0x04, 0x25, ...little(entry, 4), ...little((DATA + 0x3000) | 7, 4)],
    ...load(6),
    ...[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8],
    ...load(7),
    HLT,
  ];
  const { state } = m.run(code);
  assert.equal(state.general[3], 1n);
  assert.ok([1n, 2n].includes(state.general[6]));
  assert.equal(state.general[7], 2n);
});
