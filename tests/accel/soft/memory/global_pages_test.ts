/** Which translations outlast what (Intel SDM volume 3, 4.10.2.4 and 4.10.4.1). */

import assert from "node:assert/strict";
import {
  CODE,
  DATA,
  END,
  PAGE_TABLE,
  PAGE_TABLES,
  SystemMachine,
} from "../support/system_machine.ts";

const HLT = 0xf4;
const PGE = 0x80n;
const GLOBAL = 0x100n;
/** Present, writable, user, accessed, dirty. */
const PLAIN = 0x67n;
/** A page that is mapped to one of two others. */
const PAGE = 0x5_0000;
const OLD = 0x6_0000;
const NEW = 0x6_1000;
const ENTRY = PAGE_TABLE + PAGE / 0x1000 * 8;
const DESCRIPTOR = DATA + 0x100;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value / 2 ** (8 * i) & 0xff);
const movEax = (value: number): number[] => [0xb8, ...little(value, 4)];

/** What makes the processor forget. */
const MEANS = {
  nothing: [],
  "MOV to CR3": [...movEax(PAGE_TABLES), 0x0f, 0x22, 0xd8],
  // CR4: PAE, OSFXSR, OSXMMEXCPT without PGE, then with it.
  "CR4.PGE cleared and set": [
    ...[...movEax(0x620), 0x0f, 0x22, 0xe0],
    ...[...movEax(0x6a0), 0x0f, 0x22, 0xe0],
  ],
  INVLPG: [0x0f, 0x01, 0x3c, 0x25, ...little(PAGE, 4)],
  "INVLPG of another page": [0x0f, 0x01, 0x3c, 0x25, ...little(PAGE + 0x1000, 4)],
  "INVPCID of a context": invpcid(1),
  "INVPCID of all with global ones": invpcid(2),
  "INVPCID of all but global ones": invpcid(3),
} as const;
type Means = keyof typeof MEANS;

/** mov eax, kind; invpcid rax, [DESCRIPTOR] */
function invpcid(kind: number): number[] {
  return [...movEax(kind), 0x66, 0x0f, 0x38, 0x82, 0x04, 0x25, ...little(DESCRIPTOR, 4)];
}

/** mov dword [ENTRY], the entry of NEW */
const remap = (entry: bigint): number[] => [
  ...[0xc7, 0x04, 0x25, ...little(ENTRY, 4), ...little(Number(entry) & 0xffff_ffff, 4)],
];

type Use = "data" | "code";

/** "old" or "new": what is seen of the page after it was used, mapped elsewhere, and `means`. */
function seen(use: Use, means: Means, { global, pge }: { global: boolean; pge: boolean }): string {
  const m = new SystemMachine("long");
  const rights = PLAIN | (global ? GLOBAL : 0n);
  for (const [place, value] of [[OLD, 1], [NEW, 2]] as const) {
    // Both as data and as code: mov ebx, value; ret
    m.bytes.set([0xbb, ...little(value, 4), 0xc3], place);
  }
  m.setPage(PAGE / 0x1000, BigInt(OLD) | rights);
  const access = use === "data"
    ? [0x8b, 0x1c, 0x25, ...little(PAGE + 1, 4)] // mov ebx, [PAGE + 1]
    : [0xb9, ...little(PAGE, 4), 0xff, 0xd1]; // mov ecx, PAGE; call rcx
  const code = [...access, ...remap(BigInt(NEW) | rights), ...MEANS[means], ...access, HLT];
  const { vector, state } = m.run(code, (s) => {
    if (pge) s.cr4 |= PGE;
  });
  assert.equal(vector, END, `${use}, ${means}`);
  assert.ok(state.rip > CODE);
  return state.general[3] === 2n ? "new" : "old";
}

for (const use of ["data", "code"] as const) {
  Deno.test(`a global page of ${use} outlasts loads of CR3, not what names it or CR4.PGE (4.10.4.1)`, () => {
    const global = { global: true, pge: true };
    const kept = Object.keys(MEANS).filter((means) => seen(use, means as Means, global) === "old");
    assert.deepEqual(kept, [
      "nothing",
      "MOV to CR3",
      "INVLPG of another page",
      "INVPCID of a context",
      "INVPCID of all but global ones",
    ]);
  });

  Deno.test(`a page of ${use} that is not global, or with CR4.PGE clear, goes with CR3 (4.10.2.4)`, () => {
    for (const plain of [{ global: false, pge: true }, { global: true, pge: false }]) {
      const kept = Object.keys(MEANS).filter((means) => seen(use, means as Means, plain) === "old");
      assert.deepEqual(kept, ["nothing", "INVLPG of another page"]);
    }
  });
}
