/**
 * What the host's KVM is worth: what it offers, and how fast kernel-mode code runs on it.
 *
 * Some hosts offer KVM's whole interface without VT-x or AMD-V beneath: user-mode code then runs at
 * full speed and kernel-mode code through an emulator, a thousand times slower. Nothing announces
 * that, so it is measured: a counting loop in 32-bit protected mode at privilege level 0, which
 * every processor with VT-x or AMD-V runs natively (16-bit real mode is emulated on the oldest).
 */

import { monotonicNs } from "../../sys/mod.ts";
import { Exit } from "../accelerator.ts";
import * as cpu from "../cpu_state.ts";
import { createKvmVm } from "./create.ts";
import type { KvmVm } from "./vm.ts";
import type { KvmVcpu } from "./vcpu.ts";

/** A measured host. */
export interface KvmProbe {
  /** Kernel-mode instructions a second. */
  readonly instructionsPerSecond: number;
  /** The processor runs them itself: faster than any emulation. */
  readonly native: boolean;
}

/** KVM's emulator does about 1 MIPS, hardware 1000: anything between tells them apart. */
const NATIVE_INSTRUCTIONS_PER_SECOND = 20e6;
const SHORT_RUN = 500;
const LONG_RUN = 100_000;
/** Below this a long run would only cost time. */
const SURELY_EMULATED = 6e6;
/** Signals and timers interrupt a run; so many mean that it does not end. */
const MAX_INTERRUPTIONS = 1000;
const PORT = 0xe9;
const CODE_ADDRESS = 0x1000;

/** Counts ECX, which is set from outside, down to 0. */
const CODE = new Uint8Array([
  0x49, // again: dec ecx
  0x75,
  0xfd, // jnz again
  0xe6,
  PORT, // out PORT, al
  0xeb,
  0xf9, // jmp again
]);

/**
 * Measures KVM, in 2 to 20 ms.
 *
 * @param path KVM's device, for tests.
 * @throws SysError, Error where it cannot be used at all
 */
export function probeKvm(path?: string): KvmProbe {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  new Uint8Array(memory.buffer).set(CODE, CODE_ADDRESS);
  using vm = createKvmVm({ memory, cpus: 1, cpu: "host", path });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: memory.buffer.byteLength, memoryOffset: 0 });
  using vcpu = prepare(vm);
  // The first pass makes KVM's page tables and is not counted.
  measure(vcpu, 1);
  // The better of two: the thread may be preempted in one of them.
  let speed = Math.max(measure(vcpu, SHORT_RUN), measure(vcpu, SHORT_RUN));
  // The exit itself takes most of so short a run on hardware.
  if (speed > SURELY_EMULATED) speed = Math.max(speed, measure(vcpu, LONG_RUN));
  return { instructionsPerSecond: speed, native: speed >= NATIVE_INSTRUCTIONS_PER_SECOND };
}

/** The processor in flat 32-bit protected mode at `CODE_ADDRESS`. */
function prepare(vm: KvmVm): KvmVcpu {
  const vcpu = vm.openVcpu(0);
  const state = new cpu.CpuState(new ArrayBuffer(cpu.CpuState.byteLength));
  vcpu.save(state);
  const flat = cpu.ACCESS_PRESENT | cpu.ACCESS_S | cpu.ACCESS_DB | cpu.ACCESS_G;
  for (const name of ["es", "cs", "ss", "ds", "fs", "gs"] as const) {
    state[name].base = 0n;
    state[name].limit = 0xffff_ffff;
    state[name].selector = name === "cs" ? 0x8 : 0x10;
    state[name].access = flat | (name === "cs" ? 0xb : 0x3);
  }
  state.cr0 = 0x11n; // PE and ET
  state.rip = BigInt(CODE_ADDRESS);
  vcpu.restore(state);
  return vcpu;
}

/** Instructions a second of a loop of `iterations`, of two instructions each. */
function measure(vcpu: KvmVcpu, iterations: number): number {
  vcpu.registers.load();
  vcpu.registers.ecx = iterations;
  vcpu.registers.ip = CODE_ADDRESS;
  vcpu.registers.store();
  const start = monotonicNs();
  let exit = vcpu.run();
  for (let i = 0; exit === Exit.interrupted && i < MAX_INTERRUPTIONS; i++) exit = vcpu.run();
  const elapsedNs = monotonicNs() - start;
  if (exit !== Exit.port || vcpu.access.address !== PORT) {
    throw new Error(
      `Cannot measure KVM: ${exit === Exit.failed ? vcpu.failure() : `exit ${exit}`}`,
    );
  }
  return iterations * 2 * 1e9 / elapsedNs;
}

/** The measurement in words: `hardware speed`, or `emulated, 0.8 MIPS`. */
export function describeProbe(probe: KvmProbe): string {
  if (probe.native) return "hardware speed";
  return `emulated, ${(probe.instructionsPerSecond / 1e6).toFixed(1)} MIPS`;
}
