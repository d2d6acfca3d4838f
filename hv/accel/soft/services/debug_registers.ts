/** MOV to and from debug registers (Intel SDM volume 3, 17.2; volume 2, MOV). */

import {
  DR6_BD,
  DR6_ONES,
  DR6_WRITABLE,
  DR7_GD,
  DR7_ONES,
  DR7_WRITABLE,
} from "../events/breakpoints.ts";
import { Status } from "../codegen/operation.ts";
import { CR4_DE } from "../state/control_bits.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { goOn } from "./control_registers.ts";
import { requirePrivilege } from "./segments.ts";

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE; DR7.GD guards them all. */
function debugRegister(cpu: Cpu): number {
  const { state } = cpu;
  let n = Number(cpu.immediate);
  if (n === 4 || n === 5) {
    if ((state.cr4 & CR4_DE) !== 0) fault(state, Vector.undefinedOpcode);
    n += 2;
  }
  requirePrivilege(cpu);
  if ((state.dr7 & DR7_GD) !== 0) {
    cpu.breakpoints.show(DR6_BD);
    fault(state, Vector.debug);
  }
  return n;
}

/** See above. */
export const DEBUG_SERVICES = {
  movFromDebug: (cpu) => {
    const { state } = cpu;
    const n = debugRegister(cpu);
    const value = n < 4 ? state.debugAddresses[n] : BigInt(n === 6 ? state.dr6 : state.dr7);
    cpu.writeRegister(cpu.registerAt(0), cpu.isLong64 ? 64 : 32, value);
    return Status.next;
  },
  movToDebug: (cpu) => {
    const { state } = cpu;
    const n = debugRegister(cpu);
    const value = cpu.readRegister(cpu.registerAt(0), cpu.isLong64 ? 64 : 32);
    if (n >= 4 && value >> 32n !== 0n) fault(state, Vector.generalProtection, 0);
    const low = Number(value & 0xffff_ffffn);
    if (n < 4) state.debugAddresses[n] = value;
    else if (n === 6) state.dr6 = low & DR6_WRITABLE | DR6_ONES;
    else state.dr7 = low & DR7_WRITABLE | DR7_ONES;
    if (n !== 6) cpu.breakpoints.update();
    // What follows may have to run otherwise now.
    return goOn(cpu);
  },
} satisfies Readonly<Record<string, Service>>;
