/**
 * Rare arithmetic: decimal adjustments, 128-bit division, random numbers, the wide compare and
 * exchange (Intel SDM volume 2: AAA, AAD, AAM, AAS, DAA, DAS, BOUND, CMPXCHG8B, DIV, IDIV, RDRAND).
 */

import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { AF, ARITHMETIC, CF, PF, SF, ZF } from "../state/flags_word.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;

/** SF, ZF and PF of a byte. */
function byteFlags(value: number): number {
  let ones = 0;
  for (let i = 0; i < 8; i++) ones += value >> i & 1;
  return ((value & 0x80) !== 0 ? SF : 0) | (value === 0 ? ZF : 0) | (ones % 2 === 0 ? PF : 0);
}

const setArithmetic = (cpu: Cpu, flags: number): void => {
  cpu.flags = cpu.flags & ~ARITHMETIC | flags;
};

const al = (cpu: Cpu): number => Number(cpu.general(RAX, 8));
const setAl = (cpu: Cpu, value: number): void => cpu.setGeneral(RAX, 8, BigInt(value & 0xff));
const setAx = (cpu: Cpu, value: number): void => cpu.setGeneral(RAX, 16, BigInt(value & 0xffff));

const decimalAdjust = (sign: 1 | -1): Service => (cpu) => {
  const old = al(cpu);
  const flags = cpu.flags;
  let value = old;
  let next = 0;
  if ((old & 15) > 9 || (flags & AF) !== 0) {
    value += sign * 6;
    // The borrow of the first step counts too (DAS).
    if (sign < 0 && value < 0 || (flags & CF) !== 0) next |= CF;
    next |= AF;
  }
  if (old > 0x99 || (flags & CF) !== 0) {
    value += sign * 0x60;
    next |= CF;
  } else if (sign > 0) next &= ~CF;
  setAl(cpu, value);
  setArithmetic(cpu, next | byteFlags(value & 0xff));
  return Status.next;
};

const asciiAdjust = (sign: 1 | -1): Service => (cpu) => {
  const ax = Number(cpu.general(RAX, 16));
  const adjusts = (ax & 15) > 9 || (cpu.flags & AF) !== 0;
  const value = adjusts ? ax + sign * 0x106 : ax;
  setAx(cpu, value & 0xff0f);
  const kept = cpu.flags & ARITHMETIC & ~(AF | CF);
  setArithmetic(cpu, kept | (adjusts ? AF | CF : 0));
  return Status.next;
};

/** RDX:RAX divided by `slowValue`, in 128 bits. */
const divide = (isSigned: boolean): Service => (cpu) => {
  const { state } = cpu;
  const wide = state.general[RDX] << 64n | state.general[RAX];
  const dividend = isSigned ? BigInt.asIntN(128, wide) : wide;
  const divisor = isSigned ? BigInt.asIntN(64, state.slowValue) : state.slowValue;
  if (divisor === 0n) fault(state, Vector.divideError);
  const quotient = dividend / divisor;
  const fits = isSigned
    ? BigInt.asIntN(64, quotient) === quotient
    : BigInt.asUintN(64, quotient) === quotient;
  if (!fits) fault(state, Vector.divideError);
  state.general[RAX] = BigInt.asUintN(64, quotient);
  state.general[RDX] = BigInt.asUintN(64, dividend % divisor);
  return Status.next;
};

/** With LOCK, while the other processors stand. */
const locked = (service: Service): Service => (cpu, call) =>
  cpu.memory.world.stop(() => service(cpu, call));

/** CMPXCHG8B and CMPXCHG16B, by the size of a half. */
const compareExchange = (half: 32 | 64): Service => (cpu) => {
  const { state } = cpu;
  const bytes = half >> 3;
  const linear = cpu.operandLinear(bytes * 2, true);
  if (half === 64 && (linear & 15n) !== 0n) fault(state, Vector.generalProtection, 0);
  cpu.memory.checkWrite(linear, bytes * 2, cpu.privilege);
  const next = BigInt.asUintN(64, linear + BigInt(bytes));
  const low = cpu.readData(linear, bytes);
  const high = cpu.readData(next, bytes);
  const same = low === cpu.general(RAX, half) && high === cpu.general(RDX, half);
  cpu.writeData(linear, bytes, same ? cpu.general(RBX, half) : low);
  cpu.writeData(next, bytes, same ? cpu.general(RCX, half) : high);
  if (!same) {
    cpu.setGeneral(RAX, half, low);
    cpu.setGeneral(RDX, half, high);
  }
  cpu.flags = same ? cpu.flags | ZF : cpu.flags & ~ZF;
  return Status.next;
};

const random: Service = (cpu, { size }) => {
  const bytes = crypto.getRandomValues(new BigUint64Array(1));
  cpu.writeRegister(cpu.registerAt(0), size, BigInt.asUintN(size, bytes[0]));
  setArithmetic(cpu, CF);
  return Status.next;
};

/** See above. */
export const ARITHMETIC_SERVICES = {
  daa: decimalAdjust(1),
  das: decimalAdjust(-1),
  aaa: asciiAdjust(1),
  aas: asciiAdjust(-1),
  aam: (cpu) => {
    const base = Number(cpu.immediate & 0xffn);
    if (base === 0) fault(cpu.state, Vector.divideError);
    const value = al(cpu);
    setAx(cpu, Math.floor(value / base) << 8 | value % base);
    setArithmetic(cpu, byteFlags(value % base));
    return Status.next;
  },
  aad: (cpu) => {
    const ax = Number(cpu.general(RAX, 16));
    const value = (ax & 0xff) + (ax >> 8) * Number(cpu.immediate & 0xffn) & 0xff;
    setAx(cpu, value);
    setArithmetic(cpu, byteFlags(value));
    return Status.next;
  },
  bound: (cpu, { size }) => {
    const bytes = size >> 3;
    const index = BigInt.asIntN(size, cpu.readRegister(cpu.registerAt(0), size));
    const low = cpu.readData(cpu.operandLinear(bytes, false), bytes);
    const high = cpu.readData(cpu.operandLinear(bytes, false, BigInt(bytes)), bytes);
    if (index < BigInt.asIntN(size, low) || index > BigInt.asIntN(size, high)) {
      fault(cpu.state, Vector.bound);
    }
    return Status.next;
  },
  divideUnsigned: divide(false),
  divideSigned: divide(true),
  cmpxchg8b: compareExchange(32),
  cmpxchg16b: compareExchange(64),
  lock_cmpxchg8b: locked(compareExchange(32)),
  lock_cmpxchg16b: locked(compareExchange(64)),
  rdrand: random,
  rdseed: random,
} satisfies Readonly<Record<string, Service>>;
