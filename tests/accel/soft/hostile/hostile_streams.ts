/**
 * Random instruction streams in every mode and privilege, for hostile_test.ts and hostile_run.ts:
 * valid instructions of all kinds, privileged ones too, and random bytes, with registers that point at
 * code, data, the stack, tables, devices and nowhere, and tables that are now and then spoilt.
 */

import { Exit } from "../../../../hv/accel/accelerator.ts";
import { CpuState } from "../../../../hv/accel/cpu_state.ts";
import { FEATURES } from "../../../../hv/accel/soft/model/cpuid.ts";
import { OPCODES } from "../../../../hv/accel/soft/decoder/opcode_map.ts";
import { AT } from "../../../../hv/accel/soft/state/state.ts";
import type { Random } from "../../../support/random.ts";
import { type Choice, encode, encodeLegacy } from "../compared/instruction_cases.ts";
import {
  CODE,
  DATA,
  GDT,
  HANDLERS,
  IDT,
  INT_END,
  PAGE_TABLES,
  STACK_OFFSET,
  SystemMachine,
  type SystemMode,
  TSS,
} from "../support/system_machine.ts";

/** Every combination of mode and privilege level that exists. */
export const HOSTILE_MODES: readonly (readonly [SystemMode, 0 | 3])[] = [
  ["real", 0],
  ["v86", 3],
  ["protected16", 0],
  ["protected16", 3],
  ["protected", 0],
  ["protected", 3],
  ["compatibility", 0],
  ["compatibility", 3],
  ["long", 0],
  ["long", 3],
];

/** Every instruction that the processor has. */
const ALL: readonly Choice[] = OPCODES.flatMap((opcode, index) =>
  (opcode?.variants ?? [])
    .filter(({ entry }) => entry.feature === undefined || FEATURES.has(entry.feature))
    .map((variant) => ({ map: index >> 8, opcode: index & 255, variant }))
);

const STREAM_BYTES = 0x200;
/** Tables, handlers, code, data and stack lie below: what is put back before each stream. */
const LOW_BYTES = 0x2_0000;
/** Exits that a stream may have before it is given up. */
const MAX_EXITS = 12;
const IRET = 0xcf;
const MAX_KICKS = 2;
const BASES = [CODE, DATA, CODE + STACK_OFFSET, PAGE_TABLES, GDT, IDT, TSS, 0xf_fff0, 0x10_0000, 0];

/** See above. */
export class HostileStreams {
  readonly machine: SystemMachine;
  /** How often each `Exit` came. */
  readonly exits: number[] = [0, 0, 0, 0, 0, 0];
  /** Messages of `Exit.failed`. */
  readonly failures = new Set<string>();
  /** The longest `Vcpu.run`, ms. */
  longestMs = 0;
  readonly #low: Uint8Array;
  readonly #state: CpuState;

  constructor(mode: SystemMode, cpl: 0 | 3) {
    this.machine = new SystemMachine(mode, cpl);
    this.#low = this.machine.bytes.slice(0, LOW_BYTES);
    this.#state = this.machine.initialState();
  }

  /** Runs one stream until it halts, shuts down or has had enough. Throws what the processor throws. */
  run(random: Random): void {
    const { machine: { vcpu, vm } } = this;
    this.#prepare(random);
    vm.hostWrote(0, LOW_BYTES);
    const state = new CpuState(copyOf(this.#state));
    this.#scatter(random, state);
    vcpu.restore(state);
    let kicks = 0;
    for (let i = 0; i < MAX_EXITS; i++) {
      const before = performance.now();
      const exit = vcpu.run();
      this.longestMs = Math.max(this.longestMs, performance.now() - before);
      this.exits[exit]++;
      if (exit === Exit.interrupted && ++kicks >= MAX_KICKS) return;
      if (exit === Exit.failed) this.failures.add(vcpu.failure());
      if (exit !== Exit.port && exit !== Exit.mmio && exit !== Exit.interrupted) return;
      if (exit !== Exit.interrupted && !vcpu.access.isWrite) {
        vcpu.access.data.setUint32(0, random.u32(), true);
        vcpu.access.data.setUint32(4, random.u32(), true);
      }
    }
  }

  #prepare(random: Random): void {
    const { bytes, mode } = this.machine;
    bytes.set(this.#low);
    // Handlers stop, return to what faulted, or return to the byte behind.
    const handlers = random.below(5);
    if (handlers > 1) {
      for (let vector = 0; vector < 32; vector++) {
        bytes.set(handlers === 2 ? [IRET] : skipping(mode, vector), HANDLERS + vector * 16);
      }
    }
    const plain = random.chance(30);
    const bits = mode === "long" ? 64 : mode === "real" || mode === "v86" ? 16 : 32;
    for (let at = CODE; at < CODE + STREAM_BYTES;) {
      const one = plain ? [random.u32() & 0xff] : this.#instruction(random, bits);
      bytes.set(one, at);
      at += one.length;
    }
    bytes.set(INT_END, CODE + STREAM_BYTES + 16);
    for (let i = 0; i < 64; i++) bytes[DATA + i] = random.u32();
    if (random.chance(20)) this.#spoil(random);
  }

  #instruction(random: Random, bits: 16 | 32 | 64): number[] {
    const choice = random.pick(ALL);
    return bits === 64 || choice.map > 3
      ? encode(random, choice)
      : encodeLegacy(random, choice, this.machine.mode === "protected16" ? 16 : bits);
  }

  /** Rubbish in a table: entries that point elsewhere, have reserved bits, or are noise. */
  #spoil(random: Random): void {
    const { bytes, view } = this.machine;
    const table = random.pick([GDT, IDT, TSS, PAGE_TABLES, PAGE_TABLES + 0x3000]);
    for (let i = 0; i < 16; i++) {
      const at = table + random.below(table >= PAGE_TABLES ? 0x200 : 0x100);
      if (random.chance(50)) bytes[at] = random.u32();
      else view.setUint32(at & ~3, random.u32(), true);
    }
  }

  #scatter(random: Random, state: CpuState): void {
    const { mode } = this.machine;
    const narrow = mode !== "long";
    for (let n = 0; n < 16; n++) {
      let value = BigInt(random.pick(BASES) + random.below(0x1000));
      if (random.chance(25)) value = BigInt(random.u32());
      if (random.chance(10)) value = value << 32n | BigInt(random.u32());
      state.general[n] = narrow ? value & 0xffff_ffffn : value;
    }
    if (random.chance(90)) state.general[4] = this.#state.general[4];
    // Counts that end, mostly.
    if (random.chance(80)) state.general[1] = BigInt(random.below(40));
    state.rflags |= BigInt(random.u32() & 0xcd5);
    if (random.chance(10)) state.rflags |= BigInt(random.u32() & 0x1d_7100);
    if (random.chance(30)) state.cr4 |= BigInt(random.u32() & 0x5_088f);
    if (random.chance(20)) state.cr0 |= BigInt(random.u32() & 0x5_002e);
    if (random.chance(10)) {
      state.dr7 = BigInt(random.u32());
      for (let i = 0; i < 4; i++) {
        state.debugAddresses[i] = BigInt(random.pick(BASES) + random.below(0x400));
      }
    }
    const paging = mode === "protected" || mode === "protected16" || mode === "v86";
    if (paging && random.chance(30)) {
      // The tables for PAE paging are those for 4 levels but for the first.
      state.cr0 |= 1n << 31n;
      state.cr3 = BigInt(PAGE_TABLES + 0x1000);
      if (random.chance(20)) state.cr4 &= ~0x20n;
    }
  }
}

/** A handler that returns to the byte behind the one where the exception was. */
function skipping(mode: SystemMode, vector: number): number[] {
  // push bp; mov bp, sp; inc word [bp + 2]; pop bp; iret
  if (mode === "real") return [0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, IRET];
  const hasError = [8, 10, 11, 12, 13, 14, 17].includes(vector);
  if (mode === "long" || mode === "compatibility") {
    return [...hasError ? [0x48, 0x83, 0xc4, 8] : [], 0x48, 0xff, 0x04, 0x24, 0x48, IRET];
  }
  return [...hasError ? [0x83, 0xc4, 4] : [], 0xff, 0x04, 0x24, IRET];
}

function copyOf(state: CpuState): ArrayBuffer {
  const copy = new ArrayBuffer(CpuState.byteLength);
  new CpuState(copy);
  new Uint8Array(copy).set(new Uint8Array(bufferOf(state), 0, CpuState.byteLength));
  return copy;
}

/** The buffer that a state lies in, from its beginning. */
const bufferOf = (state: CpuState): ArrayBufferLike => state.general.buffer;

/** Asks processor 0 for attention again and again from another thread, every `everyMs`. */
export async function startKicking(
  machine: SystemMachine,
  everyMs: number,
): Promise<{ [Symbol.dispose](): void }> {
  const words = (machine.vm.handle.detail as { states: WebAssembly.Memory[] }).states[0];
  const kick = 1; // Pending.kick
  const source = `self.onmessage = ({ data: { memory, at, kick, everyMs } }) => {
    const words = new Int32Array(memory.buffer);
    const never = new Int32Array(new SharedArrayBuffer(4));
    self.postMessage("ready");
    setInterval(() => {
      for (let i = 0; i < 50; i++) {
        Atomics.wait(never, 0, 0, everyMs);
        Atomics.or(words, at, kick);
        Atomics.notify(words, at);
      }
    }, 0);
  };`;
  const url = URL.createObjectURL(new Blob([source], { type: "application/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const ready = new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage({ memory: words, at: AT.pending >> 2, kick, everyMs });
  await ready;
  URL.revokeObjectURL(url);
  return { [Symbol.dispose]: () => worker.terminate() };
}
