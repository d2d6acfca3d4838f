/** Compares the software CPU with the real processor, one instruction after the other. */

import { createVm } from "../../../../hv/accel/mod.ts";
import { GENERAL_REGISTERS } from "../../../../hv/accel/cpu_state.ts";
import { ARITHMETIC } from "../../../../hv/accel/soft/state/flags_word.ts";
import { softVm } from "../support/soft_vm.ts";
import type { Random } from "../../../support/random.ts";
import { undefinedFlags } from "./flags_masks.ts";
import {
  CHOICES,
  COMPATIBILITY_CHOICES,
  makeCase,
  makeCompatibilityCase,
} from "./instruction_cases.ts";
import { type Case, DATA, type Outcome, UserMachine, X87_AFTER } from "../support/user_machine.ts";

const UNDEFINED_OPCODE = 6;

const hex = (value: number | bigint) => value.toString(16);

/** See above. */
export class Comparison {
  readonly #real: UserMachine;
  readonly #soft: UserMachine;
  readonly #compatibility: boolean;

  /** @param compatibility Compares 32-bit code in compatibility mode instead of 64-bit code. */
  constructor(compatibility = false) {
    this.#compatibility = compatibility;
    this.#real = new UserMachine(
      (memory) => createVm({ accelerator: "kvm", memory, cpus: 1 }),
      compatibility,
    );
    this.#soft = new UserMachine((memory) => softVm({ memory, cpus: 1 }), compatibility);
  }

  /** Fills both data areas alike. */
  fill(random: Random): void {
    const { data } = this.#real;
    for (let i = 0; i < data.length; i++) data[i] = random.u32();
    this.#soft.data.set(data);
  }

  /** Runs one random instruction on both; the result says how they differ, if they do. */
  step(random: Random, names?: ReadonlySet<string>): string | undefined {
    const choices = this.#compatibility ? COMPATIBILITY_CHOICES : CHOICES;
    let choice = random.pick(choices);
    while (names !== undefined && !names.has(choice.variant.entry.name)) {
      choice = random.pick(choices);
    }
    const one = (this.#compatibility ? makeCompatibilityCase : makeCase)(random, choice);
    const before = this.#real.data.slice();
    let real: Outcome;
    try {
      real = this.#real.run(one);
      if (real.vector === UNDEFINED_OPCODE) {
        // Now and then the first store to a page of the host goes through KVM's emulator, which does
        // not know every instruction; the second time the processor does it.
        this.#real.data.set(before);
        real = this.#real.run(one);
      }
    } catch (error) {
      throw new Error(describe(one, one.entry.name, [(error as Error).message]));
    }
    let soft: Outcome;
    try {
      soft = this.#soft.run(one);
    } catch (error) {
      this.#soft.data.set(this.#real.data);
      this.#soft.restart();
      return describe(one, one.entry.name, [(error as Error).message]);
    }
    // Of an address that is neither canonical nor aligned, KVM's emulator gives #GP where a prefix
    // names a segment that counts for nothing; without the prefix it is #SS.
    const nullPrefix = [0x26, 0x2e, 0x3e].some((prefix) => one.bytes.slice(0, 3).includes(prefix));
    if (nullPrefix && real.vector === 13 && soft.vector === 12) return undefined;
    const differences = compare(one.entry.name, real, soft, this.#compatibility);
    for (let i = 0; i < before.length; i++) {
      // Pointers to the last instruction and operand, and MXCSR's mask, are the processor's own.
      const image = DATA + i - X87_AFTER;
      if (one.x87 !== undefined && image >= 6 && image < 32) continue;
      const [a, b] = [this.#real.data[i], this.#soft.data[i]];
      if (a !== b) {
        differences.push(
          `[${hex(DATA + i)}]: ${hex(a)} is right, not ${hex(b)} (was ${hex(before[i])})`,
        );
        break;
      }
    }
    if (differences.length === 0) {
      if (one.x87 !== undefined) this.#soft.data.set(this.#real.data);
      return undefined;
    }
    this.#soft.data.set(this.#real.data);
    return describe(one, one.entry.name, differences);
  }
}

function compare(name: string, real: Outcome, soft: Outcome, compatibility: boolean): string[] {
  const differences: string[] = [];
  // KVM runs every instruction that gives #GP through its emulator: it makes #UD of those that the
  // emulator does not know, and another order of faults shows where there are several.
  const general = soft.vector === 12 || soft.vector === 13;
  // When neither operand of CMPS can be read, processors do not agree with themselves on the order.
  if (name === "cmps" && real.vector >= 13 && soft.vector >= 13) return [];
  if (general && (real.vector === 6 || real.vector === 14)) return [];
  // A repeated SCAS that faults leaves the flags of its last iteration on this processor. Where KVM
  // emulates compatibility mode, they are those with which it began or was last resumed, as the SDM has
  // it (volume 2, REP).
  const restored = compatibility && name === "scas" && real.vector === 14;
  const ignored = restored ? ARITHMETIC : undefinedFlags(name);
  const check = (what: string, a: number | bigint, b: number | bigint) => {
    if (a !== b) differences.push(`${what}: ${hex(a)} is right, not ${hex(b)}`);
  };
  check("vector", real.vector, soft.vector);
  check("error code", real.errorCode, soft.errorCode);
  check("rip", real.rip, soft.rip);
  check("flags", real.flags & ~ignored, soft.flags & ~ignored);
  check("cr2", real.cr2, soft.cr2);
  if (real.held !== soft.held) {
    const at = [...real.held].findIndex((letter, i) => letter !== soft.held[i]);
    differences.push(
      `left by #XM, from ${at}: ${real.held.slice(at, at + 32)} is right, not ${
        soft.held.slice(at, at + 32)
      }`,
    );
  }
  real.registers.forEach((value, i) => check(GENERAL_REGISTERS[i], value, soft.registers[i]));
  return differences;
}

function describe(one: Case, name: string, differences: string[]): string {
  const { bytes, registers, flags, mxcsr } = one;
  const code = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const before = GENERAL_REGISTERS.map((register, i) => `${register}=${hex(registers[i])}`).join(
    " ",
  );
  return `${name} (${code}) with ${before} flags=${hex(flags)}${
    mxcsr === undefined ? "" : ` mxcsr=${hex(mxcsr)}`
  }:\n  ${differences.join("\n  ")}`;
}
