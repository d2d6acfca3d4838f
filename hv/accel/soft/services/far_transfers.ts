/**
 * Far jumps, calls and returns, INT and IRET (Intel SDM volume 2: CALL, INT n, IRET, JMP, RET; volume
 * 3, 5.8).
 */

import { isCanonical } from "../memory/linear_address.ts";
import * as a from "../../cpu_state.ts";
import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import type { ServiceCall } from "../operands.ts";
import { fault, Vector } from "../events/faults.ts";
import {
  AC,
  ARITHMETIC,
  DF,
  ID,
  IF,
  IOPL,
  NT,
  OF,
  RF,
  TF,
  VIF,
  VIP,
  VM,
} from "../state/flags_word.ts";
import { deliver, innerStack } from "../events/interrupts.ts";
import { Privilege } from "../memory/paging.ts";
import {
  type Descriptor,
  dplOf,
  dropInnerSegments,
  isCode,
  isConforming,
  isPresent,
  isSystem,
  linear,
  loadCode,
  loadRealSegment,
  markAccessed,
  readDescriptor,
  setNull,
  setSegment,
  SystemType,
} from "../state/segments.ts";
import { StackFrame } from "../events/stack_frame.ts";
import { Seg } from "../state/state.ts";
import { switchTask } from "../events/task_switch.ts";
import {
  isRestricted8086,
  redirectInterrupt,
  virtualFlagsFrom,
} from "../events/virtual_interrupts.ts";

const IOPL_SHIFT = 12;

const isReal = (cpu: Cpu): boolean => !cpu.isProtected || cpu.isVirtual8086;
const generalFault = (cpu: Cpu, selector = 0): never =>
  fault(cpu.state, Vector.generalProtection, selector & 0xfffc);

/** The offset must be within the segment, or canonical in 64-bit code. */
function checkOffset(cpu: Cpu, offset: bigint, { access, limit }: Descriptor): void {
  if (cpu.isLongMode && (access & a.ACCESS_L) !== 0) {
    if (!isCanonical(offset)) generalFault(cpu);
  } else if (offset > BigInt(limit)) generalFault(cpu);
}

function checkCodeType(cpu: Cpu, selector: number, { access }: Descriptor): void {
  const both = a.ACCESS_L | a.ACCESS_DB;
  if (cpu.isLongMode && (access & both) === both) generalFault(cpu, selector);
}

interface Target {
  readonly selector: number;
  readonly offset: bigint;
}

/** JMP and CALL to another segment; `push` is CALL's return address. */
function transfer(cpu: Cpu, target: Target, size: number, isCall: boolean): Status {
  const { state } = cpu;
  const { selector } = target;
  const next = cpu.nextRip();
  if (isReal(cpu)) {
    const offset = BigInt.asUintN(size, target.offset);
    if (offset > BigInt(state.segments[Seg.cs].limit)) generalFault(cpu);
    if (isCall) pushReturn(cpu, next, size);
    loadRealSegment(cpu, Seg.cs, selector);
    state.rip = offset;
    cpu.modeChanged();
    return Status.enter;
  }
  if ((selector & ~3) === 0) generalFault(cpu);
  const descriptor = readDescriptor(cpu, selector);
  if (isSystem(descriptor.access)) {
    return systemTransfer(cpu, selector, descriptor, isCall, next);
  }
  const { access } = descriptor;
  const dpl = dplOf(access);
  if (!isCode(access)) generalFault(cpu, selector);
  const allowed = isConforming(access)
    ? dpl <= state.cpl
    : (selector & 3) <= state.cpl && dpl === state.cpl;
  if (!allowed) generalFault(cpu, selector);
  checkCodeType(cpu, selector, descriptor);
  if (!isPresent(access)) fault(state, Vector.segmentNotPresent, selector & 0xfffc);
  const offset = BigInt.asUintN(size, target.offset);
  checkOffset(cpu, offset, descriptor);
  if (isCall) pushReturn(cpu, next, size);
  loadCode(cpu, selector, descriptor, state.cpl);
  state.rip = offset;
  return Status.enter;
}

/** CS and the return address, which go together or not at all. */
function pushReturn(cpu: Cpu, next: bigint, size: number): void {
  const bytes = size >> 3;
  const upper = cpu.stackLinear(-bytes, bytes, true);
  const lower = cpu.stackLinear(-2 * bytes, bytes, true);
  for (const one of [upper, lower]) cpu.memory.checkWrite(one, bytes, cpu.privilege, true);
  cpu.writeData(upper, bytes, BigInt(cpu.segment(Seg.cs).selector));
  cpu.writeData(lower, bytes, BigInt.asUintN(size, next));
  cpu.moveStack(-2 * bytes);
}

function systemTransfer(
  cpu: Cpu,
  selector: number,
  descriptor: Descriptor,
  isCall: boolean,
  next: bigint,
): Status {
  const { state } = cpu;
  const { access } = descriptor;
  const type = access & 15;
  if (dplOf(access) < state.cpl || dplOf(access) < (selector & 3)) generalFault(cpu, selector);
  const task = type === SystemType.tss16 || type === SystemType.tss32;
  if (!cpu.isLongMode && (task || type === SystemType.taskGate)) {
    if (!isPresent(access)) fault(state, Vector.segmentNotPresent, selector & 0xfffc);
    state.rip = next;
    const tss = task ? selector : descriptor.low >>> 16;
    switchTask(cpu, tss, { reason: isCall ? "call" : "jump" });
    return Status.enter;
  }
  const isGate = type === SystemType.callGate32 ||
    type === SystemType.callGate16 && !cpu.isLongMode;
  if (!isGate) generalFault(cpu, selector);
  if (!isPresent(access)) fault(state, Vector.segmentNotPresent, selector & 0xfffc);
  return throughGate(cpu, descriptor, isCall, next);
}

function throughGate(cpu: Cpu, gate: Descriptor, isCall: boolean, next: bigint): Status {
  const { state } = cpu;
  const wide = (gate.access & 15) === SystemType.callGate32;
  const selector = gate.low >>> 16;
  let offset = BigInt((gate.low & 0xffff | (wide ? gate.high & 0xffff_0000 : 0)) >>> 0);
  if (cpu.isLongMode) {
    const upper = cpu.memory.read(linear(cpu, gate.at + 8n), 8, Privilege.implicit);
    if ((upper >> 40n & 31n) !== 0n) generalFault(cpu, Number(gate.at & 0xffffn));
    offset |= (upper & 0xffff_ffffn) << 32n;
  }
  if ((selector & ~3) === 0) generalFault(cpu);
  const code = readDescriptor(cpu, selector);
  const dpl = dplOf(code.access);
  if (!isCode(code.access) || dpl > state.cpl) generalFault(cpu, selector);
  if (cpu.isLongMode && (code.access & (a.ACCESS_L | a.ACCESS_DB)) !== a.ACCESS_L) {
    generalFault(cpu, selector);
  }
  if (!isCall && !isConforming(code.access) && dpl !== state.cpl) generalFault(cpu, selector);
  if (!isPresent(code.access)) fault(state, Vector.segmentNotPresent, selector & 0xfffc);
  checkOffset(cpu, offset, code);
  const inner = isCall && !isConforming(code.access) && dpl < state.cpl;
  const bytes = cpu.isLongMode ? 8 : wide ? 4 : 2;
  if (!isCall || !inner) {
    if (isCall) pushReturn(cpu, next, bytes * 8);
    loadCode(cpu, selector, code, state.cpl);
  } else if (cpu.isLongMode) enterInnerLong(cpu, selector, code, next);
  else enterInner(cpu, selector, code, { next, bytes, parameters: gate.high & 31 });
  state.rip = offset;
  return Status.enter;
}

/** A call to an inner level: SS:eSP, parameters and CS:eIP go onto its stack. */
function enterInner(
  cpu: Cpu,
  selector: number,
  code: Descriptor,
  { next, bytes, parameters }: { next: bigint; bytes: number; parameters: number },
): void {
  const { state } = cpu;
  const cpl = dplOf(code.access);
  const values = Array.from({ length: parameters }, (_, i) => cpu.peek(i * bytes, bytes));
  const inner = innerStack(cpu, cpl, 0);
  const frame = new StackFrame(cpu, inner.stack);
  frame.push(BigInt(state.segments[Seg.ss].selector), bytes);
  frame.push(state.general[4], bytes);
  for (const value of values.reverse()) frame.push(value, bytes);
  frame.push(BigInt(state.segments[Seg.cs].selector), bytes);
  frame.push(next, bytes);
  state.cpl = cpl;
  setSegment(cpu, Seg.ss, inner.selector, markAccessed(cpu, inner.descriptor));
  loadCode(cpu, selector, code, cpl);
  state.general[4] = frame.pointer;
}

function enterInnerLong(cpu: Cpu, selector: number, code: Descriptor, next: bigint): void {
  const { state } = cpu;
  const cpl = dplOf(code.access);
  const tr = state.segments[Seg.tr];
  const pointer = cpu.memory.read(tr.base + BigInt(4 + cpl * 8), 8, Privilege.implicit);
  const ALL = 0xffff_ffff_ffff_ffffn;
  const frame = new StackFrame(cpu, {
    base: 0n,
    low: 0n,
    high: ALL,
    mask: ALL,
    pointer,
    cpl,
    errorCode: 0,
  });
  frame.push(BigInt(state.segments[Seg.ss].selector), 8);
  frame.push(state.general[4], 8);
  frame.push(BigInt(state.segments[Seg.cs].selector), 8);
  frame.push(next, 8);
  state.cpl = cpl;
  setNull(cpu, Seg.ss, cpl);
  loadCode(cpu, selector, code, cpl);
  state.general[4] = frame.pointer;
}

/** RETF and IRET in protected mode: where to, and whether the level changes. */
function returnTo(
  cpu: Cpu,
  frame: { offset: bigint; selector: number; outerAt: number; bytes: number; always: boolean },
  release: number,
  setFlags: () => void,
): Status {
  const { state } = cpu;
  const { offset, selector, outerAt, bytes, always } = frame;
  if ((selector & ~3) === 0) generalFault(cpu);
  const code = readDescriptor(cpu, selector);
  const rpl = selector & 3;
  const dpl = dplOf(code.access);
  if (!isCode(code.access) || rpl < state.cpl) generalFault(cpu, selector);
  if (isConforming(code.access) ? dpl > rpl : dpl !== rpl) generalFault(cpu, selector);
  checkCodeType(cpu, selector, code);
  if (!isPresent(code.access)) fault(state, Vector.segmentNotPresent, selector & 0xfffc);
  checkOffset(cpu, offset, code);
  if (rpl === state.cpl && !always) {
    // Of the stack as it was addressed, whatever the code is now.
    cpu.moveStack(outerAt + release);
    loadCode(cpu, selector, code, rpl);
    state.rip = offset;
    setFlags();
    return Status.enter;
  }
  const pointer = cpu.peek(outerAt + release, bytes);
  const stackSelector = Number(cpu.peek(outerAt + release + bytes, 2));
  const stack = checkStack(cpu, stackSelector, rpl, code);
  setFlags();
  const changes = rpl > state.cpl;
  state.cpl = rpl;
  if (stack === undefined) setNull(cpu, Seg.ss, stackSelector);
  else setSegment(cpu, Seg.ss, stackSelector, markAccessed(cpu, stack));
  loadCode(cpu, selector, code, rpl);
  const mask = state.stackMask;
  const next = pointer + (always ? 0n : BigInt(release));
  // A stack of 16 bits takes SP alone; nothing above bit 31 gets out of 64-bit code.
  const kept = mask === 0xffffn ? state.general[4] & 0xffff_0000n : 0n;
  state.general[4] = BigInt.asUintN(64, kept | next & mask);
  state.rip = offset;
  if (changes) dropInnerSegments(cpu);
  cpu.modeChanged();
  return Status.enter;
}

/** The stack of an outer level; a null one is allowed for 64-bit code outside of level 3. */
function checkStack(
  cpu: Cpu,
  selector: number,
  rpl: number,
  code: Descriptor,
): Descriptor | undefined {
  const { state } = cpu;
  if ((selector & ~3) === 0) {
    const allowed = cpu.isLongMode && (code.access & a.ACCESS_L) !== 0 && rpl !== 3;
    if (!allowed) generalFault(cpu);
    return undefined;
  }
  const stack = readDescriptor(cpu, selector);
  const { access } = stack;
  const writable = !isSystem(access) && !isCode(access) && (access & 2) !== 0;
  if ((selector & 3) !== rpl || !writable || dplOf(access) !== rpl) generalFault(cpu, selector);
  if (!isPresent(access)) fault(state, Vector.stackFault, selector & 0xfffc);
  return stack;
}

const returnFar = (cpu: Cpu, size: number, release: number): Status => {
  const bytes = size >> 3;
  const offset = cpu.peek(0, bytes);
  const selector = Number(cpu.peek(bytes, 2));
  if (isReal(cpu)) {
    if (offset > BigInt(cpu.segment(Seg.cs).limit)) generalFault(cpu);
    cpu.moveStack(2 * bytes + release);
    loadRealSegment(cpu, Seg.cs, selector);
    cpu.state.rip = offset;
    cpu.modeChanged();
    return Status.enter;
  }
  const frame = { offset, selector, outerAt: 2 * bytes, bytes, always: false };
  return returnTo(cpu, frame, release, () => {});
};

/** Flags that IRET may change at the level it comes from. */
function returnedFlags(cpu: Cpu, value: number, size: number): number {
  const { state } = cpu;
  const old = cpu.flags;
  let mask = ARITHMETIC | TF | DF | NT;
  if (size > 16) mask |= RF | AC | ID;
  const level = cpu.isProtected ? state.cpl : 0;
  if (level === 0) mask |= IOPL | (size > 16 ? VIF | VIP : 0);
  if (level <= (old & IOPL) >> IOPL_SHIFT) mask |= IF;
  return old & ~mask | value & mask;
}

const interruptReturn: Service = (cpu, { size }) => {
  const { state } = cpu;
  const bytes = size >> 3;
  state.nmiMasked = false;
  if (cpu.isProtected && !cpu.isVirtual8086 && (cpu.flags & NT) !== 0) {
    if (cpu.isLongMode) generalFault(cpu);
    const link = cpu.memory.read(state.segments[Seg.tr].base, 2, Privilege.implicit);
    state.rip = cpu.nextRip();
    switchTask(cpu, Number(link), { reason: "return" });
    return Status.enter;
  }
  const restricted = isRestricted8086(cpu);
  const offset = cpu.peek(0, bytes);
  const selector = Number(cpu.peek(bytes, 2));
  const flags = Number(cpu.peek(2 * bytes, bytes) & 0xffff_ffffn);
  if (isReal(cpu)) {
    if (offset > BigInt(cpu.segment(Seg.cs).limit)) generalFault(cpu);
    const mask = cpu.isVirtual8086 ? ~IOPL : ~0;
    const next = restricted ? virtualFlagsFrom(cpu, flags, size) : returnedFlags(cpu, flags, size);
    cpu.moveStack(3 * bytes);
    loadRealSegment(cpu, Seg.cs, selector);
    state.rip = offset;
    cpu.flags = next & mask | cpu.flags & ~mask;
    cpu.modeChanged();
    return Status.enter;
  }
  if ((flags & VM) !== 0 && state.cpl === 0 && size === 32 && !cpu.isLongMode) {
    return returnToVirtual8086(cpu, offset, selector, flags);
  }
  const next = returnedFlags(cpu, flags, size);
  const frame = { offset, selector, outerAt: 3 * bytes, bytes, always: cpu.isLong64 };
  return returnTo(cpu, frame, 0, () => cpu.flags = next);
};

function returnToVirtual8086(cpu: Cpu, offset: bigint, selector: number, flags: number): Status {
  const { state } = cpu;
  const pointer = cpu.peek(12, 4);
  const order = [Seg.ss, Seg.es, Seg.ds, Seg.fs, Seg.gs];
  const selectors = order.map((_, i) => Number(cpu.peek(16 + i * 4, 2)));
  cpu.flags = flags;
  state.cpl = 3;
  order.forEach((n, i) => loadRealSegment(cpu, n, selectors[i]));
  loadRealSegment(cpu, Seg.cs, selector);
  state.general[4] = pointer;
  state.rip = offset & 0xffffn;
  cpu.modeChanged();
  return Status.enter;
}

/** INT, INT3, INTO. */
function interrupt(cpu: Cpu, vector: number, checked: boolean): Status {
  const { state } = cpu;
  if (checked && cpu.isVirtual8086) {
    if (redirectInterrupt(cpu, vector, cpu.nextRip())) return Status.interrupted;
    if (isRestricted8086(cpu)) generalFault(cpu);
  }
  const here = cpu.operationRip();
  state.rip = cpu.nextRip();
  // Should the delivery fault, the instruction is where the guest returns to.
  return deliver(cpu, { vector, software: true, faultRip: here })
    ? Status.interrupted
    : Status.shutdown;
}

/**
 * INT1 (ICEBP): a debug exception that no gate's privilege keeps away, and that DR6 does not show. What a
 * load of SS before it has held back comes by the same exception.
 */
const interruptDebug: Service = (cpu) => {
  if (cpu.state.pendingDebug !== 0) cpu.breakpoints.takePending();
  const faultRip = cpu.operationRip();
  cpu.state.rip = cpu.nextRip();
  return deliver(cpu, { vector: Vector.debug, faultRip }) ? Status.interrupted : Status.shutdown;
};

const immediateTarget = (cpu: Cpu): Target => ({
  offset: cpu.immediate & 0xffff_ffffn,
  selector: Number(cpu.immediate >> 32n & 0xffffn),
});

function memoryTarget(cpu: Cpu, { size }: ServiceCall): Target {
  const bytes = size >> 3;
  const offset = cpu.readData(cpu.operandLinear(bytes, false), bytes);
  const selector = cpu.readData(cpu.operandLinear(2, false, BigInt(bytes)), 2);
  return { offset, selector: Number(selector) };
}

/** See above. */
export const FAR_SERVICES = {
  callFar: (cpu, { size }) => transfer(cpu, immediateTarget(cpu), size, true),
  jmpFar: (cpu, { size }) => transfer(cpu, immediateTarget(cpu), size, false),
  callFarMemory: (cpu, call) => transfer(cpu, memoryTarget(cpu, call), call.size, true),
  jmpFarMemory: (cpu, call) => transfer(cpu, memoryTarget(cpu, call), call.size, false),
  retFar: (cpu, { size }) => returnFar(cpu, size, 0),
  retFarImmediate: (cpu, { size }) => returnFar(cpu, size, Number(cpu.immediate & 0xffffn)),
  iret: interruptReturn,
  int: (cpu) => interrupt(cpu, Number(cpu.immediate & 0xffn), true),
  int1: interruptDebug,
  int3: (cpu) => interrupt(cpu, Vector.breakpoint, false),
  into: (cpu) => (cpu.flags & OF) === 0 ? Status.next : interrupt(cpu, Vector.overflow, false),
} satisfies Readonly<Record<string, Service>>;
