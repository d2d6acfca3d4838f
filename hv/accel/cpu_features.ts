/**
 * Names of the CPUID feature bits, as Linux and QEMU write them, with `-` for `_` and `.`.
 *
 * References: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; for leaf 40000001h the
 * kernel's Documentation/virt/kvm/x86/cpuid.rst.
 */

import { editDistance } from "../core/edit_distance.ts";

/** A register of a CPUID leaf. */
export type CpuidRegister = "eax" | "ebx" | "ecx" | "edx";

/** Where a feature's bit lies. */
export interface FeatureBit {
  readonly function: number;
  readonly index: number;
  readonly register: CpuidRegister;
  /** 0 to 31. */
  readonly bit: number;
}

/** Leaf, subleaf, register, and the names of its bits from 0; `.` is a bit without a name. */
const WORDS: readonly (readonly [number, number, CpuidRegister, string])[] = [
  [
    0x1,
    0,
    "edx",
    "fpu vme de pse tsc msr pae mce cx8 apic . sep mtrr pge mca cmov pat pse36 pn clflush . ds " +
    "acpi mmx fxsr sse sse2 ss ht tm ia64 pbe",
  ],
  [
    0x1,
    0,
    "ecx",
    "sse3 pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm . pcid " +
    "dca sse4-1 sse4-2 x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor",
  ],
  [
    0x7,
    0,
    "ebx",
    "fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excptn-only smep bmi2 erms invpcid rtm cqm " +
    "zero-fcs-fds mpx rdt-a avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt clwb " +
    "intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl",
  ],
  [
    0x7,
    0,
    "ecx",
    "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512-vbmi2 shstk gfni vaes vpclmulqdq " +
    "avx512-vnni avx512-bitalg tme avx512-vpopcntdq . la57 . . . . . rdpid . bus-lock-detect " +
    "cldemote . movdiri movdir64b enqcmd sgx-lc pks",
  ],
  [
    0x7,
    0,
    "edx",
    ". . avx512-4vnniw avx512-4fmaps fsrm uintr . . avx512-vp2intersect srbds-ctrl md-clear " +
    "rtm-always-abort . tsx-force-abort serialize hybrid tsxldtrk . pconfig arch-lbr ibt . " +
    "amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp flush-l1d arch-capabilities " +
    "core-capability ssbd",
  ],
  [
    0x7,
    1,
    "eax",
    "sha512 sm3 sm4 . avx-vnni avx512-bf16 . cmpccxadd . . fzrm fsrs fsrc . . . . fred lkgs wrmsrns " +
    ". amx-fp16 hreset avx-ifma . . lam",
  ],
  [0xd, 1, "eax", "xsaveopt xsavec xgetbv1 xsaves xfd"],
  [
    0x8000_0001,
    0,
    "edx",
    ". . . . . . . . . . . syscall . . . . . . . mp nx . mmxext . . fxsr-opt pdpe1gb rdtscp . lm " +
    "3dnowext 3dnow",
  ],
  [
    0x8000_0001,
    0,
    "ecx",
    "lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop " +
    "skinit wdt . lwp fma4 tce . nodeid-msr . tbm topoext perfctr-core perfctr-nb . . ptsc . mwaitx",
  ],
  [0x8000_0007, 0, "edx", ". . . . . . . . invtsc"],
  [
    0x8000_0008,
    0,
    "ebx",
    "clzero . xsaveerptr . rdpru . . . . wbnoinvd . . ibpb . ibrs amd-stibp . stibp-always-on . . . " +
    ". . amd-ppin amd-ssbd virt-ssbd amd-no-ssb cppc amd-psfd",
  ],
  [
    0x4000_0001,
    0,
    "eax",
    "kvmclock kvm-nopiodelay kvm-mmu kvmclock2 kvm-asyncpf kvm-steal-time kvm-pv-eoi " +
    "kvm-pv-unhalt . kvm-pv-tlb-flush kvm-asyncpf-vmexit kvm-pv-ipi kvm-poll-control " +
    "kvm-pv-sched-yield kvm-asyncpf-int kvm-msi-ext-dest-id . . . . . . . . kvmclock-stable-bit",
  ],
];

/** Other spellings. */
const ALIASES: Readonly<Record<string, string>> = {
  pni: "sse3",
  sha: "sha-ni",
  lzcnt: "abm",
  "tsc-deadline-timer": "tsc-deadline",
  cmpxchg16b: "cx16",
  cmpxchg8b: "cx8",
  long: "lm",
};

/** Features that make no sense without another one: they go with it. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  fxsr: ["sse"],
  sse: ["sse2"],
  sse2: ["sse3", "aes", "pclmulqdq", "sha-ni", "gfni"],
  sse3: ["ssse3"],
  ssse3: ["sse4-1"],
  "sse4-1": ["sse4-2"],
  "sse4-2": ["avx"],
  xsave: ["osxsave", "avx", "pku", "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd"],
  avx: ["avx2", "fma", "f16c", "xop", "fma4", "vaes", "vpclmulqdq", "avx-vnni", "avx-ifma"],
  avx2: ["avx512f"],
  avx512f: [
    "avx512dq",
    "avx512ifma",
    "avx512pf",
    "avx512er",
    "avx512cd",
    "avx512bw",
    "avx512vl",
    "avx512vbmi",
    "avx512-vbmi2",
    "avx512-vnni",
    "avx512-bitalg",
    "avx512-vpopcntdq",
    "avx512-4vnniw",
    "avx512-4fmaps",
    "avx512-vp2intersect",
    "avx512-fp16",
    "avx512-bf16",
  ],
  xsavec: ["xsaves"],
  apic: ["x2apic", "tsc-deadline"],
  // A guest that sees no hypervisor does not look for one.
  hypervisor: WORDS.find(([leaf]) => leaf === 0x4000_0001)![3].split(" ")
    .filter((name) => name !== "."),
  kvmclock2: ["kvmclock-stable-bit"],
  lm: ["la57", "lahf-lm", "cx16", "fsgsbase", "syscall", "pcid"],
};

const bits = new Map<string, FeatureBit>();
for (const [leaf, index, register, names] of WORDS) {
  names.split(" ").forEach((name, bit) => {
    if (name !== ".") bits.set(name, { function: leaf, index, register, bit });
  });
}

/** The names of all features, in the order of their leaves and bits. */
export const FEATURE_NAMES: readonly string[] = [...bits.keys()];

/** The feature's name as the table has it, or undefined. */
export function findFeature(name: string): string | undefined {
  const plain = name.toLowerCase().replaceAll(/[_.]/g, "-");
  const known = ALIASES[plain] ?? plain;
  return bits.has(known) ? known : undefined;
}

/** Where the bit of a feature in the table lies. */
export function featureBit(name: string): FeatureBit {
  return bits.get(name)!;
}

/** The feature and all that need it. */
export function withDependents(name: string): Set<string> {
  const all = new Set([name]);
  // The set grows while it is walked, which visits the additions as well.
  for (const one of all) for (const other of NEEDS[one] ?? []) all.add(other);
  return all;
}

/** The names nearest to a mistyped one, best first, at most three. */
export function closeNames(name: string): string[] {
  const plain = name.toLowerCase().replaceAll(/[_.]/g, "-");
  return FEATURE_NAMES
    .map((candidate) => ({ candidate, distance: editDistance(plain, candidate) }))
    .filter(({ candidate, distance }) => distance <= 2 || candidate.startsWith(plain))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}
