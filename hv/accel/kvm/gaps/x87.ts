/**
 * x87 instructions (D8h to DFh) and WAIT (9Bh), which KVM's emulator lacks but for a few: the real
 * processor carries them out, see user_step.ts. The environment and state instructions (FLDENV,
 * FNSTENV, FNSAVE, FRSTOR) are left out: their layout is another in each mode.
 *
 * Reference: Intel SDM volume 1, 8.3 and 8.7; volume 2, appendix B.17.
 */

import { bytesOf } from "../../../core/record.ts";
import { call, KVM_GET_FPU, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS } from "../ioctl.ts";
import { kvm_fpu, kvm_vcpu_events } from "../structs.ts";
import { decodeOperand, type Opcode } from "./instruction.ts";
import { CR0_EM, CR0_TS, type StoppedCpu } from "./stopped_cpu.ts";
import type { UserStep } from "./user_step.ts";

export const WAIT = 0x9b;
const CR0_MP = 2n;
/** Device not available, and floating-point error. */
const NM = 7;
const MF = 16;
/** Exception bits of the status and control words. */
const EXCEPTIONS = 0x3f;
/** ModR/M for `[rdi]`, and for registers. */
const AT_RDI = 7;
const REGISTERS = 0xc0;

const _ = 0;
/** Bytes of the memory operand, by opcode D8h to DFh and ModR/M reg; 0 for those left out. */
const OPERAND_BYTES = [
  [4, 4, 4, 4, 4, 4, 4, 4],
  [4, _, 4, 4, _, 2, _, 2],
  [4, 4, 4, 4, 4, 4, 4, 4],
  [4, 4, 4, 4, _, 10, _, 10],
  [8, 8, 8, 8, 8, 8, 8, 8],
  [8, 8, 8, 8, _, _, _, 2],
  [2, 2, 2, 2, 2, 2, 2, 2],
  [2, 2, 2, 2, 10, 8, 10, 8],
];

/** Is this opcode one of x87's? */
export const isX87 = (opcode: number): boolean => opcode >= 0xd8 && opcode <= 0xdf;

/**
 * Carries the instruction at RIP out, or raises the exception that it raises; false, with nothing
 * changed, when neither can be.
 */
export function carryOutX87(
  cpu: StoppedCpu,
  code: Uint8Array,
  opcode: Opcode,
  step: UserStep,
): boolean {
  const { regs, sregs } = cpu;
  const isWait = opcode.opcode === WAIT;
  const unavailable = isWait
    ? (sregs.cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)
    : (sregs.cr0 & (CR0_EM | CR0_TS)) !== 0n;
  if (unavailable) return raise(cpu, NM);
  if (errorIsPending(cpu)) return raise(cpu, MF);
  if (isWait) {
    regs.rip = next(cpu, opcode.prefixes + 1);
    return true;
  }
  const operand = decodeOperand(cpu, code, opcode);
  if (operand === undefined) return false;
  const { register, linear, reg, length } = operand;
  let data: Uint8Array = new Uint8Array(0);
  if (register === undefined) {
    const bytes = OPERAND_BYTES[opcode.opcode & 7][reg];
    const read = bytes === 0 ? undefined : cpu.read(linear, bytes);
    if (read === undefined) return false;
    data = read;
  }
  const before = data.slice();
  const modrm = register === undefined ? AT_RDI : REGISTERS | register;
  const instruction = new Uint8Array([opcode.opcode, modrm | (reg << 3)]);
  const after = next(cpu, opcode.prefixes + 1 + length);
  const rip = regs.rip;
  regs.rip = after;
  if (!step.run(cpu, instruction, data)) {
    regs.rip = rip;
    return false;
  }
  const changed = data.some((byte, i) => byte !== before[i]);
  return !changed || cpu.write(linear, data);
}

function next({ regs, codeBits }: StoppedCpu, length: number): bigint {
  return BigInt.asUintN(codeBits, regs.rip + BigInt(length));
}

/** An unmasked exception of an earlier instruction; the few that do not wait KVM has itself. */
function errorIsPending({ fd }: StoppedCpu): boolean {
  const fpu = new kvm_fpu(new ArrayBuffer(kvm_fpu.byteLength));
  call(fd, KVM_GET_FPU, bytesOf(fpu));
  return (fpu.fsw & ~fpu.fcw & EXCEPTIONS) !== 0;
}

/** Has KVM deliver an exception without an error code at the instruction. */
function raise({ fd }: StoppedCpu, vector: number): boolean {
  const events = new kvm_vcpu_events(new ArrayBuffer(kvm_vcpu_events.byteLength));
  call(fd, KVM_GET_VCPU_EVENTS, bytesOf(events));
  events.exception_injected = 1;
  events.exception_nr = vector;
  events.exception_has_error_code = 0;
  events.flags = 0;
  call(fd, KVM_SET_VCPU_EVENTS, bytesOf(events));
  return true;
}
