/** The processor's features and topology. */

import assert from "node:assert/strict";
import { FEATURE_NAMES, featureBit, findFeature } from "../../../hv/accel/cpu_features.ts";
import { buildCpuid, hasFeature } from "../../../hv/accel/kvm/cpuid.ts";
import type { CpuidLeaf } from "../../../hv/accel/kvm/cpuid_table.ts";
import { Exit } from "../../../hv/accel/mod.ts";
import { accessValue, kvmTest, runToExit, TestMachine } from "./test_machine.ts";

type Registers = [eax: number, ebx: number, ecx: number, edx: number];

const leaf = (
  number: number,
  [eax, ebx, ecx, edx]: Registers,
  index = 0,
): CpuidLeaf => ({ function: number, index, flags: index > 0 ? 1 : 0, eax, ebx, ecx, edx });

/** An AMD host with everything in the feature leaves. */
const AMD: CpuidLeaf[] = [
  leaf(0, [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
  leaf(1, [0xa2_0f10, 0x3010_0800, 0x7eff_ffff, 0xffff_ffff]),
  leaf(7, [1, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff]),
  leaf(0xb, [1, 2, 0x100, 3]),
  leaf(0xd, [0xf, 0, 0, 0], 1),
  leaf(0x8000_0001, [0, 0, 0xffff_ffff, 0xffff_ffff]),
  leaf(0x8000_0008, [0x3030, 0, 0x700f, 0]),
  leaf(0x8000_001d, [0x0001_c121, 0, 0, 0]),
  leaf(0x8000_001d, [0x0003_c163, 0, 0, 0], 3),
  leaf(0x8000_001e, [9, 0x100, 0x300, 0]),
];

/** An Intel host. */
const INTEL: CpuidLeaf[] = [
  leaf(0, [0x1f, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
  leaf(1, [0x906ed, 0x0210_0800, 0x7eff_ffff, 0xffff_ffff]),
  leaf(4, [0x1c00_4121, 0, 0, 0]),
  leaf(4, [0x1c03_c163, 0, 0, 0], 3),
  leaf(4, [0x1c00_0000, 0, 0, 0], 4),
  leaf(0x8000_0001, [0, 0, 1, 0x2c10_0800]),
];

const build = (host: CpuidLeaf[], cpu = "host", cpus = 1, index = 0) =>
  buildCpuid(host, { cpu, cpus, index, deadline: true });
const find = (leaves: CpuidLeaf[], number: number, index = 0) =>
  leaves.find((one) => one.function === number && one.index === index)!;

Deno.test("every feature has one name and one bit", () => {
  const places = FEATURE_NAMES.map((name) => {
    const { function: number, index, register, bit } = featureBit(name);
    assert.ok(bit >= 0 && bit < 32, name);
    return `${number} ${index} ${register} ${bit}`;
  });
  assert.equal(new Set(places).size, FEATURE_NAMES.length);
  // Anchors at the ends of the words, from the manuals.
  for (
    const [name, number, register, bit] of [
      ["pbe", 1, "edx", 31],
      ["avx", 1, "ecx", 28],
      ["hypervisor", 1, "ecx", 31],
      ["avx512vl", 7, "ebx", 31],
      ["pks", 7, "ecx", 31],
      ["ssbd", 7, "edx", 31],
      ["arch-capabilities", 7, "edx", 29],
      ["lm", 0x8000_0001, "edx", 29],
      ["nx", 0x8000_0001, "edx", 20],
      ["topoext", 0x8000_0001, "ecx", 22],
      ["invtsc", 0x8000_0007, "edx", 8],
      ["virt-ssbd", 0x8000_0008, "ebx", 25],
      ["kvm-msi-ext-dest-id", 0x4000_0001, "eax", 15],
      ["lam", 7, "eax", 26],
    ] as const
  ) {
    const at = featureBit(name);
    assert.deepEqual([at.function, at.register, at.bit], [number, register, bit], name);
  }
});

Deno.test("names are found in Linux's and QEMU's spelling", () => {
  assert.equal(findFeature("sse4.2"), "sse4-2");
  assert.equal(findFeature("SSE4_2"), "sse4-2");
  assert.equal(findFeature("pni"), "sse3");
  assert.equal(findFeature("sse5"), undefined);
});

Deno.test("host has what the host has, a hypervisor and the TSC-deadline timer", () => {
  const leaves = build(AMD);
  assert.equal(find(leaves, 1).ecx, 0xffff_ffff);
  assert.equal(find(leaves, 7).ebx, 0xffff_ffff);
  const bare = buildCpuid([leaf(0, [1, 0, 0, 0]), leaf(1, [0, 0, 0, 0])], {
    cpu: "host",
    cpus: 1,
    index: 0,
    deadline: true,
  });
  assert.equal(find(bare, 1).ecx, 0x8100_0000);
});

Deno.test("a feature is taken away with all that needs it, and with AMD's copy of its bit", () => {
  const leaves = build(AMD, "host,-xsave,-fxsr");
  for (const name of ["xsave", "avx", "avx2", "avx512f", "avx512vl", "fma", "xsaves", "sse2"]) {
    assert.equal(hasFeature(leaves, name), false, name);
  }
  for (const name of ["fpu", "mmx", "popcnt", "smep", "lm"]) {
    assert.equal(hasFeature(leaves, name), true, name);
  }
  assert.equal(find(leaves, 0x8000_0001).edx >>> 24 & 1, 0);
  assert.equal(AMD[1].ecx, 0x7eff_ffff, "the host's own table is not changed");
});

Deno.test("mistakes in the expression are named, with close names", () => {
  const host = (cpu: string) => () => build(INTEL, cpu);
  assert.throws(host("qemu64"), /Cannot use --cpu qemu64: there is no processor "qemu64"; write h/);
  assert.throws(host("host,-xsav"), /no feature "xsav"; did you mean xsave, xsavec, xsaves\?$/);
  assert.throws(host("host,-zzzzzz"), /no feature "zzzzzz"$/);
  assert.throws(host("host,avx"), /"avx" must begin with - or \+/);
  assert.throws(host("host,"), /"" must begin with/);
  assert.throws(host("host,+svm"), /this host's KVM does not offer svm to guests/);
  assert.doesNotThrow(host("host, +avx , -vmx"));
});

Deno.test("AMD topology: one package, APIC IDs by number (APM volume 3, E.4.7, E.4.15)", () => {
  const leaves = build(AMD, "host", 3, 2);
  assert.equal(find(leaves, 1).ebx, 0x0203_0800);
  assert.equal(find(leaves, 1).edx >>> 28 & 1, 1);
  assert.equal(find(leaves, 0x8000_0008).ecx, 0x2002);
  assert.equal(find(leaves, 0x8000_0001).ecx & 2, 2);
  assert.equal(find(leaves, 0x8000_001d).eax, 0x0000_0121);
  assert.equal(find(leaves, 0x8000_001d, 3).eax, 0x0000_c163);
  const { eax, ebx, ecx } = find(leaves, 0x8000_001e);
  assert.deepEqual([eax, ebx, ecx], [2, 2, 0]);
  assert.deepEqual(leaves.filter((one) => one.function === 0xb).map((one) => one.ecx), [
    0x100,
    0x201,
    2,
  ]);
});

Deno.test("Intel topology: leaves 1, 4, Bh and 1Fh (SDM volume 2, CPUID)", () => {
  const leaves = build(INTEL, "host", 4, 3);
  assert.equal(find(leaves, 1).ebx, 0x0304_0800);
  assert.equal(find(leaves, 4).eax, 0x0c00_0121);
  assert.equal(find(leaves, 4, 3).eax, 0x0c00_c163);
  assert.equal(find(leaves, 4, 4).eax, 0);
  for (const number of [0xb, 0x1f]) {
    assert.deepEqual([find(leaves, number).eax, find(leaves, number).ebx], [0, 1]);
    const core = find(leaves, number, 1);
    assert.deepEqual([core.eax, core.ebx, core.ecx, core.edx], [2, 4, 0x201, 3]);
  }
});

Deno.test("a single processor has no threads to tell apart", () => {
  const leaves = build(INTEL);
  assert.equal(find(leaves, 1).ebx, 0x0001_0800);
  assert.equal(find(leaves, 1).edx >>> 28 & 1, 0);
  assert.equal(find(leaves, 0xb, 1).eax, 0);
});

kvmTest("a guest's CPUID shows KVM's signature", () => {
  using machine = new TestMachine();
  machine.start([
    ...[0x66, 0xb8, 0x00, 0x00, 0x00, 0x40], // mov eax, 40000000h
    ...[0x0f, 0xa2], // cpuid
    ...[0x66, 0x89, 0xd8], // mov eax, ebx
    ...[0x66, 0xe7, 0xe0], // out 0E0h, eax
  ]);
  assert.equal(runToExit(machine.vcpu), Exit.port);
  assert.equal(accessValue(machine.vcpu), 0x4b4d_564b); // "KVMK"
});
