/**
 * Hardware task switching (Intel SDM volume 3, chapter 7): CALL, JMP, IRET and interrupts by way of
 * task gates and TSS descriptors.
 */

import * as a from "../../cpu_state.ts";
import { CR0_PG, CR0_TS } from "../state/control_bits.ts";
import type { Cpu } from "../cpu.ts";
import { DR6_BT, DR7_LOCAL } from "./breakpoints.ts";
import { fault, Vector } from "./faults.ts";
import { NT, RF, VM } from "../state/flags_word.ts";
import { Privilege } from "../memory/paging.ts";
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isPresent,
  isSystem,
  linear,
  loadRealSegment,
  markAccessed,
  readDescriptor,
  setNull,
  setSegment,
  setSystemType,
  SystemType,
} from "../state/segments.ts";
import { Seg } from "../state/state.ts";

const BUSY = 2;
const WIDE = 8;

/** What switches, and what goes with it. */
export interface TaskSwitch {
  readonly reason: "jump" | "call" | "interrupt" | "return";
  readonly errorCode?: number;
  /** EXT of error codes. */
  readonly external?: number;
}

/** Offsets of the fields in a TSS: 32-bit and 16-bit. */
const LAYOUT_32 = {
  eip: 32,
  eflags: 36,
  general: 40,
  segments: 72,
  ldt: 96,
  bytes: 104,
  word: 4,
  stride: 4,
} as const;
const LAYOUT_16 = {
  eip: 14,
  eflags: 16,
  general: 18,
  segments: 34,
  ldt: 42,
  bytes: 44,
  word: 2,
  stride: 2,
} as const;
const CR3_AT = 28;
const TRAP_AT = 100;

/** Switches to the task whose TSS `selector` names; `rip` is what the old task goes on at. */
export function switchTask(cpu: Cpu, selector: number, how: TaskSwitch): void {
  const { state } = cpu;
  const external = how.external ?? 0;
  const vector = how.reason === "return" ? Vector.invalidTss : Vector.generalProtection;
  const errorCode = selector & 0xfffc | external;
  if ((selector & 4) !== 0) fault(state, vector, errorCode);
  const descriptor = readDescriptor(cpu, selector, vector, external);
  const type = descriptor.access & 0x1f;
  const wanted = how.reason === "return"
    ? [SystemType.tss16Busy, SystemType.tss32Busy]
    : [SystemType.tss16, SystemType.tss32];
  if (!(wanted as number[]).includes(type)) fault(state, vector, errorCode);
  if (!isPresent(descriptor.access)) fault(state, Vector.segmentNotPresent, errorCode);
  const wide = (type & WIDE) !== 0;
  const layout = wide ? LAYOUT_32 : LAYOUT_16;
  if (descriptor.limit < layout.bytes - 1) fault(state, Vector.invalidTss, errorCode);

  const fresh = readTask(cpu, descriptor, wide);
  const oldSelector = state.segments[Seg.tr].selector;
  leaveTask(cpu, how);
  if (how.reason === "call" || how.reason === "interrupt") {
    cpu.memory.write(linear(cpu, descriptor.base), 2, BigInt(oldSelector), Privilege.implicit);
    fresh.eflags |= NT;
  }
  if (how.reason !== "return") setSystemType(cpu, descriptor, type | BUSY);
  setSegment(cpu, Seg.tr, selector, { ...descriptor, access: descriptor.access | BUSY });
  state.cr0 |= CR0_TS;
  state.dr7 &= ~DR7_LOCAL;
  cpu.breakpoints.update();
  enterTask(cpu, fresh, wide, external);
  if (fresh.traps) state.pendingDebug |= DR6_BT;
  if (how.errorCode !== undefined) cpu.push(BigInt(how.errorCode), wide ? 4 : 2);
}

interface Task {
  /** T: a debug exception comes before the task's first instruction. */
  readonly traps: boolean;
  eflags: number;
  readonly eip: number;
  readonly cr3: number;
  readonly ldt: number;
  readonly general: readonly number[];
  /** ES, CS, SS, DS, FS, GS. */
  readonly segments: readonly number[];
}

function readTask(cpu: Cpu, { base }: Descriptor, wide: boolean): Task {
  const layout = wide ? LAYOUT_32 : LAYOUT_16;
  const read = (offset: number, bytes: number) =>
    Number(cpu.memory.read(linear(cpu, base + BigInt(offset)), bytes, Privilege.implicit));
  const many = (from: number, count: number, bytes: number) =>
    Array.from({ length: count }, (_, i) => read(from + i * layout.stride, bytes));
  return {
    traps: wide && (read(TRAP_AT, 2) & 1) !== 0,
    eip: read(layout.eip, layout.word),
    eflags: read(layout.eflags, layout.word),
    cr3: wide ? read(CR3_AT, 4) : 0,
    ldt: read(layout.ldt, 2),
    general: many(layout.general, 8, layout.word),
    segments: [...many(layout.segments, wide ? 6 : 4, 2), 0, 0].slice(0, 6),
  };
}

/** Saves the task that runs to its TSS, which is no longer busy unless it will be returned to. */
function leaveTask(cpu: Cpu, how: TaskSwitch): void {
  const { state } = cpu;
  const tr = state.segments[Seg.tr];
  const wide = (tr.access & WIDE) !== 0;
  const layout = wide ? LAYOUT_32 : LAYOUT_16;
  const write = (offset: number, bytes: number, value: bigint) =>
    cpu.memory.write(linear(cpu, tr.base + BigInt(offset)), bytes, value, Privilege.implicit);
  let flags = cpu.flags;
  if (how.reason === "return") flags &= ~NT;
  write(layout.eip, layout.word, state.rip);
  write(layout.eflags, layout.word, BigInt(flags >>> 0));
  for (let i = 0; i < 8; i++) {
    write(layout.general + i * layout.stride, layout.word, state.general[i]);
  }
  for (let i = 0; i < (wide ? 6 : 4); i++) {
    write(layout.segments + i * layout.stride, 2, BigInt(state.segments[i].selector));
  }
  if (how.reason === "jump" || how.reason === "return") {
    const old = readDescriptor(cpu, tr.selector, Vector.invalidTss);
    setSystemType(cpu, old, old.access & 0xf & ~BUSY);
  }
}

function enterTask(cpu: Cpu, task: Task, wide: boolean, external: number): void {
  const { state } = cpu;
  if (wide && (state.cr0 & CR0_PG) !== 0) {
    state.cr3 = BigInt(task.cr3);
    cpu.flushTranslations();
  }
  state.rip = BigInt(task.eip);
  task.general.forEach((value, i) =>
    state.general[i] = wide ? BigInt(value) : state.general[i] & 0xffff_0000n | BigInt(value)
  );
  cpu.flags = wide ? task.eflags : cpu.flags & 0xffff_0000 & ~VM & ~RF | task.eflags;
  // The selectors come before anything that can fault: a fault belongs to the new task.
  task.segments.forEach((selector, n) => {
    setNull(cpu, n, selector);
    state.segments[n].selector = selector;
  });
  loadLdt(cpu, task.ldt, external);
  if ((task.eflags & VM) !== 0 && wide) {
    state.cpl = 3;
    task.segments.forEach((selector, n) => loadRealSegment(cpu, n, selector));
    cpu.modeChanged();
    return;
  }
  const cpl = task.segments[Seg.cs] & 3;
  state.cpl = cpl;
  cpu.modeChanged();
  const checked = (
    n: number,
    allowed: (access: number, rpl: number) => boolean,
    absent: number,
  ) => {
    const selector = task.segments[n];
    const errorCode = selector & 0xfffc | external;
    if ((selector & ~3) === 0) {
      if (n === Seg.ss || n === Seg.cs) fault(state, Vector.invalidTss, errorCode);
      return;
    }
    const descriptor = readDescriptor(cpu, selector, Vector.invalidTss, external);
    if (isSystem(descriptor.access) || !allowed(descriptor.access, selector & 3)) {
      fault(state, Vector.invalidTss, errorCode);
    }
    if (!isPresent(descriptor.access)) fault(state, absent, errorCode);
    setSegment(cpu, n, selector, markAccessed(cpu, descriptor));
  };
  checked(
    Seg.ss,
    (access, rpl) => !isCode(access) && (access & 2) !== 0 && dplOf(access) === cpl && rpl === cpl,
    Vector.stackFault,
  );
  checked(
    Seg.cs,
    (access) =>
      isCode(access) && (isConforming(access) ? dplOf(access) <= cpl : dplOf(access) === cpl),
    Vector.segmentNotPresent,
  );
  for (const n of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) {
    checked(
      n,
      (access, rpl) =>
        (!isCode(access) || (access & 2) !== 0) &&
        (isConforming(access) || dplOf(access) >= Math.max(cpl, rpl)),
      Vector.segmentNotPresent,
    );
  }
  cpu.modeChanged();
}

function loadLdt(cpu: Cpu, selector: number, external: number): void {
  if ((selector & ~3) === 0) return setNull(cpu, Seg.ldtr, selector);
  const errorCode = selector & 0xfffc | external;
  const descriptor = readDescriptor(cpu, selector, Vector.invalidTss, external);
  const isLdt = (descriptor.access & 0x1f) === SystemType.ldt && (selector & 4) === 0;
  if (!isLdt || (descriptor.access & a.ACCESS_PRESENT) === 0) {
    fault(cpu.state, Vector.invalidTss, errorCode);
  }
  setSegment(cpu, Seg.ldtr, selector, descriptor);
}
