/**
 * What the processor answers to CPUID: exactly what it can do (Intel SDM volume 2, CPUID).
 */

import { PHYSICAL_BITS } from "./paging.ts";
import { TSC_HZ } from "./time_stamp.ts";

/** Family 6, model 44, stepping 2: a name for "64 bits, nothing unusual". */
export const SIGNATURE = 0x0002_06c2;

/** Features whose bits are set, and whose instructions the decoder knows. */
export const FEATURES: ReadonlySet<string> = new Set([
  "fpu",
  "vme",
  "de",
  "pse",
  "tsc",
  "msr",
  "pae",
  "mce",
  "cx8",
  "sep",
  "mtrr",
  "pge",
  "mca",
  "cmov",
  "pat",
  "pse36",
  "clflush",
  "fxsr",
  "mmx",
  "sse",
  "sse2",
  "sse3",
  "ssse3",
  "sse4-1",
  "sse4-2",
  "aes",
  "pclmulqdq",
  "cx16",
  "pcid",
  "movbe",
  "popcnt",
  "xsave",
  "hypervisor",
  "fsgsbase",
  "tsc-adjust",
  "bmi1",
  "bmi2",
  "smep",
  "invpcid",
  "smap",
  "umip",
  "clflushopt",
  "clwb",
  "rdpid",
  "arch-capabilities",
  "apic",
  "x2apic",
  "tsc-deadline",
  "adx",
  "rdrand",
  "rdseed",
  "abm",
  "xsaveopt",
  "xsavec",
  "xgetbv1",
]);

/** Bits of the leaves, by the names above. */
const BITS: Readonly<Record<string, readonly string[]>> = {
  "1.edx":
    "fpu vme de pse tsc msr pae mce cx8 apic . sep mtrr pge mca cmov pat pse36 psn clflush . ds acpi mmx fxsr sse sse2 ss"
      .split(" "),
  "1.ecx":
    "sse3 pclmulqdq . monitor . vmx . . . ssse3 . . fma cx16 . . . pcid . sse4-1 . x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor"
      .split(" "),
  "7.ebx":
    "fsgsbase tsc-adjust . bmi1 . avx2 . smep bmi2 erms invpcid . . . . . . . rdseed adx smap . . clflushopt clwb"
      .split(" "),
  "7.ecx": ". . umip . . . . . . . . . . . . . . . . . . . rdpid".split(" "),
  "7.edx": [...Array<string>(29).fill("."), "arch-capabilities"],
  "d1.eax": "xsaveopt xsavec xgetbv1 xsaves".split(" "),
};

/** What XCR0 may have: x87 and SSE. */
export const XCR0_BITS = 0b11;
/** Bytes of an XSAVE area: the FXSAVE image and the header. */
export const XSAVE_BYTES = 576;

function word(key: string): number {
  let bits = 0;
  BITS[key].forEach((name, bit) => {
    if (FEATURES.has(name)) bits |= 1 << bit;
  });
  return bits;
}

const LEAF_80000001_EDX = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29;
/** LAHF and SAHF in 64-bit mode, LZCNT, PREFETCHW. */
const LEAF_80000001_ECX = 1 << 0 | 1 << 5 | 1 << 8;
const BRAND = "hv software CPU".padEnd(48, "\0");
const VENDOR = "GenuineIntel";

/** Four letters as a little-endian word. */
const letters = (text: string, at: number): number =>
  text.charCodeAt(at) | text.charCodeAt(at + 1) << 8 | text.charCodeAt(at + 2) << 16 |
  text.charCodeAt(at + 3) << 24;

/** Caches as programs size their blocks by them: kind (1 data, 2 code, 3 both), level, ways, sets. */
const CACHES = [
  { kind: 1, level: 1, ways: 8, sets: 64, isShared: false },
  { kind: 2, level: 1, ways: 8, sets: 64, isShared: false },
  { kind: 3, level: 2, ways: 8, sets: 1024, isShared: false },
  { kind: 3, level: 3, ways: 16, sets: 8192, isShared: true },
] as const;
const LINE_BYTES = 64;
/** Leaf 2: "leaf 4 tells". */
const DESCRIPTORS_IN_LEAF_4 = 0xff01;

/** Leaf 4: one of the caches; processors of one machine are the cores of one package. */
function cache(n: number, cpus: number): Leaf {
  const one = CACHES[n];
  if (one === undefined) return [0, 0, 0, 0];
  const { kind, level, ways, sets, isShared } = one;
  const selfInitializing = 1 << 8;
  const sharing = (isShared ? idsOf(cpus) - 1 : 0) << 14;
  const cores = Math.min(idsOf(cpus) - 1, 63) << 26;
  const a = kind | level << 5 | selfInitializing | sharing | cores;
  return [a, LINE_BYTES - 1 | (ways - 1) << 22, sets - 1, 0];
}

/** Bits of an APIC ID that tell the processors of the package apart. */
const idBits = (cpus: number): number => Math.ceil(Math.log2(cpus));
const idsOf = (cpus: number): number => 1 << idBits(cpus);

/** Leaf 0Bh: threads of a core (one), cores of the package. */
function topology(subleaf: number, index: number, cpus: number): Leaf {
  const level = subleaf & 0xff;
  switch (subleaf) {
    case 0:
      return [0, 1, 1 << 8 | level, index];
    case 1:
      return [idBits(cpus), cpus, 2 << 8 | level, index];
    default:
      return [0, 0, level, index];
  }
}

type Leaf = readonly [eax: number, ebx: number, ecx: number, edx: number];

const APIC = 1 << 9;
const X2APIC = 1 << 21;
const TSC_DEADLINE = 1 << 24;

/** EAX, EBX, ECX and EDX for a leaf. */
export function cpuid(
  leaf: number,
  subleaf: number,
  { index, cpus, osxsave, apic }: {
    readonly index: number;
    readonly cpus: number;
    readonly osxsave: boolean;
    /** The local APIC is enabled: its bits are clear otherwise (SDM volume 3, 11.4.3). */
    readonly apic: boolean;
  },
): Leaf {
  switch (leaf >>> 0) {
    case 0:
      return [0x15, letters(VENDOR, 0), letters(VENDOR, 8), letters(VENDOR, 4)];
    case 1:
      return [
        SIGNATURE,
        index << 24 | Math.min(idsOf(cpus), 255) << 16 | 8 << 8,
        word("1.ecx") & ~(apic ? 0 : X2APIC | TSC_DEADLINE) | (osxsave ? 1 << 27 : 0),
        word("1.edx") & ~(apic ? 0 : APIC) | (cpus > 1 ? 1 << 28 : 0),
      ];
    case 2:
      return [DESCRIPTORS_IN_LEAF_4, 0, 0, 0];
    case 4:
      return cache(subleaf, cpus);
    case 6:
      return [1 << 2, 0, 0, 0]; // the local APIC's timer always runs
    case 0xb:
      return topology(subleaf, index, cpus);
    case 7:
      return subleaf === 0 ? [0, word("7.ebx"), word("7.ecx"), word("7.edx")] : [0, 0, 0, 0];
    case 0x15: // the time-stamp counter runs at the rate of the crystal
      return [1, 1, TSC_HZ, 0];
    case 0xd:
      if (subleaf === 0) return [XCR0_BITS, XSAVE_BYTES, XSAVE_BYTES, 0];
      return subleaf === 1 ? [word("d1.eax"), XSAVE_BYTES, 0, 0] : [0, 0, 0, 0];
    case 0x8000_0000:
      return [0x8000_0008 | 0, 0, 0, 0];
    case 0x8000_0001:
      return [0, 0, LEAF_80000001_ECX, LEAF_80000001_EDX];
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = ((leaf >>> 0) - 0x8000_0002) * 16;
      return [
        letters(BRAND, at),
        letters(BRAND, at + 4),
        letters(BRAND, at + 8),
        letters(BRAND, at + 12),
      ];
    }
    case 0x8000_0007:
      return [0, 0, 0, 1 << 8]; // invariant TSC
    case 0x8000_0008:
      return [PHYSICAL_BITS | 48 << 8, 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}
