/**
 * FLDENV, FSTENV, FRSTOR, FSAVE (Intel SDM volume 1, 8.1.10). The pointers to the last instruction and
 * its operand are not kept: they read as 0.
 */

import type { Cpu } from "../cpu.ts";
import type { Real } from "../float/module.ts";

const EXPONENT = 0x7fff;
const VALID = 0;
const ZERO = 1;
const SPECIAL = 2;

/** The two tag bits of a register that holds something. */
function tagOf([significand, rest]: Real): number {
  const exponent = rest & EXPONENT;
  if (exponent === 0) return significand === 0n ? ZERO : SPECIAL;
  return exponent === EXPONENT || significand >= 0n ? SPECIAL : VALID;
}

/** Words of the environment: 2 or 4 bytes each. */
const wordBytes = (size: number): number => size === 16 ? 2 : 4;
const ENVIRONMENT_WORDS = 7;

/** FNSTENV: all exceptions are masked afterwards. */
export function storeEnvironment(cpu: Cpu, size: number, bytesAfter = 0): bigint {
  const { x87: x } = cpu;
  const bytes = wordBytes(size);
  const length = ENVIRONMENT_WORDS * bytes;
  const linear = cpu.operandLinear(length + bytesAfter, true);
  cpu.memory.checkWrite(linear, length + bytesAfter, cpu.privilege);
  const words = [x.control, x.status, x.fullTags(tagOf), 0, 0, 0, 0];
  words.forEach((word, i) => {
    // What is above the 16 bits of the first three words and of the selectors reads as ones.
    const upper = bytes === 4 && i < 3 ? 0xffff_0000n : 0n;
    const at = BigInt.asUintN(64, linear + BigInt(i * bytes));
    cpu.writeData(at, bytes, BigInt(word) | upper);
  });
  x.control |= 0x3f;
  return BigInt.asUintN(64, linear + BigInt(length));
}

/** FLDENV. */
export function loadEnvironment(cpu: Cpu, size: number, bytesAfter = 0): void {
  const { x87: x } = cpu;
  const bytes = wordBytes(size);
  const linear = cpu.operandLinear(ENVIRONMENT_WORDS * bytes + bytesAfter, false);
  const word = (i: number) =>
    Number(cpu.readData(BigInt.asUintN(64, linear + BigInt(i * bytes)), 2));
  const [control, status, tags] = [word(0), word(1), word(2)];
  x.status = status;
  x.setFullTags(tags);
  x.control = control;
}

const REGISTER_BYTES = 80;

/** FNSAVE: the environment, the registers in the order of the stack, then as FNINIT. */
export function saveAll(cpu: Cpu, size: number): void {
  const { x87: x } = cpu;
  const after = storeEnvironment(cpu, size, REGISTER_BYTES);
  for (let i = 0; i < 8; i++) {
    const [significand, rest] = x.read(i);
    const at = BigInt.asUintN(64, after + BigInt(i * 10));
    cpu.writeData(at, 8, BigInt.asUintN(64, significand));
    cpu.writeData(BigInt.asUintN(64, at + 8n), 2, BigInt(rest));
  }
  x.initialize();
}

/** FRSTOR. */
export function restoreAll(cpu: Cpu, size: number): void {
  const { x87: x } = cpu;
  const bytes = ENVIRONMENT_WORDS * wordBytes(size);
  const linear = cpu.operandLinear(bytes + REGISTER_BYTES, false);
  const registers = Array.from({ length: 8 }, (_, i): Real => {
    const at = BigInt.asUintN(64, linear + BigInt(bytes + i * 10));
    const low = cpu.readData(at, 8);
    return [
      BigInt.asIntN(64, low),
      Number(cpu.readData(BigInt.asUintN(64, at + 8n), 2)),
    ];
  });
  loadEnvironment(cpu, size, REGISTER_BYTES);
  registers.forEach((one, i) => x.writePhysical(x.top + i & 7, one));
}
