/**
 * Random programs of several blocks, for translator_test.ts: any user-mode instructions, branches between
 * the blocks on whatever flags these leave, and an exception handler that goes on elsewhere. A count in
 * memory ends every program.
 */

import type { CpuState } from "../../../../hv/accel/cpu_state.ts";
import type { TranslationPolicy } from "../../../../hv/accel/soft/translator/translator.ts";
import type { Random } from "../../../support/random.ts";
import {
  type Choice,
  CHOICES,
  encode,
  encodeLegacy,
  LEGACY_CHOICES,
} from "../compared/instruction_cases.ts";
import {
  CODE,
  DATA,
  HANDLERS,
  PAGE_TABLES,
  STACK_OFFSET,
  SystemMachine,
} from "../support/system_machine.ts";

/** Modes in which programs are made. */
export type ProgramMode = "long" | "protected";

/** Blocks that a program executes before it ends. */
const STEPS = 600;
const COUNT = 0x2_0000;
const MAX_BLOCKS = 8;
const VECTORS = 32;
const HLT = 0xf4;
const HAS_ERROR = [8, 10, 11, 12, 13, 14, 17];

/** Not what leaves the program, waits, or is not the same twice. */
const LEFT_OUT =
  /^(j.*|call|ret|loop.*|int.*|iret|hlt|rd.*|wr.*fsbase|wr.*gsbase|syscall|popf|cli|sti|in.*|out.*|x?save.*|x87)$|Far|egment/;
const plain = (choices: readonly Choice[]) =>
  choices.filter(({ variant: { entry } }) => !LEFT_OUT.test(entry.name));
const LONG = plain(CHOICES);
const PROTECTED = plain(LEGACY_CHOICES);

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => value >>> (8 * i) & 0xff);

/** Where the values of registers point mostly: data, and now and then the program itself. */
function pointer(random: Random): number {
  if (random.chance(4)) return CODE + random.below(0x400);
  return DATA + 0x400 + random.below(0x800);
}

/** MOV r32, imm32 for all registers but the stack pointer. */
function loadRegisters(random: Random, mode: ProgramMode): number[] {
  const bytes: number[] = [];
  for (let n = 0; n < (mode === "long" ? 16 : 8); n++) {
    if (n === 4) continue;
    if (n >= 8) bytes.push(0x41);
    const value = n === 1 ? random.below(20) : pointer(random);
    bytes.push(0xb8 + (n & 7), ...little(value, 4));
  }
  return bytes;
}

/** The program's bytes, from `CODE`; the second is where the handlers go on. */
function makeProgram(random: Random, mode: ProgramMode): { bytes: number[]; recovery: number } {
  const bytes: number[] = [];
  const starts: number[] = [];
  const branches: { at: number; target: number }[] = [];
  const blocks = 2 + random.below(MAX_BLOCKS - 1);
  const branch = (opcode: readonly number[], target: number) => {
    bytes.push(...opcode);
    branches.push({ at: bytes.length, target });
    bytes.push(0, 0, 0, 0);
  };
  const end = blocks;
  for (let number = 0; number < blocks; number++) {
    starts.push(bytes.length);
    // dec dword [COUNT]; jz end
    bytes.push(0xff, ...mode === "long" ? [0x0c, 0x25] : [0x0d], ...little(COUNT, 4));
    branch([0x0f, 0x84], end);
    if (number === 0 || random.chance(30)) bytes.push(...loadRegisters(random, mode));
    for (let left = random.below(7); left > 0; left--) {
      bytes.push(
        ...mode === "long"
          ? encode(random, random.pick(LONG))
          : encodeLegacy(random, random.pick(PROTECTED), 32),
      );
    }
    const kind = random.below(10);
    if (kind < 6) branch([0x0f, 0x80 + random.below(16)], random.below(blocks));
    else if (kind < 7) branch([0xe8], random.below(blocks));
    else if (kind < 8) branch([0xe9], random.below(blocks));
    // Else the next block follows.
    if (number === blocks - 1) branch([0xe9], 0);
  }
  starts.push(bytes.length);
  bytes.push(HLT);
  for (const { at, target } of branches) {
    little(starts[target] - (at + 4), 4).forEach((byte, i) => bytes[at + i] = byte);
  }
  return { bytes, recovery: CODE + starts[random.below(blocks)] };
}

/** An exception's handler: a whole stack again, and on with `recovery`. */
function handler(vector: number, mode: ProgramMode, recovery: number): number[] {
  const hasError = HAS_ERROR.includes(vector);
  return mode === "long"
    ? [
      ...hasError ? [0x48, 0x83, 0xc4, 8] : [],
      0x48,
      0xc7,
      0x04,
      0x24,
      ...little(recovery, 4),
      0x48,
      0xcf,
    ]
    : [...hasError ? [0x83, 0xc4, 4] : [], 0xc7, 0x04, 0x24, ...little(recovery, 4), 0xcf];
}

const MEMORY = 0x2_1000;

/** A machine on which programs are run. */
export class ProgramMachine {
  readonly #machine: SystemMachine;
  readonly #mode: ProgramMode;
  readonly #clean: Uint8Array;

  constructor(mode: ProgramMode, translation: TranslationPolicy) {
    this.#mode = mode;
    this.#machine = new SystemMachine(mode, 0, { translation });
    // Tables, handlers and the program can only be read: it would change what ends it.
    for (let page = 0; page < DATA >> 12; page++) {
      this.#machine.setPage(page, BigInt(page << 12) | 5n);
    }
    // What runs on through memory does not come to the count.
    for (let page = CODE + STACK_OFFSET >> 12; page < COUNT >> 12; page++) {
      this.#machine.setPage(page, 0n);
    }
    this.#clean = this.#machine.bytes.slice(0, MEMORY);
  }

  /** Runs the next program of `random`; what it left, as text. */
  run(random: Random): string {
    const { bytes, view, vm } = this.#machine;
    bytes.set(this.#clean);
    const { bytes: program, recovery } = makeProgram(random, this.#mode);
    for (let vector = 0; vector < VECTORS; vector++) {
      bytes.set(handler(vector, this.#mode, recovery), HANDLERS + vector * 16);
    }
    for (let at = DATA; at < DATA + 0x1000; at += 4) view.setUint32(at, random.u32(), true);
    view.setUint32(COUNT, STEPS, true);
    vm.hostWrote(0, MEMORY);
    const { vector, exit, state } = this.#machine.run(program, (state) => {
      state.general[4] = BigInt(CODE + STACK_OFFSET);
      if (this.#mode === "long") return;
      // The tables for PAE paging are those for 4 levels but for the first.
      state.cr0 |= 1n << 31n | 1n << 16n;
      state.cr3 = BigInt(PAGE_TABLES + 0x1000);
    });
    return [
      `exit ${exit}, vector ${vector}, rip ${hex(state.rip)}, flags ${hex(state.rflags)}`,
      ...[...state.general].map((value, n) => `r${n} ${hex(value)}`),
      `fpu ${digest(fpuOf(state))}`,
      `left ${view.getUint32(COUNT, true)}`,
      ...[0, 0x1_0000, 0x1_4000, 0x1_5000].map((at, i, all) =>
        `memory from ${hex(at)} ${digest(bytes.subarray(at, all[i + 1] ?? MEMORY))}`
      ),
      `code ${program.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`,
    ].join("\n");
  }
}

const fpuOf = (state: CpuState): Uint8Array => state.xsave;
const hex = (value: number | bigint): string => value.toString(16);

function digest(bytes: Uint8Array): string {
  let hash = 0;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193) + 1 | 0;
  return (hash >>> 0).toString(16);
}
