/**
 * Moves a machine that stands from one accelerator to the other: over the same guest memory and the same
 * arena another virtual machine is made, gets the processors' and chips' state, and new threads.
 *
 * Until the old threads are ended nothing of the old virtual machine has been touched: whatever fails
 * before leaves the machine as it was.
 */

import type { Vcpu } from "../accel/accelerator.ts";
import { createVm } from "../accel/mod.ts";
import type { CurrentVm, VmWithChips } from "./current_vm.ts";
import { HostError } from "../errors.ts";
import {
  loadInterrupts,
  type MachineSeed,
  type MachineThread,
  mainInterrupts,
} from "../threads/machine_thread.ts";
import { type Kept, restoreMachine, saveMachine } from "./machine_state.ts";

export type { Kept } from "./machine_state.ts";

/** The machine as it is. */
export interface SwitchParts {
  readonly seed: MachineSeed;
  /** Main's attachment, which stays. */
  readonly thread: MachineThread;
  readonly vm: CurrentVm;
  readonly vcpus: readonly Vcpu[];
  /** Processor and features on KVM. */
  readonly cpu: string;
  readonly kept: Kept | undefined;
  /** Ends the threads; false when one could not be ended. */
  stopThreads(): Promise<boolean>;
}

/** What has taken its place; the threads are yet to be started. */
export interface Switched {
  readonly seed: MachineSeed;
  readonly vcpus: readonly Vcpu[];
  readonly kept: Kept;
}

/**
 * See above; nothing runs.
 *
 * @throws {HostError} When the other accelerator cannot be used or cannot take the guest's state.
 */
export async function switchAccelerator(
  accelerator: "kvm" | "soft",
  parts: SwitchParts,
): Promise<Switched> {
  const { seed, thread, vm, vcpus, cpu, kept } = parts;
  const before = vm.current;
  const made: Disposable[] = [];
  try {
    const next = await makeVm(accelerator, parts, cpu);
    made.push(next.vm);
    const state = saveMachine(vm, vcpus, kept);
    vm.current = next;
    thread.pc.mapMemory();
    const opened = vcpus.map(({ index }) => next.vm.openVcpu(index));
    made.push(...opened);
    const left = restoreMachine(next, opened, state);
    vm.current = before;
    if (!await parts.stopThreads()) {
      throw new HostError("a thread of the machine could not be ended; dispose of the machine");
    }
    vm.current = next;
    for (const vcpu of vcpus) vcpu[Symbol.dispose]();
    before.vm[Symbol.dispose]();
    const config = { ...seed.config, accelerator };
    return { seed: { ...seed, config, vm: next.vm.handle }, vcpus: opened, kept: left };
  } catch (error) {
    vm.current = before;
    for (const one of made.reverse()) one[Symbol.dispose]();
    const name = accelerator === "kvm" ? "KVM" : "the software CPU";
    throw new HostError(`Cannot go on on ${name}: ${(error as Error).message}`, { cause: error });
  }
}

async function makeVm(
  accelerator: "kvm" | "soft",
  { seed, thread }: SwitchParts,
  cpu: string,
): Promise<VmWithChips> {
  const Interrupts = await loadInterrupts(accelerator);
  const { cpus } = seed.config;
  const vm = createVm({
    accelerator,
    memory: thread.memory.memory,
    cpus,
    cpu,
    clock: thread.clock,
  });
  if (Interrupts === undefined) return { vm };
  const interrupts = mainInterrupts(Interrupts, seed, thread, vm);
  interrupts.reset();
  return { vm, interrupts };
}
