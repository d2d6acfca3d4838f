/** Control registers, and what makes the processor forget translations (Intel SDM volume 3). */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/accelerator.ts";
import {
  CODE,
  DATA,
  END,
  PAGE_TABLES,
  SystemMachine,
  type SystemMode,
  type SystemOutcome,
} from "./support/system_machine.ts";

const HLT = 0xf4;
const PCIDE = 1n << 17n;
const PAE = 0x20n;
const UMIP = 0x800n;

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);
/** mov rax, value */
const movRax = (value: bigint): number[] => {
  const bytes = Array.from({ length: 8 }, (_, i) => Number(value >> BigInt(8 * i) & 0xffn));
  return [0x48, 0xb8, ...bytes];
};
const toCr = (n: number) => [0x0f, 0x22, 0xc0 | n << 3];
/** mov ebx, [address] in 64-bit or 32-bit code */
const load = (address: number) => [0x8b, 0x1c, 0x25, ...little(address, 4)];

const is = (outcome: SystemOutcome, vector: number, what: string) =>
  assert.equal(outcome.vector, vector, what);

Deno.test("CR4.PCIDE wants IA-32e mode and PCID 0; CR0.PG stays while it is set (4.10.1)", () => {
  const m = new SystemMachine("long");
  const set = [...movRax(0x620n | PCIDE), ...toCr(4), HLT];
  is(m.run(set), END, "with PCID 0");
  is(m.run(set, (s) => s.cr3 |= 5n), 13, "with another PCID");
  const legacy = new SystemMachine("protected");
  is(legacy.run([0xb8, ...little(0x2_0620, 4), ...toCr(4), HLT]), 13, "outside of IA-32e mode");
  const compatibility = new SystemMachine("compatibility");
  const clear = [0xb8, ...little(0x31, 4), ...toCr(0), HLT];
  is(compatibility.run(clear, (s) => s.cr4 |= PCIDE), 13, "CR0.PG with PCIDE");
});

Deno.test("with PCIDs bit 63 of CR3 is no bit of it; without, it is reserved (4.10.4.1)", () => {
  const m = new SystemMachine("long");
  const code = [...movRax(BigInt(PAGE_TABLES) | 7n | 1n << 63n), ...toCr(3), HLT];
  const outcome = m.run(code, (s) => s.cr4 |= PCIDE);
  is(outcome, END, "with PCIDs");
  assert.equal(outcome.state.cr3, BigInt(PAGE_TABLES) | 7n);
  is(m.run(code), 13, "without");
  is(m.run([...movRax(1n << 45n), ...toCr(3), HLT]), 13, "beyond the physical address width");
});

/** mov eax, kind; invpcid rax, [DATA + 100h] with the descriptor given. */
function invpcid(
  m: SystemMachine,
  kind: number,
  pcid: bigint,
  address: bigint,
  before: number[] = [],
) {
  m.view.setBigUint64(DATA + 0x100, pcid, true);
  m.view.setBigUint64(DATA + 0x108, address, true);
  const after = load(DATA + 0x2000);
  return [
    ...before,
    ...[0xb8, ...little(kind, 4), 0x66, 0x0f, 0x38, 0x82, 0x04, 0x25, ...little(DATA + 0x100, 4)],
    ...after,
    HLT,
  ];
}

Deno.test("all four kinds of INVPCID show what the page tables say by then (volume 2, INVPCID)", () => {
  for (let kind = 0; kind < 4; kind++) {
    const m = new SystemMachine("long");
    const page = (DATA >> 12) + 2;
    m.view.setUint32(DATA + 0x2000, 1, true);
    m.view.setUint32(DATA + 0x3000, 2, true);
    // Reads the page, then makes its entry that of the next one.
    const before = [
      ...load(DATA + 0x2000),
      ...[0xc7, 0x04, 0x25, ...little(PAGE_TABLES + 0x3000 + page * 8, 4)],
      ...little(DATA + 0x3007, 4),
    ];
    const code = invpcid(m, kind, 0n, BigInt(DATA + 0x2123), before);
    const outcome = m.run(code, (s) => s.cr4 |= PCIDE);
    is(outcome, END, `kind ${kind}`);
    assert.equal(outcome.state.general[3], 2n, `kind ${kind}`);
  }
});

Deno.test("INVPCID gives #GP(0) for what it does not know (volume 2, INVPCID)", () => {
  const m = new SystemMachine("long");
  const pcids = (s: { cr4: bigint }) => s.cr4 |= PCIDE;
  is(m.run(invpcid(m, 4, 0n, 0n), pcids), 13, "kind 4");
  is(m.run(invpcid(m, 3, 0x1000n, 0n), pcids), 13, "reserved bits of the descriptor");
  is(m.run(invpcid(m, 0, 1n, 1n << 47n), pcids), 13, "an address that is not canonical");
  is(m.run(invpcid(m, 1, 0n, 1n << 47n), pcids), END, "which kind 1 does not look at");
  is(m.run(invpcid(m, 1, 5n, 0n), pcids), END, "PCID 5 with PCIDs");
  is(m.run(invpcid(m, 1, 5n, 0n)), 13, "PCID 5 without");
  const user = new SystemMachine("long", 3);
  is(user.run(invpcid(user, 2, 0n, 0n)), 13, "at level 3");
});

Deno.test("INVLPG forgets all parts of a large page, whichever is named (4.10.4.1)", () => {
  const m = new SystemMachine("long");
  const LARGE = 0x40_0000;
  const directory = PAGE_TABLES + 0x2000 + (LARGE >> 21) * 8;
  // The page of 2 MiB at 4 MiB is the memory from 0; then a table of which all entries are page DATA.
  m.view.setBigUint64(directory, 0x87n, true);
  const table = DATA + 0x1000;
  for (let i = 0; i < 512; i++) m.view.setBigUint64(table + i * 8, BigInt(DATA) | 7n, true);
  m.view.setUint32(DATA, 0x1234, true);
  m.view.setUint32(DATA + 0x3000, 0x5678, true);
  const code = [
    ...load(LARGE + DATA + 0x3000),
    ...[0xc7, 0x04, 0x25, ...little(directory, 4), ...little(table | 7, 4)],
    ...[0x0f, 0x01, 0x3c, 0x25, ...little(LARGE + 0x10_0000, 4)], // invlpg
    ...load(LARGE + DATA + 0x3000),
    HLT,
  ];
  const outcome = m.run(code);
  is(outcome, END, "");
  assert.equal(outcome.state.general[3], 0x1234n);
});

Deno.test("PAE paging refuses reserved bits in its four pointers when CR3 is loaded (4.4.1)", () => {
  const m = new SystemMachine("protected");
  const pointers = DATA + 0x1000;
  const load = (entry: bigint, change: { cr0: bigint }) => {
    m.view.setBigUint64(pointers + 24, entry, true);
    m.view.setBigUint64(pointers, BigInt(PAGE_TABLES + 0x2000) | 1n, true);
    const code = [0xb8, ...little(pointers, 4), ...toCr(3), HLT];
    return m.run(code, (s) => {
      s.cr0 |= change.cr0;
      s.cr3 = BigInt(pointers);
      s.cr4 |= PAE;
    });
  };
  const paging = { cr0: 1n << 31n };
  is(load(0n, paging), END, "not present");
  is(load(0xfffn & ~1n, paging), END, "not present, whatever else");
  is(load(0x7003n, paging), 13, "bit 1");
  is(load(0x7001n | 1n << 45n, paging), 13, "an address bit that there is not");
  is(load(0x7001n | 1n << 63n, paging), 13, "NX");
  is(load(0x7003n, { cr0: 0n }), END, "without paging nobody looks");
  const on = [0xb8, ...little(0x8000_0031, 4), ...toCr(0), HLT];
  m.view.setBigUint64(pointers + 24, 0x7003n, true);
  is(m.run(on, (s) => s.cr3 = BigInt(pointers)), 13, "CR0.PG looks as well");
});

Deno.test("CR4 has the bits of what CPUID announces, and no others (2.5)", () => {
  const m = new SystemMachine("long");
  const allowed: number[] = [];
  for (let bit = 0; bit < 64; bit++) {
    // With SMEP, no page here may be executed: it ends in a shutdown, with the stack everywhere.
    m.buildTables();
    const { vector } = m.run([...movRax(0x620n | 1n << BigInt(bit)), ...toCr(4), HLT]);
    if (vector === END) allowed.push(bit);
    else assert.equal(vector, 13);
  }
  const { state } = m.run([0xb8, 1, 0, 0, 0, 0x0f, 0xa2, HLT]);
  const [ecx, edx] = [1, 2].map((n) => Number(state.general[n]));
  const announced = (bit: number, by: number, word: number) =>
    assert.equal(allowed.includes(bit), (word >>> by & 1) !== 0, `bit ${bit}`);
  announced(0, 1, edx); // VME
  announced(3, 2, edx); // DE
  announced(4, 3, edx); // PSE
  announced(6, 7, edx); // MCE
  announced(7, 13, edx); // PGE
  announced(13, 5, ecx); // VMXE
  announced(17, 17, ecx); // PCIDE
  announced(18, 26, ecx); // OSXSAVE
  assert.ok(!allowed.includes(12), "LA57");
});

Deno.test("CR4.UMIP keeps SGDT, SIDT, SLDT, SMSW and STR from user mode with #GP(0) (2.5)", () => {
  const memory = little(DATA, 4);
  const instructions: Record<string, number[]> = {
    sgdt: [0x0f, 0x01, 0x04, 0x25, ...memory],
    sidt: [0x0f, 0x01, 0x0c, 0x25, ...memory],
    sldt: [0x0f, 0x00, 0xc0],
    smsw: [0x0f, 0x01, 0xe0],
    str: [0x0f, 0x00, 0xc8],
  };
  for (const [name, bytes] of Object.entries(instructions)) {
    const user = new SystemMachine("long", 3);
    const code = [...bytes, 0xcd, END];
    is(user.run(code, (s) => s.cr4 |= UMIP), 13, name);
    is(user.run(code), END, `${name} without`);
    is(new SystemMachine("long").run([...bytes, HLT], (s) => s.cr4 |= UMIP), END, `${name} at 0`);
  }
});

Deno.test("code goes on from its new page once INVLPG or CR3 has made it known (4.10.4)", () => {
  for (const means of ["invlpg", "cr3"]) {
    const m = new SystemMachine("long");
    const page = CODE >> 12;
    const there = PAGE_TABLES + 0x3000 + page * 8;
    // The other page has the same code, but for what follows the instruction that makes it known.
    const code = [
      ...[0xc7, 0x04, 0x25, ...little(there, 4), ...little((DATA & ~0xfff) | 7, 4)],
      ...means === "cr3"
        ? [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]
        : [0x0f, 0x01, 0x3c, 0x25, ...little(CODE, 4)],
    ];
    m.bytes.set([...code, 0xbb, 2, 0, 0, 0, HLT], DATA);
    const outcome = m.run([...code, 0xbb, 1, 0, 0, 0, HLT]);
    is(outcome, END, means);
    assert.equal(outcome.state.general[3], 2n, means);
  }
});

Deno.test("IA32_ARCH_CAPABILITIES says that nothing leaks by speculation (volume 4)", () => {
  const read = (mode: SystemMode) =>
    new SystemMachine(mode).run([0xb9, 0x0a, 1, 0, 0, 0x0f, 0x32, HLT]);
  const { vector, state } = read("long");
  assert.equal(vector, END);
  assert.equal(state.general[0] & 0x39n, 0x39n, "RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO");
  const write = [0xb9, 0x0a, 1, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30, HLT];
  is(new SystemMachine("long").run(write), 13, "it cannot be written");
});

/** A machine in long mode with SMAP, and a page of level 3 at `DATA`; the rest is level 0's. */
function withSmap(): SystemMachine {
  const m = new SystemMachine("long");
  for (let page = 0; page < 512; page++) {
    if (page !== DATA >> 12) m.setPage(page, BigInt(page) * 4096n | 3n);
  }
  return m;
}
const SMAP = 1n << 21n;
const CLAC = [0x0f, 0x01, 0xca];
const STAC = [0x0f, 0x01, 0xcb];

Deno.test("with SMAP what STAC has opened CLAC and POPF close again (4.6.1)", () => {
  const smap = (s: { cr4: bigint }) => s.cr4 |= SMAP;
  is(withSmap().run([...load(DATA), HLT], smap), 14, "AC is clear");
  is(withSmap().run([...STAC, ...load(DATA), HLT], smap), END, "STAC");
  const closed = withSmap().run([...STAC, ...load(DATA), ...CLAC, ...load(DATA), HLT], smap);
  is(closed, 14, "CLAC");
  assert.deepEqual([closed.errorCode, closed.state.cr2], [1, BigInt(DATA)]);
  const popf = [...STAC, ...load(DATA), 0x6a, 2, 0x9d, ...load(DATA), HLT]; // push 2; popf
  is(withSmap().run(popf, smap), 14, "POPF");
});

Deno.test("the processor's own tables stay closed by SMAP whatever AC is (4.6.1)", () => {
  const m = withSmap();
  // mov ds, [DATA]'s selector with the descriptor table in the page of level 3
  m.bytes.copyWithin(DATA, 0x3000, 0x3080);
  const outcome = m.run([...STAC, 0xb8, 0x10, 0, 0, 0, 0x8e, 0xd8, HLT], (s) => {
    s.cr4 |= SMAP;
    s.gdtr.base = BigInt(DATA);
  });
  // The exception's own gate needs the table as well.
  assert.equal(outcome.exit, Exit.shutdown);
  assert.equal(outcome.state.cr2, BigInt(DATA + 0x38));
});

Deno.test("with SMEP level 0 runs no page of level 3: #PF with the fetch's bit (4.6.1, 4.7)", () => {
  const m = withSmap();
  const outcome = m.run([0xe9, ...little(DATA - CODE - 5, 4)], (s) => s.cr4 |= 1n << 20n);
  assert.deepEqual([outcome.vector, outcome.errorCode, outcome.rip], [14, 0x11, BigInt(DATA)]);
});

Deno.test("the dirty bit waits for the first write, also behind a read that the TLB knows (4.8)", () => {
  const m = new SystemMachine("long");
  const entry = PAGE_TABLES + 0x3000 + ((DATA >> 12) + 2) * 8;
  const at = DATA + 0x2000;
  // read; keep the entry in ECX; write; keep it in EDX
  const keep = (register: number) => [0x8b, 0x04 | register << 3, 0x25, ...little(entry, 4)];
  const write = [0x89, 0x04, 0x25, ...little(at, 4)];
  const { state } = m.run([...load(at), ...keep(1), ...write, ...keep(2), HLT]);
  assert.deepEqual([state.general[1] & 0x60n, state.general[2] & 0x60n], [0x20n, 0x60n]);
});
