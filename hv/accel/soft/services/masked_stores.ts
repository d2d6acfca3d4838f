/** MASKMOVDQU and MASKMOVQ: bytes to DS:rDI where the mask's sign is set (Intel SDM volume 2). */

import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";

const RDI = 7;

/** `bytes` of the first operand under those of the second. */
function store(cpu: Cpu, bytes: number): Status {
  const { data } = cpu;
  const [from, mask] = [cpu.registerAt(0), cpu.registerAt(1)];
  const offset = cpu.general(RDI, 64);
  // The whole of it counts for faults, whatever the mask says, as on AMD's processors.
  cpu.memory.checkWrite(cpu.memoryLinear(offset, bytes, true), bytes, cpu.privilege);
  for (let i = 0; i < bytes; i++) {
    if (data.getInt8(mask + i) >= 0) continue;
    const linear = cpu.memoryLinear(offset + BigInt(i), 1, true);
    cpu.writeData(linear, 1, BigInt(data.getUint8(from + i)));
  }
  return Status.next;
}

/** See above. */
export const MASKED_STORE_SERVICES = {
  maskmovdqu: (cpu) => store(cpu, 16),
  maskmovq: (cpu) => store(cpu, 8),
} satisfies Readonly<Record<string, Service>>;
