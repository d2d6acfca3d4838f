/**
 * Segment registers, descriptor tables and their checks (Intel SDM volume 2: ARPL, LAR, LDS..., LGDT,
 * LIDT, LLDT, LSL, LTR, MOV, POP, PUSH, SGDT, SIDT, SLDT, STR, VERR, VERW).
 */

import { isCanonical } from "../memory/linear_address.ts";
import { Status } from "../codegen/operation.ts";
import { CR4_UMIP } from "../state/control_bits.ts";
import type { Cpu, Service } from "../cpu.ts";
import type { ServiceCall } from "../operands.ts";
import { fault, Vector } from "../events/faults.ts";
import { ZF } from "../state/flags_word.ts";
import {
  type Descriptor,
  dplOf,
  findDescriptor,
  isCode,
  isConforming,
  isPresent,
  isSystem,
  loadSegment,
  readDescriptor,
  setNull,
  setSegment,
  setSystemType,
  SystemType,
  withUpperBase,
} from "../state/segments.ts";
import { Seg } from "../state/state.ts";

const SHADOW_SS = 1;

/** After a load of SS by MOV or POP the next instruction comes without interrupts. */
function finishLoad(cpu: Cpu, segment: number): Status {
  if (segment === Seg.ss) cpu.state.shadow |= SHADOW_SS;
  cpu.state.rip = cpu.nextRip();
  return Status.enter;
}

export function requirePrivilege(cpu: Cpu): void {
  if (cpu.state.cpl !== 0) fault(cpu.state, Vector.generalProtection, 0);
}

/** #UD where there are no protected-mode segments. */
function requireProtected(cpu: Cpu): void {
  if (!cpu.isProtected || cpu.isVirtual8086) fault(cpu.state, Vector.undefinedOpcode);
}

const selectorOperand = (cpu: Cpu, call: ServiceCall): number => Number(cpu.readOperand(call, 16));

const setZf = (cpu: Cpu, value: boolean): void => {
  cpu.flags = value ? cpu.flags | ZF : cpu.flags & ~ZF;
};

/** SLDT, STR, SMSW, MOV from a segment: 16 bits to memory, all of a register. */
export function storeWord(cpu: Cpu, call: ServiceCall, value: number): Status {
  cpu.writeOperand(call, call.hasMemory ? 16 : call.size, BigInt(value));
  return Status.next;
}

/** Types of system descriptors that LAR and LSL accept. */
const LAR_TYPES = [1, 2, 3, 4, 5, 9, 11, 12];
const LSL_TYPES = [1, 2, 3, 9, 11];
const LONG_LAR_TYPES = [2, 9, 11, 12];
const LONG_LSL_TYPES = [2, 9, 11];

/** The descriptor that LAR and LSL may see, or undefined. */
function visible(
  cpu: Cpu,
  selector: number,
  types: readonly number[],
): Descriptor | undefined {
  if ((selector & ~3) === 0) return undefined;
  const descriptor = findDescriptor(cpu, selector);
  if (descriptor === undefined) return undefined;
  const { access } = descriptor;
  if (isSystem(access) && !types.includes(access & 15)) return undefined;
  const least = Math.max(cpu.state.cpl, selector & 3);
  return !isConforming(access) && dplOf(access) < least ? undefined : descriptor;
}

const verify = (mayBe: (access: number) => boolean): Service => (cpu, call) => {
  requireProtected(cpu);
  const selector = selectorOperand(cpu, call);
  const descriptor = visible(cpu, selector, []);
  setZf(cpu, descriptor !== undefined && mayBe(descriptor.access));
  return Status.next;
};

/** CR4.UMIP keeps what the tables are from user mode. */
export function checkUserMode(cpu: Cpu): void {
  const { state } = cpu;
  if (state.cpl > 0 && (state.cr4 & CR4_UMIP) !== 0) fault(state, Vector.generalProtection, 0);
}

const storeTable = (name: "gdtr" | "idtr"): Service => (cpu) => {
  const { state } = cpu;
  checkUserMode(cpu);
  const bytes = cpu.isLong64 ? 8 : 4;
  cpu.writeData(cpu.operandLinear(2, true), 2, BigInt(state[`${name}Limit`]));
  const base = BigInt.asUintN(bytes * 8, state[`${name}Base`]);
  cpu.writeData(cpu.operandLinear(bytes, true, 2n), bytes, base);
  return Status.next;
};

const loadTable = (name: "gdtr" | "idtr"): Service => (cpu, { size }) => {
  requirePrivilege(cpu);
  const { state } = cpu;
  const bytes = cpu.isLong64 ? 8 : 4;
  const limit = cpu.readData(cpu.operandLinear(2, false), 2);
  let base = cpu.readData(cpu.operandLinear(bytes, false, 2n), bytes);
  if (size === 16 && !cpu.isLong64) base &= 0xff_ffffn;
  if (!isCanonical(base)) {
    fault(state, Vector.generalProtection, 0);
  }
  state[`${name}Limit`] = Number(limit);
  state[`${name}Base`] = base;
  return Status.next;
};

/** See above. */
export const SEGMENT_SERVICES = {
  movToSegment: (cpu, call) => {
    const n = Number(cpu.immediate);
    loadSegment(cpu, n, selectorOperand(cpu, call));
    return finishLoad(cpu, n);
  },
  pushSegment: (cpu, { size }) => {
    const selector = BigInt(cpu.segment(Number(cpu.immediate)).selector);
    cpu.push(selector, size >> 3);
    return Status.next;
  },
  popSegment: (cpu, { size }) => {
    const n = Number(cpu.immediate);
    const mask = cpu.state.stackMask;
    loadSegment(cpu, n, Number(cpu.peek(0, size >> 3) & 0xffffn));
    const old = cpu.state.general[4];
    // Of the stack as it was addressed, whatever SS has become.
    cpu.state.general[4] = BigInt.asUintN(64, old & ~mask | old + BigInt(size >> 3) & mask);
    return finishLoad(cpu, n);
  },
  loadFarPointer: (cpu, { size }) => {
    const bytes = size >> 3;
    const offset = cpu.readData(cpu.operandLinear(bytes, false), bytes);
    const selector = cpu.readData(cpu.operandLinear(2, false, BigInt(bytes)), 2);
    const n = Number(cpu.immediate);
    loadSegment(cpu, n, Number(selector));
    cpu.writeRegister(cpu.registerAt(0), size, offset);
    cpu.state.rip = cpu.nextRip();
    return Status.enter;
  },
  lar: (cpu, call) => {
    requireProtected(cpu);
    const selector = sourceSelector(cpu, call);
    const descriptor = visible(cpu, selector, cpu.isLongMode ? LONG_LAR_TYPES : LAR_TYPES);
    if (descriptor !== undefined) {
      const value = descriptor.high & 0x00ff_ff00;
      cpu.writeRegister(cpu.registerAt(0), call.size, BigInt.asUintN(call.size, BigInt(value)));
    }
    setZf(cpu, descriptor !== undefined);
    return Status.next;
  },
  lsl: (cpu, call) => {
    requireProtected(cpu);
    const selector = sourceSelector(cpu, call);
    const descriptor = visible(cpu, selector, cpu.isLongMode ? LONG_LSL_TYPES : LSL_TYPES);
    if (descriptor !== undefined) {
      const value = BigInt.asUintN(call.size, BigInt(descriptor.limit));
      cpu.writeRegister(cpu.registerAt(0), call.size, value);
    }
    setZf(cpu, descriptor !== undefined);
    return Status.next;
  },
  verr: verify((access) => !isSystem(access) && (!isCode(access) || (access & 2) !== 0)),
  verw: verify((access) => !isSystem(access) && !isCode(access) && (access & 2) !== 0),
  arpl: (cpu, call) => {
    requireProtected(cpu);
    const { hasMemory } = call;
    const source = Number(cpu.readRegister(cpu.registerAt(hasMemory ? 0 : 1), 16));
    const target = Number(cpu.readOperand(call, 16));
    const raises = (target & 3) < (source & 3);
    if (raises) cpu.writeOperand(call, 16, BigInt(target & ~3 | source & 3));
    setZf(cpu, raises);
    return Status.next;
  },
  sldt: (cpu, call) => {
    requireProtected(cpu);
    checkUserMode(cpu);
    return storeWord(cpu, call, cpu.segment(Seg.ldtr).selector);
  },
  str: (cpu, call) => {
    requireProtected(cpu);
    checkUserMode(cpu);
    return storeWord(cpu, call, cpu.segment(Seg.tr).selector);
  },
  lldt: (cpu, call) => {
    requireProtected(cpu);
    requirePrivilege(cpu);
    const selector = selectorOperand(cpu, call);
    if ((selector & ~3) === 0) {
      setNull(cpu, Seg.ldtr, selector);
      return Status.next;
    }
    const descriptor = systemDescriptor(cpu, selector, [SystemType.ldt]);
    setSegment(cpu, Seg.ldtr, selector, descriptor);
    return Status.next;
  },
  ltr: (cpu, call) => {
    requireProtected(cpu);
    requirePrivilege(cpu);
    const selector = selectorOperand(cpu, call);
    if ((selector & ~3) === 0) fault(cpu.state, Vector.generalProtection, 0);
    const types = cpu.isLongMode ? [SystemType.tss32] : [SystemType.tss16, SystemType.tss32];
    const descriptor = systemDescriptor(cpu, selector, types);
    setSystemType(cpu, descriptor, descriptor.access & 0xf | 2);
    setSegment(cpu, Seg.tr, selector, { ...descriptor, access: descriptor.access | 2 });
    return Status.next;
  },
  sgdt: storeTable("gdtr"),
  sidt: storeTable("idtr"),
  lgdt: loadTable("gdtr"),
  lidt: loadTable("idtr"),
} satisfies Readonly<Record<string, Service>>;

/** LAR and LSL: the second operand, of 16 bits. */
function sourceSelector(cpu: Cpu, { hasMemory }: ServiceCall): number {
  const value = hasMemory
    ? cpu.readData(cpu.operandLinear(2, false), 2)
    : cpu.readRegister(cpu.registerAt(1), 16);
  return Number(value);
}

function systemDescriptor(cpu: Cpu, selector: number, types: readonly number[]): Descriptor {
  const { state } = cpu;
  const errorCode = selector & 0xfffc;
  if ((selector & 4) !== 0) fault(state, Vector.generalProtection, errorCode);
  const descriptor = readDescriptor(cpu, selector);
  if (!types.includes(descriptor.access & 0x1f)) {
    fault(state, Vector.generalProtection, errorCode);
  }
  if (!isPresent(descriptor.access)) fault(state, Vector.segmentNotPresent, errorCode);
  return withUpperBase(cpu, descriptor);
}
