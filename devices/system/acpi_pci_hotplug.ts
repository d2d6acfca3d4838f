/**
 * The registers by which a PC tells its operating system, through ACPI, that PCI devices have been put
 * in or are to be taken out, and by which that lets them go: those that QEMU adds to the PIIX4. The
 * methods that use them are in the DSDT (bios/tables/acpi/hotplug.ts).
 *
 * They share the lock of power management, whose general purpose event 1 announces every change.
 *
 * Left out: other buses than bus 0 (the bus selector at offset 10h), device indexes.
 *
 * Reference: QEMU, docs/specs/acpi_pci_hotplug.rst.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import { record, u32 } from "../../hv/core/state/record.ts";

/** Ports of the registers; all are read and written as dwords, with a bit for each slot. */
export const PCI_HOTPLUG_PORTS = 16;
/** General purpose event that says: look at the registers. */
export const PCI_HOTPLUG_GPE = 1;

/** Slots in which a device has been put; reading takes the message. */
export const PCIU = 0x00;
/** Slots whose device is to be taken out. */
export const PCID = 0x04;
/** Written: slots whose device the system lets go. Read: features beyond these, none. */
export const B0EJ = 0x08;
/** Slots whose device can be taken out. */
export const PCRM = 0x0c;

/** State of the registers. */
export const AcpiPciHotplugState = record("acpi_pci_hotplug", 1, {
  up: u32,
  down: u32,
  removable: u32,
});
/** A view of `AcpiPciHotplugState`. */
export type AcpiPciHotplugState = InstanceType<typeof AcpiPciHotplugState>;

/** What the registers are connected to. */
export interface AcpiPciHotplugOptions {
  /** Announces a change: general purpose event 1. */
  readonly raiseEvent: () => void;
  /** The guest lets the devices in these slots go (a bit each); under the registers' lock. */
  readonly onEject: (slots: number) => void;
}

/** See above. The methods for the board are called holding the lock. */
export class AcpiPciHotplug implements Device {
  /** 16 ports, access width 4. */
  readonly registers: IoHandler = {
    read: (offset) => this.#read(offset),
    write: (offset, _size, value) => this.#write(offset, value),
  };
  readonly #state: AcpiPciHotplugState;
  readonly #options: AcpiPciHotplugOptions;

  constructor(state: AcpiPciHotplugState, options: AcpiPciHotplugOptions) {
    this.#state = state;
    this.#options = options;
  }

  /**
   * The guest is told of nothing any more. What it was asked to let go it will not hear of again, and
   * begins without: it is taken out now.
   */
  reset(): void {
    const { down } = this.#state;
    this.#state.up = 0;
    this.#eject(down);
    this.#state.down = 0;
  }

  /** A device has been put into `slot`. */
  inserted(slot: number): void {
    this.#state.removable = (this.#state.removable | bit(slot)) >>> 0;
    this.#state.up = (this.#state.up | bit(slot)) >>> 0;
    this.#options.raiseEvent();
  }

  /** Asks the guest to let the device in `slot` go. */
  requestEject(slot: number): void {
    this.#state.down = (this.#state.down | (bit(slot) & this.#state.removable)) >>> 0;
    this.#options.raiseEvent();
  }

  /** The device in `slot` stays after all. */
  withdrawEject(slot: number): void {
    this.#state.down = (this.#state.down & ~bit(slot)) >>> 0;
  }

  /** The device in `slot` is no longer there. */
  removed(slot: number): void {
    this.#forget(bit(slot));
  }

  #read(offset: number): number {
    const state = this.#state;
    switch (offset) {
      case PCIU: {
        const { up } = state;
        state.up = 0;
        return up;
      }
      case PCID:
        return state.down;
      case PCRM:
        return state.removable;
      default:
        return 0;
    }
  }

  #write(offset: number, value: number): void {
    if (offset === B0EJ) this.#eject(value);
  }

  #eject(slots: number): void {
    const leaving = (slots & this.#state.removable) >>> 0;
    if (leaving === 0) return;
    this.#forget(leaving);
    this.#options.onEject(leaving);
  }

  #forget(slots: number): void {
    const state = this.#state;
    state.up = (state.up & ~slots) >>> 0;
    state.down = (state.down & ~slots) >>> 0;
    state.removable = (state.removable & ~slots) >>> 0;
  }
}

const bit = (slot: number): number => (1 << (slot & 31)) >>> 0;
