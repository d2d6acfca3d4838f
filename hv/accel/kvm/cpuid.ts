/**
 * What a virtual processor answers to CPUID: what the host offers, less what the user took away,
 * with the machine's own topology.
 *
 * Topology: one package, one thread a core, APIC IDs equal to the processors' numbers. References:
 * Intel SDM volume 2, CPUID, leaves 1, 4, Bh, 1Fh; AMD APM volume 3, E.4.7, E.4.15-E.4.17.
 */

import { applyExpression } from "../cpu_expression.ts";
import { featureBit } from "../cpu_features.ts";
import type { CpuidLeaf } from "./cpuid_table.ts";

/** Which processor of which machine. */
export interface CpuidOptions {
  /** `host` followed by `-name` and `+name`, separated by commas. */
  readonly cpu: string;
  /** Processors of the machine. */
  readonly cpus: number;
  /** Number of this one. */
  readonly index: number;
  /** KVM's local APIC has the TSC-deadline mode, which it does not list as a feature. */
  readonly deadline: boolean;
}

const LEAF_1_ECX_TSC_DEADLINE = 1 << 24;
const LEAF_1_ECX_HYPERVISOR = 1 << 31;
const LEAF_1_EDX_HTT = 1 << 28;
const LEAF_80000001_ECX_CMP_LEGACY = 1 << 1;

/** Bits that hold the numbers 0 to `count` - 1. */
const bitsFor = (count: number): number => Math.ceil(Math.log2(count));

/**
 * The leaves of one processor.
 *
 * @throws Error for a mistake in the expression
 */
export function buildCpuid(supported: readonly CpuidLeaf[], options: CpuidOptions): CpuidLeaf[] {
  const leaves = supported.map((leaf) => ({ ...leaf }));
  const first = findLeaf(leaves, 1, 0);
  if (first !== undefined) {
    first.ecx = (first.ecx | LEAF_1_ECX_HYPERVISOR) >>> 0;
    if (options.deadline) first.ecx = (first.ecx | LEAF_1_ECX_TSC_DEADLINE) >>> 0;
  }
  applyExpression(options.cpu, {
    name: "this host's KVM",
    has: (feature) => hasFeature(leaves, feature),
    remove: (feature) => clearFeature(leaves, feature),
  });
  return withTopology(leaves, options);
}

function findLeaf(
  leaves: readonly CpuidLeaf[],
  leaf: number,
  index: number,
): CpuidLeaf | undefined {
  return leaves.find((one) => one.function === leaf && one.index === index);
}

/** Whether `leaves` have a feature of cpu_features.ts. */
export function hasFeature(leaves: readonly CpuidLeaf[], name: string): boolean {
  const at = featureBit(name);
  const leaf = findLeaf(leaves, at.function, at.index);
  return leaf !== undefined && (leaf[at.register] >>> at.bit & 1) !== 0;
}

function clearFeature(leaves: readonly CpuidLeaf[], name: string): void {
  const at = featureBit(name);
  const leaf = findLeaf(leaves, at.function, at.index);
  if (leaf !== undefined) leaf[at.register] = (leaf[at.register] & ~(1 << at.bit)) >>> 0;
  // AMD repeats the low bits of leaf 1 here.
  if (at.function === 1 && at.register === "edx") {
    const repeated = findLeaf(leaves, 0x8000_0001, 0);
    if (repeated !== undefined && isRepeated(at.bit) && isAmd(leaves)) {
      repeated.edx = (repeated.edx & ~(1 << at.bit)) >>> 0;
    }
  }
}

/** Bits 0-9, 12-17, 23 and 24 of 80000001h EDX mean the same as in leaf 1 (APM, E.4.2). */
function isRepeated(bit: number): boolean {
  return (0x0183_f3ff >>> bit & 1) !== 0;
}

function isAmd(leaves: readonly CpuidLeaf[]): boolean {
  const vendor = findLeaf(leaves, 0, 0)?.ebx;
  return vendor === 0x6874_7541 || vendor === 0x6f67_7948; // "Auth"enticAMD, "Hygo"nGenuine
}

function withTopology(leaves: CpuidLeaf[], { cpus, index }: CpuidOptions): CpuidLeaf[] {
  const kept = leaves.filter((leaf) => leaf.function !== 0xb && leaf.function !== 0x1f);
  for (const leaf of kept) {
    switch (leaf.function) {
      case 0x1:
        leaf.ebx = (index << 24 | Math.min(cpus, 255) << 16 | (leaf.ebx & 0xffff)) >>> 0;
        leaf.edx = cpus > 1 ? (leaf.edx | LEAF_1_EDX_HTT) >>> 0 : leaf.edx & ~LEAF_1_EDX_HTT;
        leaf.edx >>>= 0;
        break;
      case 0x4:
        leaf.eax = cacheSharing(leaf, cpus) | (Math.min(cpus - 1, 63) << 26);
        if ((leaf.eax & 0x1f) === 0) leaf.eax = 0; // the entry that ends the list
        leaf.eax >>>= 0;
        break;
      case 0x8000_0001:
        leaf.ecx = cpus > 1 && isAmd(leaves)
          ? (leaf.ecx | LEAF_80000001_ECX_CMP_LEGACY) >>> 0
          : leaf.ecx & ~LEAF_80000001_ECX_CMP_LEGACY;
        leaf.ecx >>>= 0;
        break;
      case 0x8000_0008:
        if (isAmd(leaves)) {
          leaf.ecx = (leaf.ecx & ~0xf0ff | bitsFor(cpus) << 12 | Math.min(cpus - 1, 255)) >>> 0;
        }
        break;
      case 0x8000_001d:
        if ((leaf.eax & 0x1f) !== 0) leaf.eax = cacheSharing(leaf, cpus) >>> 0;
        break;
      case 0x8000_001e:
        leaf.eax = index;
        leaf.ebx = index & 0xff; // one thread a core
        leaf.ecx = 0; // one node
        break;
    }
  }
  const highest = findLeaf(kept, 0, 0)?.eax ?? 0;
  if (highest >= 0xb) kept.push(...extendedTopology(0xb, cpus, index));
  if (highest >= 0x1f) kept.push(...extendedTopology(0x1f, cpus, index));
  return kept;
}

/** EAX of a cache's leaf: levels 1 and 2 belong to a core, level 3 is shared by all. */
function cacheSharing(leaf: CpuidLeaf, cpus: number): number {
  const level = leaf.eax >>> 5 & 7;
  const sharing = level >= 3 ? (1 << bitsFor(cpus)) - 1 : 0;
  return (leaf.eax & 0x3fff) | (sharing << 14);
}

function extendedTopology(leaf: number, cpus: number, index: number): CpuidLeaf[] {
  const level = (subleaf: number, shift: number, count: number, type: number): CpuidLeaf => ({
    function: leaf,
    index: subleaf,
    flags: 1,
    eax: shift,
    ebx: count,
    ecx: type << 8 | subleaf,
    edx: index,
  });
  const SMT = 1;
  const CORE = 2;
  return [level(0, 0, 1, SMT), level(1, bitsFor(cpus), cpus, CORE), level(2, 0, 0, 0)];
}
