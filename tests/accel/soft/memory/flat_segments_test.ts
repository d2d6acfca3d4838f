/** 32-bit code with flat segments is decoded for them; with others it must not be found again. */

import assert from "node:assert/strict";
import { Exit } from "../../../../hv/accel/accelerator.ts";
import type { CpuState } from "../../../../hv/accel/cpu_state.ts";
import { DATA, Selector, STACK_OFFSET, SystemMachine } from "../support/system_machine.ts";

const HLT = 0xf4;
const GENERAL_PROTECTION = 13;
const STACK_FAULT = 12;
const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);
/** mov eax, [address] */
const load = (address: number): number[] => [0xa1, ...little(address, 4)];

Deno.test("what ends beyond 4 GiB faults with flat segments as with bounds, by its segment (5.3)", () => {
  const run = (code: number[]) => new SystemMachine("protected").run([...code, HLT]);
  // mov eax, [ebp - 2]: EBP is 0; mov [FFFFFFFEh], eax
  const cases = [
    [load(0xffff_fffe), GENERAL_PROTECTION],
    [[0xa3, ...little(0xffff_fffe, 4)], GENERAL_PROTECTION],
    [[0xf0, 0xff, 0x05, ...little(0xffff_fffd, 4)], GENERAL_PROTECTION], // lock inc dword
    [[0x31, 0xed, 0x8b, 0x45, 0xfe], STACK_FAULT],
  ] as const;
  for (const [code, vector] of cases) assert.equal(run([...code]).vector, vector, code.join(" "));
  // mov esp, 2; push eax: there is no stack to deliver the fault on.
  assert.equal(run([0xbc, 2, 0, 0, 0, 0x50]).exit, Exit.shutdown);
});

Deno.test("a segment that gets bounds or a base in the middle of flat code counts at once", () => {
  /** call f; mov ds, cx; call f; hlt; f: mov eax, [DATA]; ret */
  const code = [
    ...[0xe8, 8, 0, 0, 0, 0x8e, 0xd9, 0xe8, 1, 0, 0, 0, HLT],
    ...[...load(DATA), 0xc3],
  ];
  const run = (selector: number) => {
    const m = new SystemMachine("protected");
    m.view.setUint32(DATA, 0x1111, true);
    m.view.setUint32(DATA + 0x1_0000, 0x2222, true);
    return m.run(code, (s: CpuState) => s.general[1] = BigInt(selector));
  };
  assert.equal(run(Selector.data).state.general[0], 0x1111n);
  // 64 KiB from 10000h on: DATA is beyond.
  assert.equal(run(Selector.data16).vector, GENERAL_PROTECTION);
  assert.equal(run(0).vector, GENERAL_PROTECTION);
});

Deno.test("code that was decoded for flat segments is decoded anew for a stack of 16 bits", () => {
  const m = new SystemMachine("protected");
  // push eax; pop ebx; hlt
  const code = [0x50, 0x5b, HLT];
  const start = (esp: number, access: number) => (s: CpuState) => {
    s.general[0] = 0x1234n;
    s.general[4] = BigInt(esp);
    s.ss.access = access;
  };
  const esp = 0x1_0000 + STACK_OFFSET;
  assert.equal(m.run(code, start(esp, 0xc093)).state.general[3], 0x1234n);
  assert.equal(m.view.getUint32(esp - 4, true), 0x1234);
  m.view.setUint32(esp - 4, 0, true);
  // SP alone counts now, and it wraps.
  assert.equal(m.run(code, start(0x2_0000, 0x8093)).state.general[4], 0x2_0000n);
  assert.equal(m.view.getUint32(0xfffc, true), 0x1234);
  assert.equal(m.view.getUint32(esp - 4, true), 0);
});
