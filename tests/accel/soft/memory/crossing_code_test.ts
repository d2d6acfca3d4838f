/** Instructions that lie in two pages: what each of the pages may do to them once they are decoded. */

import assert from "node:assert/strict";
import { CODE, PAGE_TABLE, SystemMachine } from "../support/system_machine.ts";

const HLT = 0xf4;
const FIRST = 0x5_0000;
const SECOND = 0x5_1000;
/** Where the second page is mapped to later. */
const OTHER = 0x6_0000;
const FUNCTION = SECOND - 3;
const ENTRY = PAGE_TABLE + SECOND / 0x1000 * 8;
/** mov eax, 44332211h, of which 33h is the first byte of the second page; ret */
const BODY = [0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3];

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);
const setByte = (at: number, value: number): number[] => [
  ...[0xc6, 0x04, 0x25, ...little(at, 4)],
  value,
];
const setWord = (at: number, value: number): number[] => [
  ...[0xc7, 0x04, 0x25, ...little(at, 4), ...little(value, 4)],
];
const invlpg = (at: number): number[] => [0x0f, 0x01, 0x3c, 0x25, ...little(at, 4)];
/** Calls the function twice, so that it is found again without being looked for, does `change`, calls it. */
const calls = (change: readonly number[]): number[] => {
  const code: number[] = [];
  const call = () => code.push(0xe8, ...little(FUNCTION - (CODE + code.length + 5), 4));
  call();
  call();
  code.push(...change);
  call();
  return [...code, HLT];
};

function machine(): SystemMachine {
  const m = new SystemMachine("long");
  m.bytes.set(BODY, FUNCTION);
  m.bytes.set([0x99, 0x44, 0xc3], OTHER);
  return m;
}

const CHANGES: Readonly<Record<string, { change: readonly number[]; eax: number }>> = {
  "nothing": { change: [], eax: 0x4433_2211 },
  "a write to the first page": { change: setByte(SECOND - 1, 0x77), eax: 0x4433_7711 },
  "a write to the second page": { change: setByte(SECOND, 0x77), eax: 0x4477_2211 },
  "a write behind it": { change: setByte(SECOND + 0x100, 0x77), eax: 0x4433_2211 },
  "another second page, and INVLPG of it": {
    change: [...setWord(ENTRY, OTHER | 0x67), ...invlpg(SECOND)],
    eax: 0x4499_2211,
  },
  "another second page, and a load of CR3": {
    change: [...setWord(ENTRY, OTHER | 0x67), 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8],
    eax: 0x4499_2211,
  },
  "another second page and back, with INVLPG of it": {
    change: [
      ...[...setWord(ENTRY, OTHER | 0x67), ...invlpg(SECOND)],
      ...[0xe8, ...little(FUNCTION - (CODE + 10 + 19 + 5), 4)],
      ...[...setWord(ENTRY, SECOND | 0x67), ...invlpg(SECOND)],
    ],
    eax: 0x4433_2211,
  },
};

for (const [name, { change, eax }] of Object.entries(CHANGES)) {
  Deno.test(`an instruction across two pages is what both say: ${name}`, () => {
    const { state } = machine().run(calls(change));
    assert.equal(state.general[0], BigInt(eax));
  });
}

Deno.test("an instruction across two pages is decoded anew when a device writes to the second", () => {
  const m = machine();
  assert.equal(m.run(calls([])).state.general[0], 0x4433_2211n);
  m.bytes[SECOND] = 0x55;
  m.vm.hostWrote(SECOND, 1);
  assert.equal(m.run(calls([])).state.general[0], 0x4455_2211n);
});

Deno.test("a second page that is not there gives #PF with its address, at the instruction (4.7)", () => {
  const absent = [...setWord(ENTRY, 0), ...invlpg(SECOND)];
  const { vector, rip, state } = machine().run(calls(absent));
  assert.deepEqual([vector, rip, state.cr2], [14, BigInt(FUNCTION), BigInt(SECOND)]);
});

Deno.test("two pages that are one page of memory: an instruction goes on where it began", () => {
  const m = machine();
  // The second page is the first one, whose first bytes are the instruction's last.
  m.setPage(SECOND / 0x1000, BigInt(FIRST) | 7n);
  m.bytes.set([0x66, 0x44, 0xc3], FIRST);
  assert.equal(m.run(calls([])).state.general[0], 0x4466_2211n);
  assert.equal(m.run(calls(setByte(FIRST, 0x67))).state.general[0], 0x4467_2211n);
});
