/** Compares 16- and 32-bit code with what KVM does (see legacy_machine.ts). */

import { createVm, Exit } from "../../../../hv/accel/mod.ts";
import { softVm } from "../support/soft_vm.ts";
import type { Random } from "../../../support/random.ts";
import { undefinedFlags } from "./flags_masks.ts";
import { encodeLegacy, LEGACY_CHOICES } from "./instruction_cases.ts";
import { type Case, DATA, LegacyMachine, type Mode } from "../support/legacy_machine.ts";

const NAMES = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"];
const hex = (value: number) => (value >>> 0).toString(16);
/** RF, and what the emulator does not keep. */
const COMPARED_FLAGS = 0xcd5;

/** See above. */
export class LegacyComparison {
  readonly #mode: Mode;
  readonly #kvm: LegacyMachine;
  readonly #soft: LegacyMachine;

  constructor(mode: Mode) {
    this.#mode = mode;
    this.#kvm = new LegacyMachine(
      (memory) => createVm({ accelerator: "kvm", memory, cpus: 1 }),
      mode,
    );
    this.#soft = new LegacyMachine((memory) => softVm({ memory, cpus: 1 }), mode);
  }

  /** Fills both data areas alike. */
  fill(random: Random): void {
    const { data } = this.#kvm;
    for (let i = 0; i < data.length; i++) data[i] = random.u32();
    this.#soft.data.set(data);
  }

  /** Runs one random instruction on both; the result says how they differ, if they do. */
  step(random: Random, names?: ReadonlySet<string>): string | undefined {
    let choice = random.pick(LEGACY_CHOICES);
    while (names !== undefined && !names.has(choice.variant.entry.name)) {
      choice = random.pick(LEGACY_CHOICES);
    }
    const { name } = choice.variant.entry;
    const bytes = encodeLegacy(random, choice, this.#mode === "real" ? 16 : 32);
    const pointer = () => DATA + 0x800 + random.below(0x4800);
    const registers = NAMES.slice(0, 8).map(() =>
      random.chance(50) ? pointer() : random.chance(50) ? random.below(70) : random.u32()
    );
    registers[4] = pointer();
    registers[2] |= 0x800; // not the port of a device that KVM has
    if (/movs|stos|lods|scas|cmps/.test(name)) registers[1] = random.below(20);
    const one: Case = { bytes, registers, flags: random.u32() & 0x8d5 | 2 };
    const real = this.#kvm.run(one);
    const soft = this.#soft.run(one);
    const port = real.registers[2] & 0xffff;
    if (real.exit === Exit.failed || real.exit === Exit.interrupted || port < 0x800) {
      // Beyond KVM's emulator, or DX has become the port of a device that KVM has.
      this.#soft.data.set(this.#kvm.data);
      this.#kvm.restart();
      this.#soft.restart();
      return undefined;
    }
    const differences: string[] = [];
    const check = (what: string, a: number, b: number) => {
      if (a !== b) differences.push(`${what}: ${hex(a)} is right, not ${hex(b)}`);
    };
    check("exit", real.exit, soft.exit);
    check("vector or port", real.vector, soft.vector);
    const mask = COMPARED_FLAGS & ~undefinedFlags(name);
    check("eflags", real.eflags & mask, soft.eflags & mask);
    NAMES.forEach((what, i) => check(what, real.registers[i] ?? 0, soft.registers[i] ?? 0));
    for (let i = 0; i < this.#kvm.data.length && differences.length === 0; i++) {
      const [a, b] = [this.#kvm.data[i], this.#soft.data[i]];
      // The image of the flags that an exception pushes has what is undefined.
      if (a !== b && real.vector < 0) check(`[${hex(DATA + i)}]`, a, b);
    }
    const plain = real.vector === -1 && differences.length === 0;
    if (!plain) {
      this.#soft.data.set(this.#kvm.data);
      this.#kvm.restart();
      this.#soft.restart();
    }
    if (differences.length === 0) return undefined;
    const code = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const before = registers.map((value, i) => `${NAMES[i]}=${hex(value)}`).join(" ");
    return `${name} (${code}) with ${before} flags=${hex(one.flags)}:\n  ${
      differences.join("\n  ")
    }`;
  }
}
