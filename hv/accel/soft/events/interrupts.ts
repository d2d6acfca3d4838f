/**
 * Delivery of exceptions and interrupts in every mode (Intel SDM volume 3, chapter 6; volume 1, 20.1.4
 * for real-address mode, 20.3 for virtual-8086 mode).
 */

import { isCanonical } from "../memory/linear_address.ts";
import * as a from "../../cpu_state.ts";
import type { Cpu } from "../cpu.ts";
import { DR7_GD } from "./breakpoints.ts";
import { fault, GuestFault, Vector } from "./faults.ts";
import { AC, IF, NT, RF, TF, VM } from "../state/flags_word.ts";
import { Privilege } from "../memory/paging.ts";
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isPresent,
  isSystem,
  linear,
  loadCode,
  loadRealSegment,
  readDescriptor,
  setBounds,
  setNull,
  setSegment,
  SystemType,
} from "../state/segments.ts";
import { type NewStack, StackFrame } from "./stack_frame.ts";
import { Seg, type SegmentCache } from "../state/state.ts";
import { switchTask } from "./task_switch.ts";

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** What is delivered. */
export interface Event {
  readonly vector: number;
  readonly errorCode?: number;
  /** From INT, INT3 or INTO: privilege is checked, and errors are not "external". */
  readonly software?: boolean;
  /** Of a software interrupt: RIP of the instruction, where a fault of its delivery returns to. */
  readonly faultRip?: bigint;
}

/** Exceptions that make a double fault of each other (SDM volume 3, table 6-4 and 6-5). */
const CONTRIBUTORY = new Set<number>([
  Vector.divideError,
  Vector.invalidTss,
  Vector.segmentNotPresent,
  Vector.stackFault,
  Vector.generalProtection,
]);

const combines = (first: number, second: number): boolean =>
  first === Vector.pageFault
    ? second === Vector.pageFault || CONTRIBUTORY.has(second)
    : CONTRIBUTORY.has(first) && CONTRIBUTORY.has(second);

/**
 * Delivers `event` with `rip` as the address to return to. False: the processor shuts down, since a
 * double fault could not be delivered.
 */
export function deliver(cpu: Cpu, event: Event): boolean {
  const { alone } = cpu.breakpoints;
  cpu.log.detached = true;
  cpu.breakpoints.alone = true;
  try {
    return deliverOrShutDown(cpu, event);
  } finally {
    cpu.log.detached = false;
    cpu.breakpoints.alone = alone;
  }
}

function deliverOrShutDown(cpu: Cpu, event: Event): boolean {
  let current = event;
  for (;;) {
    try {
      deliverOnce(cpu, current);
      if (current.vector === Vector.debug) cpu.state.dr7 &= ~DR7_GD;
      cpu.state.halted = false;
      return true;
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      if (current.vector === Vector.doubleFault) return false;
      if (current.faultRip !== undefined) cpu.state.rip = current.faultRip;
      const { exceptionVector, exceptionHasError, exceptionError } = cpu.state;
      const isDouble = current.software !== true && combines(current.vector, exceptionVector);
      current = isDouble
        ? { vector: Vector.doubleFault, errorCode: 0 }
        : { vector: exceptionVector, errorCode: exceptionHasError ? exceptionError : undefined };
    }
  }
}

function deliverOnce(cpu: Cpu, event: Event): void {
  if (!cpu.isProtected) deliverReal(cpu, event.vector);
  else if (cpu.isLongMode) deliverLong(cpu, event);
  else deliverProtected(cpu, event);
}

function deliverReal(cpu: Cpu, vector: number): void {
  const { state } = cpu;
  if (vector * 4 + 3 > state.idtrLimit) fault(state, Vector.generalProtection, 0);
  const entry = state.idtrBase + BigInt(vector * 4) & 0xffff_ffffn;
  const target = cpu.memory.read(entry, 4, Privilege.implicit);
  const frame = new StackFrame(cpu, currentStack(cpu));
  frame.push(BigInt(cpu.flags & 0xffff), 2);
  frame.push(BigInt(state.segments[Seg.cs].selector), 2);
  frame.push(state.rip & 0xffffn, 2);
  state.general[4] = frame.pointer;
  loadRealSegment(cpu, Seg.cs, Number(target >> 16n));
  state.rip = target & 0xffffn;
  cpu.flags &= ~(IF | TF | AC | RF);
  cpu.modeChanged();
}

/** The stack that the processor has. */
export function currentStack(cpu: Cpu): NewStack {
  const { state } = cpu;
  const ss = state.segments[Seg.ss];
  return {
    base: ss.base,
    low: ss.writeLow,
    high: ss.writeHigh,
    mask: state.stackMask,
    pointer: state.general[4],
    cpl: state.cpl,
    errorCode: 0,
  };
}

/** A gate of the interrupt table. */
interface Gate {
  readonly type: number;
  readonly dpl: number;
  readonly present: boolean;
  readonly selector: number;
  readonly offset: bigint;
  readonly ist: number;
}

function readGate(cpu: Cpu, vector: number, external: number): Gate {
  const { state } = cpu;
  const bytes = cpu.isLongMode ? 16 : 8;
  const errorCode = vector * 8 | 2 | external;
  if (vector * bytes + bytes - 1 > state.idtrLimit) {
    fault(state, Vector.generalProtection, errorCode);
  }
  const at = linear(cpu, state.idtrBase + BigInt(vector * bytes));
  const value = cpu.memory.read(at, 8, Privilege.implicit);
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n);
  const upper = bytes === 16 ? cpu.memory.read(at + 8n, 4, Privilege.implicit) : 0n;
  return {
    type: high >>> 8 & 0x1f,
    dpl: high >>> 13 & 3,
    present: (high & 0x8000) !== 0,
    selector: low >>> 16,
    offset: BigInt((high & 0xffff_0000 | low & 0xffff) >>> 0) | upper << 32n,
    ist: high & 7,
  };
}

function checkGate(cpu: Cpu, gate: Gate, event: Event, types: readonly number[]): void {
  const { state } = cpu;
  const external = event.software ? 0 : 1;
  const errorCode = event.vector * 8 | 2 | external;
  if (!types.includes(gate.type)) fault(state, Vector.generalProtection, errorCode);
  if (event.software && gate.dpl < state.cpl) fault(state, Vector.generalProtection, errorCode);
  if (!gate.present) fault(state, Vector.segmentNotPresent, errorCode);
}

/** The code descriptor that a gate leads to. */
function gateTarget(cpu: Cpu, selector: number, external: number): Descriptor {
  const { state } = cpu;
  if ((selector & ~3) === 0) fault(state, Vector.generalProtection, external);
  const code = readDescriptor(cpu, selector, Vector.generalProtection, external);
  const errorCode = selector & 0xfffc | external;
  if (!isCode(code.access) || isSystem(code.access) || dplOf(code.access) > state.cpl) {
    fault(state, Vector.generalProtection, errorCode);
  }
  if (!isPresent(code.access)) fault(state, Vector.segmentNotPresent, errorCode);
  return code;
}

const { interruptGate16, trapGate16, interruptGate32, trapGate32, taskGate } = SystemType;

function deliverProtected(cpu: Cpu, event: Event): void {
  const { state } = cpu;
  const external = event.software ? 0 : 1;
  const gate = readGate(cpu, event.vector, external);
  checkGate(cpu, gate, event, [
    interruptGate16,
    trapGate16,
    interruptGate32,
    trapGate32,
    taskGate,
  ]);
  if (gate.type === taskGate) {
    switchTask(cpu, gate.selector, { reason: "interrupt", errorCode: event.errorCode, external });
    return;
  }
  const code = gateTarget(cpu, gate.selector, external);
  const wide = gate.type >= interruptGate32;
  const bytes = wide ? 4 : 2;
  const fromVirtual = cpu.isVirtual8086;
  const newCpl = isConforming(code.access) ? state.cpl : dplOf(code.access);
  if (fromVirtual && newCpl !== 0) {
    fault(state, Vector.generalProtection, gate.selector & 0xfffc | external);
  }
  const flags = cpu.flags;
  const inner = newCpl < state.cpl ? innerStack(cpu, newCpl, external) : undefined;
  const frame = new StackFrame(cpu, inner?.stack ?? currentStack(cpu));
  if (fromVirtual) {
    for (const n of [Seg.gs, Seg.fs, Seg.ds, Seg.es]) {
      frame.push(BigInt(state.segments[n].selector), bytes);
    }
  }
  if (inner !== undefined) {
    frame.push(BigInt(state.segments[Seg.ss].selector), bytes);
    frame.push(state.general[4], bytes);
  }
  frame.push(BigInt(flags >>> 0), bytes);
  frame.push(BigInt(state.segments[Seg.cs].selector), bytes);
  frame.push(state.rip, bytes);
  if (event.errorCode !== undefined) frame.push(BigInt(event.errorCode), bytes);
  const offset = wide ? gate.offset : gate.offset & 0xffffn;
  if (offset > BigInt(code.limit)) fault(state, Vector.generalProtection, external);

  let cleared = TF | NT | RF | VM;
  if (gate.type === interruptGate16 || gate.type === interruptGate32) cleared |= IF;
  cpu.flags = flags & ~cleared;
  state.cpl = newCpl;
  if (inner !== undefined) {
    setSegment(cpu, Seg.ss, inner.selector, inner.descriptor);
  }
  if (fromVirtual) { for (const n of [Seg.gs, Seg.fs, Seg.ds, Seg.es]) setNull(cpu, n, 0); }
  loadCode(cpu, gate.selector, code, newCpl);
  state.general[4] = frame.pointer;
  state.rip = offset;
}

/** A stack segment from the TSS, checked. */
export interface InnerStack {
  readonly selector: number;
  readonly descriptor: Descriptor;
  readonly stack: NewStack;
}

/** The stack for privilege `cpl` that the 16- or 32-bit TSS names (SDM volume 3, 6.12.1). */
export function innerStack(cpu: Cpu, cpl: number, external: number): InnerStack {
  const { state } = cpu;
  const tr = state.segments[Seg.tr];
  const wide = (tr.access & 8) !== 0;
  const at = wide ? 4 + cpl * 8 : 2 + cpl * 4;
  if (at + (wide ? 5 : 3) > tr.limit) {
    fault(state, Vector.invalidTss, tr.selector & 0xfffc | external);
  }
  const read = (offset: number, bytes: number) =>
    cpu.memory.read(tr.base + BigInt(offset) & 0xffff_ffffn, bytes, Privilege.implicit);
  const pointer = read(at, wide ? 4 : 2);
  const selector = Number(read(at + (wide ? 4 : 2), 2));
  const errorCode = selector & 0xfffc | external;
  if ((selector & ~3) === 0) fault(state, Vector.invalidTss, external);
  const descriptor = readDescriptor(cpu, selector, Vector.invalidTss, external);
  const { access } = descriptor;
  const writable = !isSystem(access) && !isCode(access) && (access & 2) !== 0;
  if ((selector & 3) !== cpl || dplOf(access) !== cpl || !writable) {
    fault(state, Vector.invalidTss, errorCode);
  }
  if (!isPresent(access)) fault(state, Vector.stackFault, errorCode);
  const bounds = boundsOf(descriptor);
  return {
    selector,
    descriptor,
    stack: {
      ...bounds,
      mask: (access & a.ACCESS_DB) !== 0 ? 0xffff_ffffn : 0xffffn,
      pointer,
      cpl,
      errorCode,
    },
  };
}

function boundsOf({ access, base, limit }: Descriptor) {
  const scratch = { access, base, limit } as unknown as SegmentCache;
  setBounds(scratch);
  return { base, low: scratch.writeLow, high: scratch.writeHigh };
}

function deliverLong(cpu: Cpu, event: Event): void {
  const { state } = cpu;
  const external = event.software ? 0 : 1;
  const gate = readGate(cpu, event.vector, external);
  checkGate(cpu, gate, event, [interruptGate32, trapGate32]);
  const code = gateTarget(cpu, gate.selector, external);
  const is64 = (code.access & a.ACCESS_L) !== 0 && (code.access & a.ACCESS_DB) === 0;
  if (!is64) fault(state, Vector.generalProtection, gate.selector & 0xfffc | external);
  if (!isCanonical(gate.offset)) {
    fault(state, Vector.generalProtection, external);
  }
  const newCpl = isConforming(code.access) ? state.cpl : dplOf(code.access);
  const changes = newCpl < state.cpl;
  let pointer = state.general[4];
  if (gate.ist !== 0) pointer = longStack(cpu, 36 + (gate.ist - 1) * 8, external);
  else if (changes) pointer = longStack(cpu, 4 + newCpl * 8, external);
  const frame = new StackFrame(cpu, {
    base: 0n,
    low: 0n,
    high: ALL_ONES,
    mask: ALL_ONES,
    pointer: pointer & ~15n,
    cpl: newCpl,
    errorCode: 0,
  });
  const flags = cpu.flags;
  const ss = state.segments[Seg.ss];
  frame.push(BigInt(ss.selector), 8);
  frame.push(state.general[4], 8);
  frame.push(BigInt(flags >>> 0), 8);
  frame.push(BigInt(state.segments[Seg.cs].selector), 8);
  frame.push(state.rip, 8);
  if (event.errorCode !== undefined) frame.push(BigInt(event.errorCode), 8);

  let cleared = TF | NT | RF | VM;
  if (gate.type === interruptGate32) cleared |= IF;
  cpu.flags = flags & ~cleared;
  state.cpl = newCpl;
  if (changes) setNull(cpu, Seg.ss, newCpl);
  loadCode(cpu, gate.selector, code, newCpl);
  state.general[4] = frame.pointer;
  state.rip = gate.offset;
}

/** A stack pointer from the 64-bit TSS. */
function longStack(cpu: Cpu, offset: number, external: number): bigint {
  const { state } = cpu;
  const tr = state.segments[Seg.tr];
  if (offset + 7 > tr.limit) fault(state, Vector.invalidTss, tr.selector & 0xfffc | external);
  const pointer = cpu.memory.read(tr.base + BigInt(offset), 8, Privilege.implicit);
  if (!isCanonical(pointer)) {
    fault(state, Vector.stackFault, external);
  }
  return pointer;
}
