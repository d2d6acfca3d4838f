/**
 * CR0, CR2, CR3, CR4 and CR8, and what invalidates translations (Intel SDM volume 3, 2.5, 4.1 and
 * 4.10; volume 2: CLTS, INVLPG, INVPCID, LMSW, MOV, SMSW).
 *
 * Process-context identifiers are checked as the manual says but not kept: whatever loads CR3 forgets
 * all translations but those of global pages, which is allowed at any time (4.10.2.1).
 */

import { isCanonical } from "../memory/linear_address.ts";
import { ACCESS_L } from "../../cpu_state.ts";
import { cr4Bits } from "../../cr4_features.ts";
import { Status } from "../codegen/operation.ts";
import * as c from "../state/control_bits.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { EFER_LMA, PHYSICAL_BITS } from "../memory/paging.ts";
import { Seg } from "../state/state.ts";
import { checkUserMode, requirePrivilege, storeWord } from "./segments.ts";

const EFER_LME = 1 << 8;
const CR0_BITS = c.CR0_PE | c.CR0_MP | c.CR0_EM | c.CR0_TS | c.CR0_ET | c.CR0_NE | c.CR0_WP |
  c.CR0_AM | c.CR0_NW |
  c.CR0_CD | c.CR0_PG;

const CR3_PCID = 0xfffn;
/** With PCIDs: what is cached for this one need not be forgotten. */
const CR3_KEEP = 1n << 63n;

const protectionFault = (cpu: Cpu): never => fault(cpu.state, Vector.generalProtection, 0);

/** The service has changed what follows: on from the next instruction. */
export function goOn(cpu: Cpu): Status {
  cpu.state.rip = cpu.nextRip();
  return Status.enter;
}

/** Sets CR0 with its checks (SDM volume 3, 2.5, and 9.8.5 for long mode). */
function setCr0(cpu: Cpu, value: number): void {
  const { state } = cpu;
  const next = value & CR0_BITS | c.CR0_ET;
  const paging = (next & c.CR0_PG) !== 0;
  if (paging && (next & c.CR0_PE) === 0) protectionFault(cpu);
  if ((next & c.CR0_NW) !== 0 && (next & c.CR0_CD) === 0) protectionFault(cpu);
  if (!paging && (state.cr4 & c.CR4_PCIDE) !== 0) protectionFault(cpu);
  const was = (state.cr0 & c.CR0_PG) !== 0;
  const long = (state.efer & EFER_LME) !== 0;
  if (paging !== was && long) {
    if (paging) {
      const cs = state.segments[Seg.cs];
      if ((state.cr4 & c.CR4_PAE) === 0 || (cs.access & ACCESS_L) !== 0) protectionFault(cpu);
      state.efer |= EFER_LMA;
    } else {
      if (cpu.isLong64) protectionFault(cpu);
      state.efer &= ~EFER_LMA;
    }
  } else if (paging && !was) checkPointers(cpu, state.cr3, state.cr4);
  const wasReal = (state.cr0 & c.CR0_PE) === 0;
  state.cr0 = next;
  if (wasReal && (next & c.CR0_PE) !== 0) state.cpl = 0;
  cpu.flushTranslations();
  cpu.modeChanged();
}

function setCr4(cpu: Cpu, value: bigint): void {
  const { state } = cpu;
  if ((value & ~BigInt(cr4Bits(cpu.features) >>> 0)) !== 0n) protectionFault(cpu);
  const next = Number(value);
  const long = (state.efer & EFER_LMA) !== 0;
  if (long && (next & c.CR4_PAE) === 0) protectionFault(cpu);
  // 4.10.1: PCIDs come on in IA-32e mode, with the current one 0.
  const pcids = (next & ~state.cr4 & c.CR4_PCIDE) !== 0;
  if (pcids && (!long || (state.cr3 & CR3_PCID) !== 0n)) protectionFault(cpu);
  if ((state.cr0 & c.CR0_PG) !== 0 && !long) checkPointers(cpu, state.cr3, next);
  state.cr4 = next;
  cpu.breakpoints.update();
  cpu.flushTranslations();
  cpu.modeChanged();
}

function setCr3(cpu: Cpu, value: bigint): void {
  const { state } = cpu;
  if ((state.cr4 & c.CR4_PCIDE) !== 0) value &= ~CR3_KEEP;
  if (cpu.isLongMode && value >> BigInt(PHYSICAL_BITS) !== 0n) protectionFault(cpu);
  if ((state.cr0 & c.CR0_PG) !== 0 && !cpu.isLongMode) checkPointers(cpu, value, state.cr4);
  state.cr3 = value;
  cpu.flushContext();
}

/** PAE paging loads its four pointers at once, and refuses reserved bits in them (4.4.1). */
function checkPointers(cpu: Cpu, cr3: bigint, cr4: number): void {
  if ((cr4 & c.CR4_PAE) === 0) return;
  const table = Number(cr3 & 0xffff_ffe0n);
  for (let i = 0; i < 4; i++) {
    if (!cpu.memory.isPaePointerValid(table + i * 8)) protectionFault(cpu);
  }
}

function readControl(cpu: Cpu, n: number): bigint {
  const { state } = cpu;
  switch (n) {
    case 0:
      return BigInt(state.cr0 >>> 0);
    case 2:
      return state.cr2;
    case 3:
      return state.cr3;
    case 4:
      return BigInt(state.cr4 >>> 0);
    default:
      return BigInt(cpu.interrupts?.cr8 ?? state.cr8);
  }
}

function writeControl(cpu: Cpu, n: number, value: bigint): void {
  const { state } = cpu;
  switch (n) {
    case 0:
      if (value >> 32n !== 0n) protectionFault(cpu);
      return setCr0(cpu, Number(value & 0xffff_ffffn));
    case 2:
      state.cr2 = value;
      return;
    case 3:
      return setCr3(cpu, value);
    case 4:
      return setCr4(cpu, value);
    default:
      if (value > 15n) protectionFault(cpu);
      state.cr8 = Number(value);
      if (cpu.interrupts !== undefined) cpu.interrupts.cr8 = state.cr8;
  }
}

/** Kinds of INVPCID, the first operand. */
const Invalidate = { address: 0n, context: 1n, allWithGlobal: 2n, all: 3n } as const;

const invpcid: Service = (cpu) => {
  requirePrivilege(cpu);
  const { state } = cpu;
  const kind = cpu.readRegister(cpu.registerAt(0), cpu.isLong64 ? 64 : 32);
  const linear = cpu.operandLinear(16, false);
  const pcid = cpu.readData(linear, 8);
  const address = cpu.readData(BigInt.asUintN(64, linear + 8n), 8);
  const named = kind === Invalidate.address || kind === Invalidate.context;
  const isBad = kind > Invalidate.all || (pcid & ~CR3_PCID) !== 0n ||
    named && pcid !== 0n && (state.cr4 & c.CR4_PCIDE) === 0 ||
    kind === Invalidate.address && !isCanonical(address);
  if (isBad) protectionFault(cpu);
  // Only the current context has translations.
  if (kind === Invalidate.address) cpu.flushPage(address);
  else if (kind === Invalidate.allWithGlobal) cpu.flushTranslations();
  else cpu.flushContext();
  return goOn(cpu);
};

/** See above. */
export const CONTROL_SERVICES = {
  smsw: (cpu, call) => {
    checkUserMode(cpu);
    const narrow = call.hasMemory || call.size === 16;
    return storeWord(cpu, call, narrow ? cpu.state.cr0 & 0xffff : cpu.state.cr0 >>> 0);
  },
  lmsw: (cpu, call) => {
    requirePrivilege(cpu);
    const value = Number(cpu.readOperand(call, 16));
    const low = c.CR0_PE | c.CR0_MP | c.CR0_EM | c.CR0_TS;
    // PE can be set but not cleared.
    setCr0(cpu, cpu.state.cr0 & ~(low & ~c.CR0_PE) | value & low);
    return goOn(cpu);
  },
  clts: (cpu) => {
    requirePrivilege(cpu);
    cpu.state.cr0 &= ~c.CR0_TS;
    cpu.modeChanged();
    return Status.next;
  },
  movFromControl: (cpu) => {
    requirePrivilege(cpu);
    const value = readControl(cpu, Number(cpu.immediate));
    cpu.writeRegister(cpu.registerAt(0), cpu.isLong64 ? 64 : 32, value);
    return Status.next;
  },
  movToControl: (cpu) => {
    requirePrivilege(cpu);
    const value = cpu.readRegister(cpu.registerAt(0), cpu.isLong64 ? 64 : 32);
    // Where the next instruction is was decided before the mode changed.
    const next = cpu.nextRip();
    writeControl(cpu, Number(cpu.immediate), value);
    cpu.state.rip = next;
    return Status.enter;
  },
  invlpg: (cpu) => {
    requirePrivilege(cpu);
    cpu.flushPage(cpu.memoryLinearUnchecked(cpu.operandOffset()));
    return goOn(cpu);
  },
  invpcid,
} satisfies Readonly<Record<string, Service>>;
