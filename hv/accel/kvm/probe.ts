/**
 * What the host's KVM is worth: how fast it runs guest code.
 *
 * Some hosts offer KVM's whole interface without VT-x or AMD-V beneath: user-mode code then runs at
 * full speed and kernel-mode code through an emulator, a thousand times slower. Nothing announces
 * that, so it is measured.
 */

import { CountingLoop, type LoopMode } from "../counting_loop.ts";
import { createKvmVm } from "./create.ts";

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

/**
 * Measures KVM in kernel mode, in 2 to 20 ms.
 *
 * @param path KVM's device, for tests.
 * @throws SysError, Error where it cannot be used at all
 */
export function probeKvm(path?: string): KvmProbe {
  const speed = measureKvm("kernel", path);
  return { instructionsPerSecond: speed, native: speed >= NATIVE_INSTRUCTIONS_PER_SECOND };
}

/**
 * Instructions a second in kernel or user mode, in 2 to 20 ms.
 *
 * @throws SysError, Error where KVM cannot be used or does not run the code
 */
export function measureKvm(mode: LoopMode, path?: string): number {
  using loop = new CountingLoop(
    (memory) => createKvmVm({ memory, cpus: 1, cpu: "host", path }),
    mode,
  );
  // The first pass makes KVM's page tables and is not counted.
  loop.measure(1);
  // The better of two: the thread may be preempted in one of them.
  const speed = Math.max(loop.measure(SHORT_RUN), loop.measure(SHORT_RUN));
  // The exit itself takes most of so short a run on hardware.
  return speed > SURELY_EMULATED ? Math.max(speed, loop.measure(LONG_RUN)) : speed;
}

/** The measurement in words: `hardware speed`, or `emulated, 0.8 MIPS`. */
export function describeProbe(probe: KvmProbe): string {
  if (probe.native) return "hardware speed";
  return `emulated, ${(probe.instructionsPerSecond / 1e6).toFixed(1)} MIPS`;
}
