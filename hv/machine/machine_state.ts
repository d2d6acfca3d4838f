/**
 * What a machine that stands holds beyond guest memory and the arena: its processors, and the interrupt
 * controllers and timers, in the form that every accelerator saves and loads. It is what moves a running
 * guest from one accelerator to the other.
 *
 * What only one accelerator knows of a processor (MSRs of KVM's steal time, for one) is kept for
 * when the guest comes back to it: `Kept`.
 *
 * Left out: an INIT or start-up interrupt that an application processor has been sent and has not taken.
 */

import { restoreLocalApic, saveLocalApic } from "../../devices/interrupts/local_apic/kvm_form.ts";
import { Latch } from "../../devices/interrupts/local_apic/registers.ts";
import type { PcInterrupts } from "../../devices/interrupts/pc_interrupts.ts";
import type { Vcpu } from "../accel/accelerator.ts";
import { CpuState, MAX_MSRS } from "../accel/cpu_state.ts";
import type { CurrentVm, VmWithChips } from "./current_vm.ts";

const MSR_TSC_DEADLINE = 0x6e0;
/** What only another accelerator than the present one knows. */
export interface Kept {
  /** MSRs by processor. */
  readonly msrs: readonly ReadonlyMap<number, bigint>[];
}

/** See above. */
export interface MachineState {
  readonly chips: Map<string, Uint8Array>;
  readonly processors: readonly CpuState[];
  readonly kept: Kept;
}

const newState = () => new CpuState(new ArrayBuffer(CpuState.byteLength));

/** The state of a machine of which nothing runs. @throws Error when a processor awaits a device */
export function saveMachine(
  vm: CurrentVm,
  vcpus: readonly Vcpu[],
  kept: Kept = { msrs: vcpus.map(() => new Map()) },
): MachineState {
  const { interrupts } = vm.current;
  const processors = vcpus.map((vcpu, index) => {
    const state = newState();
    vcpu.save(state);
    if (interrupts !== undefined) addLocalApic(state, interrupts, index);
    return state;
  });
  return { chips: vm.saveChips(), processors, kept };
}

/** Puts `state` into a machine of another accelerator; its memory is mapped. @returns What to keep. */
export function restoreMachine(
  { vm, interrupts }: VmWithChips,
  vcpus: readonly Vcpu[],
  { chips, processors, kept }: MachineState,
): Kept {
  vm.restoreChips(chips);
  const msrs = processors.map((state, index) => {
    const own = newState();
    vcpus[index].save(own);
    const { state: adapted, rest } = adaptMsrs(state, own, kept.msrs[index]);
    vcpus[index].restore(adapted);
    if (interrupts !== undefined) takeLocalApic(state, interrupts, index);
    return rest;
  });
  if (interrupts !== undefined) interrupts.restoreChips(chips);
  return { msrs };
}

/** The MSRs that the target has; the others are what is to be kept. */
function adaptMsrs(
  from: CpuState,
  own: CpuState,
  kept: ReadonlyMap<number, bigint>,
): { state: CpuState; rest: Map<number, bigint> } {
  const all = new Map(kept);
  for (const [index, value] of msrsOf(from)) all.set(index, value);
  const known = new Map(msrsOf(own));
  const rest = new Map([...all].filter(([index]) => !known.has(index)));
  const state = newState();
  new Uint8Array(state.xsave.buffer).set(new Uint8Array(from.xsave.buffer));
  setMsrs(state, [...known.keys()].filter((index) => all.has(index)).map((i) => [i, all.get(i)!]));
  return { state, rest };
}

function msrsOf(state: CpuState): [number, bigint][] {
  const count = Math.min(state.msrCount, MAX_MSRS);
  return Array.from({ length: count }, (_, i) => [state.msrIndices[i], state.msrValues[i]]);
}

function setMsrs(state: CpuState, msrs: readonly (readonly [number, bigint])[]): void {
  state.msrCount = Math.min(msrs.length, MAX_MSRS);
  for (const [i, [index, value]] of msrs.slice(0, MAX_MSRS).entries()) {
    state.msrIndices[i] = index;
    state.msrValues[i] = value;
  }
}

function addLocalApic(state: CpuState, interrupts: PcInterrupts, index: number): void {
  const apic = interrupts.apics[index];
  const { apicBase, tscDeadline } = saveLocalApic(apic, state.apic);
  state.apicBase = apicBase;
  state.cr8 = BigInt(apic.cr8);
  setMsrs(state, [...msrsOf(state), [MSR_TSC_DEADLINE, tscDeadline]]);
  if ((apic.latches & Latch.nmi) !== 0) state.events.nmiPending = 1;
}

function takeLocalApic(state: CpuState, interrupts: PcInterrupts, index: number): void {
  const tscDeadline = new Map(msrsOf(state)).get(MSR_TSC_DEADLINE) ?? 0n;
  restoreLocalApic(interrupts.apics[index], state.apic, { apicBase: state.apicBase, tscDeadline });
}
