/** FXSAVE and MXCSR (Intel SDM volume 1, 10.5 and 11.6; volume 2: FXRSTOR, FXSAVE, LDMXCSR, STMXCSR). */

import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../faults.ts";
import { rotateImage } from "../x87_state.ts";
import { MXCSR_AT } from "../state.ts";

const CR0_EM = 1 << 2;
const CR0_TS = 1 << 3;
/** Bits of MXCSR that exist; the FXSAVE image says the same. */
const MXCSR_MASK = 0xffff;
const MXCSR_MASK_AT = 28;
const IMAGE_MXCSR = 24;
const XMM_AT = 160;
const X87_BYTES = 160;

const vectorUnavailable = (cpu: Cpu): never => {
  const { cr0 } = cpu.state;
  const taken = (cr0 & CR0_EM) === 0 && (cr0 & CR0_TS) !== 0;
  return fault(cpu.state, taken ? Vector.deviceNotAvailable : Vector.undefinedOpcode);
};

function checkAvailable(cpu: Cpu): void {
  if (cpu.state.vectorGate !== 0) vectorUnavailable(cpu);
}

/** FXSAVE and FXRSTOR work without CR4.OSFXSR, but not with CR0.EM or TS. */
function checkImage(cpu: Cpu, isWrite: boolean): bigint {
  if ((cpu.state.cr0 & (CR0_EM | CR0_TS)) !== 0) {
    fault(cpu.state, Vector.deviceNotAvailable);
  }
  const linear = cpu.operandLinear(512, isWrite);
  if ((linear & 15n) !== 0n) fault(cpu.state, Vector.generalProtection, 0);
  return linear;
}

const registers = (cpu: Cpu): number => cpu.isLong64 ? 16 : 8;

/** See above. */
export const VECTOR_SERVICES = {
  vectorUnavailable: (cpu) => vectorUnavailable(cpu),
  ldmxcsr: (cpu) => {
    checkAvailable(cpu);
    const value = Number(cpu.readData(cpu.operandLinear(4, false), 4));
    if ((value & ~MXCSR_MASK) !== 0) fault(cpu.state, Vector.generalProtection, 0);
    cpu.data.setUint32(MXCSR_AT, value, true);
    return Status.next;
  },
  stmxcsr: (cpu) => {
    checkAvailable(cpu);
    const value = BigInt(cpu.data.getUint32(MXCSR_AT, true));
    cpu.writeData(cpu.operandLinear(4, true), 4, value);
    return Status.next;
  },
  fxsave: (cpu) => {
    const linear = checkImage(cpu, true);
    const bytes = cpu.state.xsave.slice(0, 512);
    rotateImage(bytes, cpu.x87.top);
    const image = new DataView(bytes.buffer);
    image.setUint32(MXCSR_MASK_AT, MXCSR_MASK, true);
    const end = XMM_AT + registers(cpu) * 16;
    cpu.memory.checkWrite(linear, end, cpu.privilege);
    for (let at = 0; at < end; at += 8) {
      cpu.writeData(BigInt.asUintN(64, linear + BigInt(at)), 8, image.getBigUint64(at, true));
    }
    return Status.next;
  },
  fxrstor: (cpu) => {
    const linear = checkImage(cpu, false);
    const at = (offset: number) => BigInt.asUintN(64, linear + BigInt(offset));
    const mxcsr = Number(cpu.readData(at(IMAGE_MXCSR), 4));
    if ((mxcsr & ~MXCSR_MASK) !== 0) fault(cpu.state, Vector.generalProtection, 0);
    const end = X87_BYTES + registers(cpu) * 16;
    // All of it is read before anything changes.
    const words = Array.from({ length: end / 8 }, (_, i) => cpu.readData(at(i * 8), 8));
    const { xsave } = cpu.state;
    const image = new DataView(xsave.buffer, xsave.byteOffset, xsave.byteLength);
    words.forEach((word, i) => image.setBigUint64(i * 8, word, true));
    rotateImage(xsave, -cpu.x87.top);
    cpu.x87.updateSummary();
    return Status.next;
  },
} satisfies Readonly<Record<string, Service>>;
