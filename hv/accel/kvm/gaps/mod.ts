/**
 * Instructions that KVM's emulator lacks, where it runs the guest's kernel-mode code: common ones are
 * carried out here, so that boot loaders and memory testers run on such hosts, too. Whatever is left
 * ends the machine with an error that names it, as before.
 *
 * Only code at privilege level 0 of protected and long mode is helped: there is no check of a page's
 * protection here that lower levels would need.
 */

import { bytesOf } from "../../../core/record.ts";
import type { RegisterSync } from "../register_sync.ts";
import { decodeOpcode, MAX_BYTES } from "./instruction.ts";
import { IRET, returnFromInterrupt } from "./return.ts";
import { StoppedCpu, type StoppedCpuHost } from "./stopped_cpu.ts";
import { UserStep, type UserStepHost } from "./user_step.ts";
import { carryOutX87, isX87, WAIT } from "./x87.ts";

export { makeScratch, mapScratch, SCRATCH_ADDRESS } from "./user_step.ts";

/** See above. */
export class EmulatorGaps {
  readonly #cpu: StoppedCpu;
  readonly #step: UserStep;
  readonly #sync: RegisterSync;

  constructor(host: StoppedCpuHost & UserStepHost, sync: RegisterSync) {
    this.#cpu = new StoppedCpu(host);
    this.#step = new UserStep(host);
    this.#sync = sync;
  }

  /** Carries out the instruction that KVM stopped at; false when it is none of those. */
  fill(): boolean {
    const cpu = this.#cpu;
    this.#sync.load(bytesOf(cpu.regs));
    this.#sync.loadSpecial(bytesOf(cpu.sregs));
    if (!cpu.isKernel) return false;
    const code = this.#code();
    const opcode = decodeOpcode(cpu, code);
    if (opcode === undefined || opcode.hasLockOrRepeat) return false;
    if (opcode.opcode === IRET) {
      if (!returnFromInterrupt(cpu, opcode)) return false;
      this.#sync.storeSpecial(bytesOf(cpu.sregs));
    } else if (isX87(opcode.opcode) || opcode.opcode === WAIT) {
      this.#sync.flush();
      this.#sync.discard();
      if (!carryOutX87(cpu, code, opcode, this.#step)) return false;
    } else {
      return false;
    }
    this.#sync.store(bytesOf(cpu.regs));
    return true;
  }

  /** The bytes at RIP; fewer than an instruction can have at the end of memory. */
  #code(): Uint8Array {
    const cpu = this.#cpu;
    const at = cpu.codeAddress(cpu.regs.rip);
    const whole = cpu.read(at, MAX_BYTES);
    if (whole !== undefined) return whole;
    const inPage = Number(4096n - at % 4096n);
    return inPage < MAX_BYTES ? cpu.read(at, inPage) ?? new Uint8Array(0) : new Uint8Array(0);
  }
}
