/** Model-specific registers (Intel SDM volume 4; AMD APM volume 2, appendix A). */

import { CR0_PG } from "./control_bits.ts";
import type { Cpu } from "./cpu.ts";
import { EFER_LMA, EFER_NXE } from "./paging.ts";
import { Seg, type SoftState } from "./state.ts";
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
  [0x8b, 0n], // microcode revision
  [0xfe, 0x0508n], // MTRRcap: 8 variable ranges, fixed ranges, write combining
  [0x179, 0n], // MCG_CAP: no banks
  [0x17a, 0n], // MCG_STATUS
  [0x3a, 1n], // feature control: locked
  [0x10a, ARCH_CAPABILITIES],
]);

/** Those of them that cannot be written at all. */
const READ_ONLY: ReadonlySet<number> = new Set([0x3a, 0xfe, 0x10a]);

/** What a saved state lists. */
export const SAVED_MSRS: readonly number[] = [...WORDS.keys(), TSC_AUX, ...MTRRS];

const isCanonical = (value: bigint): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(48, value)) === value;

/** Each byte names a memory type. */
function areTypes(value: bigint): boolean {
  for (let i = 0n; i < 64n; i += 8n) {
    if (![0n, 1n, 4n, 5n, 6n, 7n].includes(value >> i & 0xffn)) return false;
  }
  return true;
}

/** The register's value, or undefined where there is none (#GP). */
export function readMsr(cpu: Cpu, index: number): bigint | undefined {
  const { state } = cpu;
  const word = WORDS.get(index);
  if (word !== undefined) return state[word.name] as bigint;
  const mtrr = MTRRS.indexOf(index);
  if (mtrr >= 0) return state.mtrrs[mtrr];
  switch (index) {
    case TSC:
      return readTsc(state);
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
  const word = WORDS.get(index);
  if (word?.kind === "address" && !isCanonical(value)) return false;
  if (word?.kind === "types" && !areTypes(value)) return false;
  if ((index === FS_BASE || index === GS_BASE) && !isCanonical(value)) return false;
  if (index === TSC_AUX && value >> 32n !== 0n) return false;
  if (index === EFER) return writeEfer(cpu, value);
  if (CONSTANTS.has(index)) return !READ_ONLY.has(index);
  return writeMsrUnchecked(cpu, index, value);
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
  switch (index) {
    case TSC:
      setTsc(state, value);
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
