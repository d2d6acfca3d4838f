/** Model-specific registers (Intel SDM volume 4; AMD APM volume 2, appendix A). */

import { isCanonical } from "../memory/linear_address.ts";
import { CR0_PG } from "../state/control_bits.ts";
import type { Cpu } from "../cpu.ts";
import { KVM_CLOCK_MSRS } from "./kvm_clock.ts";
import { EFER_LMA, EFER_NXE, PHYSICAL_BITS } from "../memory/paging.ts";
import { Pending, Seg, type SoftState } from "../state/state.ts";
import { readTsc, setTsc } from "./time_stamp.ts";

const EFER_SCE = 1 << 0;
const EFER_LME = 1 << 8;

/** Registers that are plain 64-bit words of the state. */
const WORDS: ReadonlyMap<number, { readonly name: keyof SoftState & string; readonly kind: Kind }> =
  new Map([
    [0x174, { name: "sysenterCs", kind: "any" }],
    [0x175, { name: "sysenterEsp", kind: "address" }],
    [0x176, { name: "sysenterEip", kind: "address" }],
    [0x1a0, { name: "miscEnable", kind: "any" }],
    [0x3b, { name: "tscAdjust", kind: "any" }],
    [0x277, { name: "pat", kind: "types" }],
    [0x2ff, { name: "mtrrDefault", kind: "any" }],
    [0xc000_0081, { name: "star", kind: "any" }],
    [0xc000_0082, { name: "lstar", kind: "address" }],
    [0xc000_0083, { name: "cstar", kind: "address" }],
    [0xc000_0084, { name: "fmask", kind: "any" }],
    [0xc000_0102, { name: "kernelGsBase", kind: "address" }],
  ]);
type Kind = "any" | "address" | "types";

const TSC = 0x10;
const TSC_ADJUST = 0x3b;
const DEBUGCTL = 0x1d9;
const MTRR_DEFAULT = 0x2ff;
const FIRST_FIXED_MTRR = 0x250;
const APIC_BASE = 0x1b;
const EFER = 0xc000_0080;
const FS_BASE = 0xc000_0100;
const GS_BASE = 0xc000_0101;
const TSC_AUX = 0xc000_0103;

/** Fixed and variable memory type ranges, in the order of `SoftState.mtrrs`. */
const MTRRS: readonly number[] = [
  ...Array.from({ length: 16 }, (_, i) => 0x200 + i),
  0x250,
  0x258,
  0x259,
  ...Array.from({ length: 8 }, (_, i) => 0x268 + i),
];

/**
 * IA32_ARCH_CAPABILITIES: nothing is executed speculatively, so that no data leak by it: RDCL_NO,
 * SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO,
 * BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO.
 */
const ARCH_CAPABILITIES = [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27]
  .reduce((bits, bit) => bits | 1n << BigInt(bit), 0n);

/** Registers that read as a constant; what is written to the second kind is dropped. */
const CONSTANTS: ReadonlyMap<number, bigint> = new Map([
  [0x17, 0n], // IA32_PLATFORM_ID
  // Of old families, but read by systems that look at the family alone.
  [0x2a, 0n], // EBL_CR_POWERON
  [0x2c, 1n << 24n], // EBC_FREQUENCY_ID
  [0xcd, 3n], // FSB_FREQ
  [0xce, 10n << 8n], // PLATFORM_INFO: 10 times 100 MHz
  [0x11e, 0xbe70_2111n], // BBL_CR_CTL3: a second-level cache, configured and on
  [0x198, 1000n | 4n << 40n], // IA32_PERF_STATUS
  [0x1d9, 0n], // IA32_DEBUGCTL: no branch records
  [0x1db, 0n], // last branch and exception records
  [0x1dc, 0n],
  [0x1dd, 0n],
  [0x1de, 0n],
  [0x8b, 0n], // microcode revision
  [0xfe, 0x0508n], // MTRRcap: 8 variable ranges, fixed ranges, write combining
  [0x179, 0n], // MCG_CAP: no banks
  [0x17a, 0n], // MCG_STATUS
  [0x3a, 1n], // feature control: locked
  [0x10a, ARCH_CAPABILITIES],
]);

/** Those of them that cannot be written at all. */
const READ_ONLY: ReadonlySet<number> = new Set([0x3a, 0xce, 0xfe, 0x10a, 0x198]);

/** What a saved state lists. */
export const savedMsrs = ({ features }: Cpu): readonly number[] => [
  ...WORDS.keys(),
  TSC_AUX,
  ...MTRRS,
  ...[...KVM_CLOCK_MSRS].filter(([, feature]) => features.has(feature)).map(([index]) => index),
];

/** Is `index` one of KVM's clock, and announced? */
function isKvmClock({ features }: Cpu, index: number): boolean {
  const feature = KVM_CLOCK_MSRS.get(index);
  return feature !== undefined && features.has(feature);
}

/** A memory type of the range registers. */
const isType = (value: bigint): boolean => [0n, 1n, 4n, 5n, 6n].includes(value);
/** The page attribute table has UC- as well. */
const isPageType = (value: bigint): boolean => value === 7n || isType(value);

function everyByte(value: bigint, is: (byte: bigint) => boolean): boolean {
  for (let i = 0n; i < 64n; i += 8n) if (!is(value >> i & 0xffn)) return false;
  return true;
}

/** The register's value, or undefined where there is none (#GP). */
export function readMsr(cpu: Cpu, index: number): bigint | undefined {
  const { state, interrupts } = cpu;
  if (interrupts?.hasMsr(index)) return interrupts.readMsr(index);
  const word = WORDS.get(index);
  if (word !== undefined) return state[word.name] as bigint;
  const mtrr = MTRRS.indexOf(index);
  if (mtrr >= 0) return state.mtrrs[mtrr];
  if (isKvmClock(cpu, index)) return cpu.kvmClock.read(index);
  switch (index) {
    case TSC:
      return readTsc(cpu);
    case APIC_BASE:
      return state.apicBase;
    case EFER:
      return BigInt(state.efer);
    case FS_BASE:
      return state.segments[Seg.fs].base;
    case GS_BASE:
      return state.segments[Seg.gs].base;
    case TSC_AUX:
      return BigInt(state.tscAux);
    default:
      return CONSTANTS.get(index);
  }
}

/** Sets a register; false where that is not allowed (#GP). */
export function writeMsr(cpu: Cpu, index: number, value: bigint): boolean {
  const { state, interrupts } = cpu;
  if (interrupts?.hasMsr(index)) return interrupts.writeMsr(index, value);
  const word = WORDS.get(index);
  if (word?.kind === "address" && !isCanonical(value)) return false;
  if (word?.kind === "types" && !everyByte(value, isPageType)) return false;
  if ((index === FS_BASE || index === GS_BASE) && !isCanonical(value)) return false;
  if (index === TSC_AUX && value >> 32n !== 0n) return false;
  if (index === EFER) return writeEfer(cpu, value);
  if (index === DEBUGCTL && value !== 0n) return false;
  if (CONSTANTS.has(index)) return !READ_ONLY.has(index);
  if (!isMemoryTypeValid(index, value)) return false;
  if (isKvmClock(cpu, index)) {
    cpu.kvmClock.write(index, value);
    return true;
  }
  if (index === TSC_ADJUST) return adjustTsc(cpu, value - state.tscAdjust);
  if (index === TSC) return adjustTsc(cpu, value - readTsc(cpu));
  return writeMsrUnchecked(cpu, index, value);
}

/** Moves the time-stamp counter, and IA32_TSC_ADJUST with it (SDM volume 3, 18.17.3). */
function adjustTsc(cpu: Cpu, by: bigint): true {
  const { state, interrupts } = cpu;
  state.tscOffset = BigInt.asUintN(64, state.tscOffset + by);
  state.tscAdjust = BigInt.asUintN(64, state.tscAdjust + by);
  interrupts?.tscChanged();
  cpu.requestAll(Pending.clock);
  return true;
}

/** Reserved bits and types of the memory type range registers (SDM volume 3, 11.11.2). */
function isMemoryTypeValid(index: number, value: bigint): boolean {
  const address = (1n << BigInt(PHYSICAL_BITS)) - 1n & ~0xfffn;
  if (index === MTRR_DEFAULT) return (value & ~0xcffn) === 0n && isType(value & 0xffn);
  if (!MTRRS.includes(index)) return true;
  if (index >= FIRST_FIXED_MTRR) return everyByte(value, isType);
  const isMask = (index & 1) !== 0;
  if (isMask) return (value & ~(address | 1n << 11n)) === 0n;
  return (value & ~(address | 0xffn)) === 0n && isType(value & 0xffn);
}

function writeEfer(cpu: Cpu, value: bigint): boolean {
  const { state } = cpu;
  const allowed = BigInt(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
  if ((value & ~allowed) !== 0n) return false;
  const next = Number(value) & ~EFER_LMA | state.efer & EFER_LMA;
  if (((next ^ state.efer) & EFER_LME) !== 0 && (state.cr0 & CR0_PG) !== 0) return false;
  state.efer = next;
  cpu.flushTranslations();
  return true;
}

/** Sets a register as a restored state has it; false where there is none. */
export function writeMsrUnchecked(cpu: Cpu, index: number, value: bigint): boolean {
  const { state } = cpu;
  const word = WORDS.get(index);
  if (word !== undefined) {
    (state as unknown as Record<string, bigint>)[word.name] = value;
    return true;
  }
  const mtrr = MTRRS.indexOf(index);
  if (mtrr >= 0) {
    state.mtrrs[mtrr] = value;
    return true;
  }
  if (isKvmClock(cpu, index)) {
    cpu.kvmClock.restore(index, value);
    return true;
  }
  switch (index) {
    case TSC:
      setTsc(cpu, value);
      return true;
    case APIC_BASE:
      state.apicBase = value;
      return true;
    case FS_BASE:
      state.segments[Seg.fs].base = value;
      return true;
    case GS_BASE:
      state.segments[Seg.gs].base = value;
      return true;
    case TSC_AUX:
      state.tscAux = Number(value & 0xffff_ffffn);
      return true;
    default:
      return false;
  }
}
