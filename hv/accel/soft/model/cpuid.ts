/**
 * What the processor answers to CPUID: exactly what it can do (Intel SDM volume 2, CPUID).
 */

import { applyExpression } from "../../cpu_expression.ts";
import { type CpuidRegister, featureBit } from "../../cpu_features.ts";
import { KVM_SIGNATURE } from "./kvm_clock.ts";
import { PHYSICAL_BITS } from "../memory/paging.ts";
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
  "syscall",
  "nx",
  "pdpe1gb",
  "rdtscp",
  "lm",
  "lahf-lm",
  "3dnowprefetch",
  "kvmclock",
  "kvm-nopiodelay",
  "kvmclock2",
  "kvmclock-stable-bit",
]);

/**
 * Features that must be asked for. `invtsc` promises a rate that never changes, which it does when the
 * guest moves to KVM; systems that know KVM's clock take the counter itself where they see the promise.
 */
const ON_REQUEST: ReadonlySet<string> = new Set(["invtsc"]);

/** What a processor has that is to be as `expression` says. @throws {CpuError} */
export function featuresOf(expression: string): ReadonlySet<string> {
  const features = new Set(FEATURES);
  applyExpression(expression, {
    name: "the software CPU",
    has: (feature) => features.has(feature),
    remove: (feature) => features.delete(feature),
    add: (feature) => ON_REQUEST.has(feature) && features.add(feature).has(feature),
  });
  return features;
}

/** What XCR0 may have: x87 and SSE. */
export const XCR0_BITS = 0b11;
/** Bytes of an XSAVE area: the FXSAVE image and the header. */
export const XSAVE_BYTES = 576;

/** The bits of the features of a processor, by leaf, subleaf and register. */
export class FeatureWords {
  readonly #words = new Map<string, number>();

  constructor(features: ReadonlySet<string>) {
    for (const name of features) {
      const { function: leaf, index, register, bit } = featureBit(name);
      const key = `${leaf}.${index}.${register}`;
      this.#words.set(key, (this.#words.get(key) ?? 0) | 1 << bit);
    }
  }

  /** A register of `leaf`, of its subleaf `index`. */
  word(leaf: number, index: number, register: CpuidRegister): number {
    return this.#words.get(`${leaf}.${index}.${register}`) ?? 0;
  }
}

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
  { index, cpus, osxsave, apic, words }: {
    readonly index: number;
    readonly cpus: number;
    readonly osxsave: boolean;
    /** The local APIC is enabled: its bits are clear otherwise (SDM volume 3, 11.4.3). */
    readonly apic: boolean;
    readonly words: FeatureWords;
  },
): Leaf {
  const kvm = words.word(0x4000_0001, 0, "eax");
  switch (leaf >>> 0) {
    case 0:
      return [0x15, letters(VENDOR, 0), letters(VENDOR, 8), letters(VENDOR, 4)];
    case 1:
      return [
        SIGNATURE,
        index << 24 | Math.min(idsOf(cpus), 255) << 16 | 8 << 8,
        words.word(1, 0, "ecx") & ~(apic ? 0 : X2APIC | TSC_DEADLINE) | (osxsave ? 1 << 27 : 0),
        words.word(1, 0, "edx") & ~(apic ? 0 : APIC) | (cpus > 1 ? 1 << 28 : 0),
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
      return subleaf === 0
        ? [0, words.word(7, 0, "ebx"), words.word(7, 0, "ecx"), words.word(7, 0, "edx")]
        : [0, 0, 0, 0];
    case 0x15: // the time-stamp counter runs at the rate of the crystal
      return [1, 1, TSC_HZ, 0];
    case 0xd:
      if (subleaf === 0) return [XCR0_BITS, XSAVE_BYTES, XSAVE_BYTES, 0];
      return subleaf === 1 ? [words.word(0xd, 1, "eax"), XSAVE_BYTES, 0, 0] : [0, 0, 0, 0];
    case 0x4000_0000: {
      if (kvm === 0) return [0, 0, 0, 0];
      const at = (n: number) => letters(KVM_SIGNATURE, n);
      return [0x4000_0001, at(0), at(4), at(8)];
    }
    case 0x4000_0001:
      return [kvm, 0, 0, 0];
    case 0x8000_0000:
      return [0x8000_0008 | 0, 0, 0, 0];
    case 0x8000_0001:
      return [0, 0, words.word(0x8000_0001, 0, "ecx"), words.word(0x8000_0001, 0, "edx")];
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
      return [0, 0, 0, words.word(0x8000_0007, 0, "edx")];
    case 0x8000_0008:
      return [PHYSICAL_BITS | 48 << 8, 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}
