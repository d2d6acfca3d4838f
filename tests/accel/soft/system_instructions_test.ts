/** System instructions, CPUID and MSRs where nothing else looks at them (Intel SDM volumes 2 and 4). */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/accelerator.ts";
import { cpuid, FEATURES, FeatureWords } from "../../../hv/accel/soft/model/cpuid.ts";
import type { CpuState } from "../../../hv/accel/cpu_state.ts";
import { CODE, DATA, END, SystemMachine, type SystemMode } from "./support/system_machine.ts";

const words = new FeatureWords(FEATURES);
const HLT = 0xf4;
const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);

function run(mode: SystemMode, code: number[], change: (state: CpuState) => void = () => {}) {
  return new SystemMachine(mode).run([...code, HLT], change);
}

/** The vector that `code` ends with, or `END`. */
const vectorOf = (mode: SystemMode, code: number[], change?: (state: CpuState) => void): number =>
  run(mode, code, change).vector;

Deno.test("LOCK before what does not allow it is #UD (volume 2, LOCK)", () => {
  const bad: readonly number[][] = [
    [0x01, 0xc0], // add eax, eax: no memory
    [0x3b, 0x03], // cmp eax, [rbx]
    [0x03, 0x03], // add eax, [rbx]: memory is no destination
    [0x8b, 0x03], // mov
    [0x90], // nop
    [0x0f, 0xae, 0x04, 0x25, 0, 0, 0, 0], // fxsave
    [0xd9, 0xe8], // fld1
    [0x0f, 0x01, 0x3b], // invlpg [rbx]
  ];
  for (const code of bad) assert.equal(vectorOf("long", [0xf0, ...code]), 6, code.join(" "));
  const good = [0x01, 0x04, 0x25, ...little(DATA, 4)];
  assert.equal(vectorOf("long", [0xf0, ...good]), END);
});

Deno.test("an instruction of 15 bytes runs, one of 16 gives #GP(0) (volume 1, 2.3.11)", () => {
  for (const mode of ["real", "protected", "long"] as const) {
    assert.equal(vectorOf(mode, [...Array(14).fill(0x26), 0x90]), END, mode);
    const long = run(mode, [...Array(15).fill(0x26), 0x90]);
    assert.equal(long.vector, 13, mode);
  }
});

Deno.test("what is not announced does not exist: RSM, MONITOR, VMXOFF, XSAVES, LDTILECFG give #UD", () => {
  const codes: readonly number[][] = [
    [0x0f, 0xaa],
    [0x0f, 0x01, 0xc8],
    [0x0f, 0x01, 0xc9],
    [0x0f, 0x01, 0xc4],
    [0x0f, 0xc7, 0x2c, 0x25, ...little(DATA, 4)],
    [0x0f, 0x37],
    [0x0f, 0x0e],
    [0xc4, 0xe2, 0x78, 0x49, 0xc0],
  ];
  for (const code of codes) assert.equal(vectorOf("long", code), 6, code.join(" "));
});

Deno.test("CLFLUSH, CLFLUSHOPT and CLWB fault like reads and leave devices alone (volume 2)", () => {
  const at = (address: number) => [0x25, ...little(address, 4)];
  const forms = [[0x0f, 0xae, 0x3c], [0x66, 0x0f, 0xae, 0x3c], [0x66, 0x0f, 0xae, 0x34]];
  for (const form of forms) {
    assert.equal(vectorOf("long", [...form, ...at(DATA)]), END);
    assert.equal(vectorOf("long", [...form, ...at(0x40_0000)]), 14);
    const device = run("long", [...form, ...at(0x10_0000)]);
    assert.deepEqual([device.exit, device.vector], [Exit.halt, END]);
  }
});

Deno.test("RDTSCP and RDPID give IA32_TSC_AUX, in every mode (volume 2)", () => {
  for (const mode of ["protected", "long"] as const) {
    const code = [0x0f, 0x01, 0xf9, 0xf3, 0x0f, 0xc7, 0xfb]; // rdtscp; rdpid ebx
    const { vector, state } = run(mode, code, (s) => {
      s.msrCount = 1;
      s.msrIndices[0] = 0xc000_0103;
      s.msrValues[0] = 0x1234_5678n;
    });
    assert.equal(vector, END, mode);
    assert.deepEqual([state.general[1], state.general[3]], [0x1234_5678n, 0x1234_5678n], mode);
  }
});

Deno.test("PREFETCHW and the hints are no accesses (volume 2)", () => {
  const at = [0x0c, 0x25, ...little(0x40_0000, 4)];
  assert.equal(vectorOf("long", [0x0f, 0x0d, ...at, 0x0f, 0x18, ...at]), END);
});

Deno.test("FWAIT reports an exception that waits with #MF (volume 2, WAIT)", () => {
  // fninit; fldcw [DATA] with zero divide unmasked; fld1; fldz; fdivp; fwait
  const code = [0xdb, 0xe3, 0xd9, 0x2c, 0x25, ...little(DATA, 4)];
  const divide = [0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9];
  const m = new SystemMachine("long");
  m.view.setUint16(DATA, 0x37b, true);
  const { vector, rip } = m.run([...code, ...divide, 0x90, 0x9b, HLT]);
  assert.deepEqual([vector, Number(rip) - CODE], [16, code.length + divide.length + 1]);
});

Deno.test("LAHF and SAHF work in 64-bit mode, as CPUID says", () => {
  const { vector, state } = run("long", [0xb4, 0xd5, 0x9e, 0xb4, 0, 0x9f]);
  assert.deepEqual([vector, state.general[0] >> 8n & 0xffn], [END, 0xd7n]);
  assert.equal(
    cpuid(0x8000_0001 | 0, 0, { index: 0, cpus: 1, osxsave: false, apic: true, words })[2] & 1,
    1,
  );
});

Deno.test("SYSENTER wants a selector, SYSEXIT privilege and canonical targets (volume 2)", () => {
  const enter = (mode: SystemMode, cs: bigint) =>
    run(mode, [0x0f, 0x34], (s) => {
      s.msrCount = 3;
      s.msrIndices.set([0x174, 0x175, 0x176]);
      s.msrValues.set([cs, BigInt(CODE + 0x8000), BigInt(CODE + 2)]);
    });
  for (const mode of ["protected", "long", "compatibility"] as const) {
    const { vector, state } = enter(mode, 0x8n);
    assert.equal(vector, END, mode);
    assert.deepEqual([state.cs.selector, state.ss.selector], [8, 0x10], mode);
    assert.equal(enter(mode, 3n).vector, 13, `${mode}: a null selector`);
  }
  assert.equal(enter("real", 8n).vector, 13, "real mode");
  const exit = (rdx: bigint) =>
    run("long", [0x48, 0x0f, 0x35], (s) => {
      s.msrCount = 1;
      s.msrIndices[0] = 0x174;
      s.msrValues[0] = 8n;
      s.general[2] = rdx;
    });
  assert.equal(exit(1n << 47n).vector, 13, "a target that is not canonical");
  const user = new SystemMachine("long", 3);
  assert.equal(user.run([0x48, 0x0f, 0x35]).vector, 13, "from level 3");
});

Deno.test("SYSRET refuses a target that is not canonical; SYSCALL needs EFER.SCE and 64-bit code", () => {
  const rcx = (s: CpuState) => s.general[1] = 1n << 47n;
  assert.equal(vectorOf("long", [0x48, 0x0f, 0x07], rcx), 13);
  assert.equal(vectorOf("long", [0x0f, 0x05], (s) => s.efer &= ~1n), 6);
  assert.equal(vectorOf("compatibility", [0x0f, 0x05]), 6);
  assert.equal(vectorOf("protected", [0x0f, 0x05], (s) => s.efer = 1n), 6);
});

Deno.test("VERR, VERW, LAR and LSL see what the privilege allows, ARPL raises RPL (volume 2)", () => {
  const selector = (value: number) => [0xb8, ...little(value, 4)];
  const zf = (code: number[], cpl: 0 | 3) => {
    const m = new SystemMachine("protected", cpl);
    return (m.run([...code, 0xcd, END]).flags & 0x40n) !== 0n;
  };
  const verr = [0x0f, 0x00, 0xe0];
  const verw = [0x0f, 0x00, 0xe8];
  assert.ok(zf([...selector(0x10), ...verw], 0));
  assert.ok(!zf([...selector(0x08), ...verw], 0), "code is not written");
  assert.ok(zf([...selector(0x08), ...verr], 0));
  assert.ok(!zf([...selector(0x10), ...verr], 3), "data of level 0 from level 3");
  assert.ok(!zf([...selector(0x13), ...verr], 0), "RPL counts");
  assert.ok(!zf([...selector(0), ...verr], 0), "null");
  assert.ok(!zf([...selector(0x28), ...verr], 0), "a system segment");
  const lar = run("protected", [...selector(0x28), 0x0f, 0x02, 0xd8]);
  assert.equal(lar.state.general[3], 0x8b00n);
  const lsl = run("protected", [...selector(0x10), 0x0f, 0x03, 0xd8]);
  assert.equal(lsl.state.general[3], 0xffff_ffffn);
  // mov ebx, 13h; mov eax, 8; arpl ax, bx
  const arpl = run("protected", [0xbb, 0x13, 0, 0, 0, ...selector(8), 0x63, 0xd8]);
  assert.equal(arpl.state.general[0], 0xbn);
  for (const code of [verr, verw, [0x0f, 0x02, 0xd8], [0x0f, 0x03, 0xd8], [0x63, 0xd8]]) {
    assert.equal(vectorOf("real", code), 6, "in real mode");
  }
});

Deno.test("BOUND takes both ends as within, and gives #BR outside (volume 2)", () => {
  const m = new SystemMachine("protected");
  m.view.setInt32(DATA, -5, true);
  m.view.setInt32(DATA + 4, 5, true);
  const at = (value: number) =>
    m.run([0xb8, ...little(value, 4), 0x62, 0x05, ...little(DATA, 4), HLT]).vector;
  assert.deepEqual([-6, -5, 5, 6].map(at), [5, END, END, 5]);
});

Deno.test("CPUID tells the processors of the package apart (leaves 1, 4 and 0Bh)", () => {
  const ask = (leaf: number, subleaf: number, cpus: number) =>
    cpuid(leaf, subleaf, { index: 2, cpus, osxsave: false, apic: true, words });
  assert.deepEqual(ask(0xb, 0, 3), [0, 1, 0x100, 2]);
  assert.deepEqual(ask(0xb, 1, 3), [2, 3, 0x201, 2]);
  assert.deepEqual(ask(0xb, 2, 3), [0, 0, 2, 2]);
  assert.equal(ask(1, 0, 3)[1] >>> 16 & 0xff, 4, "IDs that the package has room for");
  const sizes = [0, 1, 2, 3, 4].map((n) => {
    const [a, b, c] = ask(4, n, 3);
    return (a & 31) === 0 ? 0 : ((b >>> 22) + 1) * ((b & 0xfff) + 1) * (c + 1);
  });
  assert.deepEqual(sizes, [32 << 10, 32 << 10, 512 << 10, 8 << 20, 0]);
  assert.equal(ask(4, 3, 3)[0] >>> 26, 3, "core IDs - 1");
  assert.equal(ask(4, 3, 3)[0] >>> 14 & 0xfff, 3, "that share the last level");
  assert.equal(ask(4, 0, 1)[0] >>> 26, 0);
  assert.deepEqual(ask(0xa, 0, 1), [0, 0, 0, 0]);
});

/** mov ecx, index; mov eax, low; mov edx, high; wrmsr */
const wrmsr = (index: number, value: bigint): number[] => [
  ...[0xb9, ...little(index, 4), 0xb8, ...little(Number(value & 0xffff_ffffn), 4)],
  ...[0xba, ...little(Number(value >> 32n), 4), 0x0f, 0x30],
];
const rdmsr = (index: number): number[] => [0xb9, ...little(index, 4), 0x0f, 0x32];

Deno.test("MSRs that systems read at boot are there, unknown ones give #GP(0) (volume 4)", () => {
  const there = [0x10, 0x17, 0x1b, 0x2a, 0x2c, 0x3a, 0x3b, 0x8b, 0xcd, 0xce, 0xfe, 0x174, 0x179]
    .concat(0x198, 0x1a0, 0x1d9, 0x1db, 0x200, 0x20f, 0x250, 0x26f, 0x277, 0x2ff, 0xc000_0080)
    .concat(0xc000_0081, 0xc000_0102, 0xc000_0103);
  for (const index of there) assert.equal(vectorOf("long", rdmsr(index)), END, index.toString(16));
  for (const index of [0, 0xc1, 0x345, 0x480, 0x400, 0xc001_0015]) {
    const { vector, errorCode } = run("long", rdmsr(index));
    assert.deepEqual([vector, errorCode], [13, 0], index.toString(16));
    assert.equal(vectorOf("long", wrmsr(index, 0n)), 13, index.toString(16));
  }
  const user = new SystemMachine("long", 3);
  assert.equal(user.run(rdmsr(0x10)).vector, 13);
});

Deno.test("memory type range registers refuse reserved bits and types (volume 3, 11.11.2)", () => {
  const cases: readonly [number, bigint, boolean][] = [
    [0x200, 0x1000_0006n, true],
    [0x200, 0x1000_0007n, false],
    [0x200, 0x1000_0106n, false],
    [0x201, 0xff_f000_0800n, true],
    [0x201, 0xff_f000_0c00n, false],
    [0x201, 1n << 40n, false],
    [0x250, 0x0606_0606_0606_0606n, true],
    [0x250, 0x0606_0606_0606_0607n, false],
    [0x277, 0x0007_0406_0007_0406n, true],
    [0x277, 0x0007_0406_0007_0402n, false],
    [0x2ff, 0xc06n, true],
    [0x2ff, 0xe06n, false],
  ];
  for (const [index, value, allowed] of cases) {
    const vector = vectorOf("long", wrmsr(index, value));
    assert.equal(vector, allowed ? END : 13, `${index.toString(16)}: ${value.toString(16)}`);
  }
});

Deno.test("IA32_TSC_ADJUST moves the counter, and shows what writing the counter did (17.17.3)", () => {
  const far = 1n << 50n;
  const { vector, state } = run("long", [...wrmsr(0x3b, far), 0x0f, 0x31]);
  assert.equal(vector, END);
  const counter = state.general[2] << 32n | state.general[0];
  assert.ok(counter >= far && counter < far + (1n << 45n));
  const set = run("long", [...wrmsr(0x10, far), ...rdmsr(0x3b)]);
  const adjust = set.state.general[2] << 32n | set.state.general[0];
  assert.ok(adjust <= far && adjust > far - (1n << 45n));
});
