/** Alignment checks (Intel SDM volume 3, 2.3 and 6.15, vector 17). */

import assert from "node:assert/strict";
import { DATA, END, SystemMachine } from "../support/system_machine.ts";

const AM = 1n << 18n;
const AC = 1n << 18n;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);
const end = [0xcd, END];

/** mov eax, [address], at `cpl` with CR0.AM and EFLAGS.AC as given. */
function load(address: number, cpl: 0 | 3, am = AM, ac = AC) {
  const m = new SystemMachine("long", cpl);
  return m.run([0x8b, 0x04, 0x25, ...little(address, 4), ...end], (s) => {
    s.cr0 |= am;
    s.rflags |= ac;
  });
}

Deno.test("#AC(0) comes with CR0.AM, EFLAGS.AC and level 3 together, and with none missing", () => {
  const { vector, errorCode } = load(DATA + 2, 3);
  assert.deepEqual([vector, errorCode], [17, 0]);
  assert.equal(load(DATA + 4, 3).vector, END, "aligned");
  assert.equal(load(DATA + 2, 0).vector, END, "level 0");
  assert.equal(load(DATA + 2, 3, 0n).vector, END, "without CR0.AM");
  assert.equal(load(DATA + 2, 3, AM, 0n).vector, END, "without EFLAGS.AC");
});

Deno.test("#AC comes before what the page has against the access, and behind #GP", () => {
  assert.equal(load(0x40_0001, 3).vector, 17, "no page");
  const m = new SystemMachine("long", 3);
  // mov eax, [rbx]
  const wild = m.run([0x8b, 0x03, ...end], (s) => {
    s.cr0 |= AM;
    s.rflags |= AC;
    s.general[3] = (1n << 47n) + 1n;
  });
  assert.equal(wild.vector, 13, "not canonical");
});

Deno.test("POPF switches the check on for the next access, in a block that has run before", () => {
  const m = new SystemMachine("long", 3);
  // mov eax, [DATA + 1]; pushfq; or dword [rsp], 40000h; popfq; mov eax, [DATA + 1]
  const misaligned = [0x8b, 0x04, 0x25, ...little(DATA + 1, 4)];
  const code = [...misaligned, 0x9c, 0x81, 0x0c, 0x24, ...little(0x4_0000, 4), 0x9d];
  const { vector, rip } = m.run([...code, ...misaligned, ...end], (s) => s.cr0 |= AM);
  assert.deepEqual([vector, Number(rip) & 0xfff], [17, code.length]);
});
