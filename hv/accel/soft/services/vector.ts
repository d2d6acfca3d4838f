/** MXCSR, and what SSE instructions give where they may not run (Intel SDM volume 1, 10.2.3 and 11.6). */

import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { MXCSR_AT } from "../state/state.ts";
import { MXCSR_MASK } from "./saved_state.ts";

const CR0_EM = 1 << 2;
const CR0_TS = 1 << 3;

const vectorUnavailable = (cpu: Cpu): never => {
  const { cr0 } = cpu.state;
  const taken = (cr0 & CR0_EM) === 0 && (cr0 & CR0_TS) !== 0;
  return fault(cpu.state, taken ? Vector.deviceNotAvailable : Vector.undefinedOpcode);
};

function checkAvailable(cpu: Cpu): void {
  if (cpu.state.vectorGate !== 0) vectorUnavailable(cpu);
}

/** See above. */
export const VECTOR_SERVICES = {
  vectorUnavailable: (cpu) => vectorUnavailable(cpu),
  mmxUnavailable: (cpu) => {
    const { cr0 } = cpu.state;
    if ((cr0 & CR0_EM) !== 0) fault(cpu.state, Vector.undefinedOpcode);
    cpu.x87.begin(true);
    return Status.next;
  },
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
} satisfies Readonly<Record<string, Service>>;
