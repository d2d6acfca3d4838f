/** PUSHF, POPF, PUSHA, POPA, ENTER (Intel SDM volume 2). */

import { Status } from "../codegen/operation.ts";
import type { Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { Seg, segmentAt } from "../state/state.ts";
import {
  isRestricted8086,
  virtualFlagsFrom,
  virtualFlagsImage,
} from "../events/virtual_interrupts.ts";
import { AC, ARITHMETIC, DF, ID, IF, IOPL, NT, RF, TF, VIF, VIP, VM } from "../state/flags_word.ts";

import { goOn } from "./control_registers.ts";

const RSP = 4;
const RBP = 5;
const IOPL_SHIFT = 12;
const UNSEEN = VM | RF;

/** See above. */
export const STACK_SERVICES = {
  pushf: (cpu, { size }) => {
    const flags = cpu.flags;
    const image = isRestricted8086(cpu) ? virtualFlagsImage(cpu, size) : flags & ~UNSEEN;
    cpu.push(BigInt(image >>> 0), size >> 3);
    return Status.next;
  },
  popf: (cpu, { size }) => {
    const { state } = cpu;
    const old = cpu.flags;
    const restricted = isRestricted8086(cpu);
    if (restricted && size !== 16) fault(state, Vector.generalProtection, 0);
    const value = Number(cpu.peek(0, size >> 3) & 0xffff_ffffn);
    if (restricted) {
      const next = virtualFlagsFrom(cpu, value, size);
      cpu.moveStack(size >> 3);
      cpu.flags = next;
      return goOn(cpu);
    }
    let mask = ARITHMETIC | TF | DF | NT;
    if (size > 16) mask |= AC | ID;
    const iopl = old >> IOPL_SHIFT & 3;
    if (!cpu.isProtected || state.cpl === 0 && !cpu.isVirtual8086) mask |= IOPL;
    if (!cpu.isProtected || state.cpl <= iopl) mask |= IF;
    cpu.moveStack(size >> 3);
    // RF is cleared; VIF and VIP too where they may be changed at all.
    const cleared = RF | (size > 16 && state.cpl === 0 ? VIF | VIP : 0);
    cpu.flags = old & ~mask & ~cleared | value & mask;
    state.rip = cpu.nextRip();
    return Status.enter;
  },
  pusha: (cpu, { size }) => {
    const bytes = size >> 3;
    const { state } = cpu;
    const linear = Array.from(
      { length: 8 },
      (_, i) => cpu.stackLinear(-(i + 1) * bytes, bytes, true),
    );
    for (const one of linear) cpu.memory.checkWrite(one, bytes, cpu.privilege, true);
    linear.forEach((one, i) => cpu.writeData(one, bytes, BigInt.asUintN(size, state.general[i])));
    cpu.moveStack(-8 * bytes);
    return Status.next;
  },
  popa: (cpu, { size }) => {
    const bytes = size >> 3;
    const values = Array.from({ length: 8 }, (_, i) => cpu.peek(i * bytes, bytes));
    values.forEach((value, i) => {
      if (7 - i !== RSP) cpu.setGeneral(7 - i, size, value);
    });
    cpu.moveStack(8 * bytes);
    return Status.next;
  },
  enter: (cpu, { size }) => {
    const { state } = cpu;
    const bytes = size >> 3;
    const whole = cpu.immediate;
    const frameBytes = Number(whole & 0xffffn);
    const level = Number(whole >> 32n & 31n);
    const pointer = state.general[RSP];
    // In order: what was pushed before a fault stays below the stack pointer.
    const pushAt = (n: number, value: bigint) => {
      const linear = cpu.stackLinear(-n * bytes, bytes, true);
      cpu.memory.write(linear, bytes, BigInt.asUintN(size, value), cpu.privilege, true);
    };
    pushAt(1, state.general[RBP]);
    // Of a stack of 16 bits the upper half stays: all of it is the frame's address.
    const mask = state.stackMask;
    const frame = BigInt.asUintN(64, pointer & ~mask | pointer - BigInt(bytes) & mask);
    for (let i = 1; i < level; i++) {
      const display = BigInt.asUintN(64, state.general[RBP] - BigInt(i * bytes)) & mask;
      const linear = cpu.isLong64
        ? display
        : cpu.segmentLinear(segmentAt(Seg.ss), display, bytes, false);
      pushAt(1 + i, cpu.memory.read(linear, bytes, cpu.privilege, true));
    }
    if (level > 0) pushAt(1 + level, frame);
    const total = (1 + level) * bytes + frameBytes;
    // The processor touches where the stack will end, so that a missing page is found here.
    cpu.memory.checkWrite(cpu.stackLinear(-total, bytes, true), bytes, cpu.privilege, true);
    cpu.setGeneral(RBP, size, BigInt.asUintN(size, frame));
    cpu.moveStack(-total);
    return Status.next;
  },
} satisfies Readonly<Record<string, Service>>;
