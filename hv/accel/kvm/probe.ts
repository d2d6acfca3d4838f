/**
 * What the host's KVM is worth: how fast it runs guest code.
 *
 * Some hosts offer KVM's whole interface without VT-x or AMD-V beneath: user-mode code then runs at
 * full speed and kernel-mode code through an emulator, a thousand times slower. Nothing announces
 * that, so it is measured.
 */

import { CountingLoop, type LoopMode } from "../counting_loop.ts";
import { measureSpeed, showSpeed, type Speed } from "../speed.ts";
import { createKvmVm } from "./create.ts";

/** A measured host. */
export interface KvmProbe {
  /** In kernel mode. */
  readonly speed: Speed;
  /** The processor runs it itself: faster than any emulation. */
  readonly native: boolean;
}

/**
 * KVM's emulator does 1 to 2 MIPS, hardware 1000: as far from both as can be, and the best of several
 * runs is compared with it, so that neither a slow exit nor a busy host decides.
 */
const NATIVE_INSTRUCTIONS_PER_SECOND = 40e6;
/** On an idle host 5 to 10 ms. */
const RUNS = { runs: 9, budgetMs: 150 };

/**
 * Measures KVM in kernel mode.
 *
 * @param path KVM's device, for tests.
 * @throws SysError, Error where it cannot be used at all
 */
export function probeKvm(path?: string): KvmProbe {
  const speed = measureKvm("kernel", path);
  return { speed, native: isNative(speed) };
}

/** Is that hardware's speed? */
export const isNative = ({ best }: Speed): boolean => best >= NATIVE_INSTRUCTIONS_PER_SECOND;

/**
 * Speed in kernel or user mode, in about 10 ms, and 150 at most.
 *
 * @throws SysError, Error where KVM cannot be used or does not run the code
 */
export function measureKvm(mode: LoopMode, path?: string): Speed {
  using loop = new CountingLoop(
    (memory) => createKvmVm({ memory, cpus: 1, cpu: "host", path }),
    mode,
  );
  // The first pass makes KVM's page tables and is not counted.
  loop.measure(1);
  return measureSpeed((rounds) => loop.measure(rounds), RUNS);
}

/** The measurement in words: `hardware speed`, or `emulated, 0.8 MIPS`. */
export function describeProbe({ native, speed }: KvmProbe): string {
  return native ? "hardware speed" : `emulated, ${showSpeed(speed)} MIPS`;
}
