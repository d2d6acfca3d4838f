/**
 * The virtual machine that main's board works with: it stays while the accelerator under it changes.
 * Where that has no interrupt controllers of its own, those of the board belong to it here.
 */

import type { PcInterrupts } from "../../devices/interrupts/pc_interrupts.ts";
import type {
  AcceleratedVm,
  Doorbell,
  FilledInstructions,
  MemorySlot,
  Vcpu,
  VmHandle,
} from "../accel/accelerator.ts";

/** An accelerator's machine, with the interrupt controllers that it needs. */
export interface VmWithChips {
  readonly vm: AcceleratedVm;
  /** Undefined where the accelerator has its own. */
  readonly interrupts?: PcInterrupts;
}

/** See above. */
export class CurrentVm implements AcceleratedVm {
  #current: VmWithChips;

  constructor(first: VmWithChips) {
    this.#current = first;
  }

  /** What it works with now; whoever sets it sees to the state of both. */
  get current(): VmWithChips {
    return this.#current;
  }
  set current(next: VmWithChips) {
    this.#current = next;
  }

  get handle(): VmHandle {
    return this.#current.vm.handle;
  }

  mapMemory(slot: MemorySlot): void {
    this.#current.vm.mapMemory(slot);
  }

  takeDirtyPages(slot: number): Uint8Array {
    return this.#current.vm.takeDirtyPages(slot);
  }

  setIrq(gsi: number, level: boolean): void {
    const { vm, interrupts } = this.#current;
    if (interrupts === undefined) vm.setIrq(gsi, level);
    else interrupts.setIrq(gsi, level);
  }

  hostWrote(offset: number, length: number): void {
    this.#current.vm.hostWrote?.(offset, length);
  }

  sendMsi(address: number, data: number): void {
    const { vm, interrupts } = this.#current;
    if (interrupts === undefined) vm.sendMsi(address, data);
    else interrupts.sendMsi(address, data);
  }

  attachDoorbell(doorbell: Doorbell, eventFd: number): boolean {
    return this.#current.vm.attachDoorbell?.(doorbell, eventFd) ?? true;
  }

  detachDoorbell(doorbell: Doorbell, eventFd: number): void {
    this.#current.vm.detachDoorbell?.(doorbell, eventFd);
  }

  openVcpu(index: number): Vcpu {
    return this.#current.vm.openVcpu(index);
  }

  kick(index: number, threadId: number): void {
    this.#current.vm.kick(index, threadId);
  }

  filledInstructions(): FilledInstructions | undefined {
    return this.#current.vm.filledInstructions?.();
  }

  saveChips(): Map<string, Uint8Array> {
    const { vm, interrupts } = this.#current;
    return new Map([...vm.saveChips(), ...interrupts?.saveChips() ?? []]);
  }

  restoreChips(chips: Map<string, Uint8Array>): void {
    const { vm, interrupts } = this.#current;
    vm.restoreChips(chips);
    interrupts?.restoreChips(chips);
  }

  resetChips(): void {
    const { vm, interrupts } = this.#current;
    vm.resetChips();
    interrupts?.reset();
  }

  [Symbol.dispose](): void {
    this.#current.vm[Symbol.dispose]();
  }
}
