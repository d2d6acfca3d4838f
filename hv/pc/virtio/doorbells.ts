/**
 * Addresses that the guest writes to in order to ring the I/O worker: where the accelerator can, it
 * raises the worker's descriptor without an exit.
 */

import type { Doorbell } from "../../accel/accelerator.ts";
import { f64, record } from "../../core/state/record.ts";
import type { PcBuilder } from "../builder.ts";
import type { PciSlot } from "../pci_slot.ts";

/** Port, or guest-physical address, at which it is attached; 0: it is not. */
const DoorbellState = record("doorbell", 1, { address: f64 });
type DoorbellState = InstanceType<typeof DoorbellState>;

interface Bell {
  readonly state: DoorbellState;
  readonly space: Doorbell["space"];
}

/** See above. */
export class PcDoorbells {
  readonly #builder: PcBuilder;
  #bells: readonly Bell[] = [];

  constructor(builder: PcBuilder) {
    this.#builder = builder;
  }

  /** A doorbell of the device in `slot`, to be told where it is from now on; under the PCI bus's lock. */
  add(
    name: string,
    slot: PciSlot,
    space: Doorbell["space"] = "memory",
  ): (address: number | undefined) => void {
    const bell = { space, state: slot.state(DoorbellState, `${name} ${space} doorbell`) };
    this.#bells = [...this.#bells, bell];
    slot.onRemoval(() => this.#bells = this.#bells.filter((other) => other !== bell));
    return (address) => this.#move(bell, address ?? 0);
  }

  /** A doorbell that stays where it is. */
  fix(name: string, address: number): void {
    const state = this.#builder.state(DoorbellState, `${name} doorbell`);
    const bell = { state, space: "memory" } as const;
    this.#bells = [...this.#bells, bell];
    this.#builder.device({ reset: () => this.#move(bell, address) });
  }

  /** Attaches all to a virtual machine that is new to the board. */
  attachAll(): void {
    for (const bell of this.#bells) {
      const { address } = bell.state;
      bell.state.address = 0;
      this.#move(bell, address);
    }
  }

  #move({ state, space }: Bell, address: number): void {
    const { vm, doorbell } = this.#builder;
    if (doorbell === undefined || address === state.address) return;
    const at = (address: number) => ({ space, address, size: 0 } as const);
    if (state.address !== 0) vm.detachDoorbell?.(at(state.address), doorbell);
    // Where it cannot be, as for two at one address, the write is an exit like any other.
    const attached = address !== 0 && (vm.attachDoorbell?.(at(address), doorbell) ?? true);
    state.address = attached ? address : 0;
  }
}
