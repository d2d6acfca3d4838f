/**
 * Reset control register of the PIIX3, port CF9h: the way in which operating systems and firmware
 * restart a PC. It shares its address with the second byte of CONFADD, so devices/pci/pci_bus.ts
 * passes byte accesses on to it.
 *
 * Bit 1 chooses a hard reset (PCI and processor) or a soft one (processor only), bit 2 starts it. The
 * bit is an edge in the data sheet; here every write of a one starts a reset, as on QEMU, and reads
 * back as zero, so that the order of writes does not matter.
 *
 * Reference: 82371SB (290550-002), RC "Reset control register".
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import { record, u8 } from "../../hv/core/state/record.ts";

/** Hard reset rather than soft. */
const SRST = 0x02;
/** Starts the reset. */
const RCPU = 0x04;

/** State of the register. */
export const ResetControlState = record("reset_control", 1, { rc: u8 });
/** A view of `ResetControlState`. */
export type ResetControlState = InstanceType<typeof ResetControlState>;

/** See above. Access width 1. */
export class ResetControl implements Device, IoHandler {
  readonly #state: ResetControlState;
  readonly #requestReset: (kind: "hard" | "soft") => void;

  /** @param requestReset Asks the machine to reset; it must return before the machine does. */
  constructor(state: ResetControlState, requestReset: (kind: "hard" | "soft") => void) {
    this.#state = state;
    this.#requestReset = requestReset;
  }

  reset(): void {
    this.#state.rc = 0;
  }

  read(_offset: number, _size: number): number {
    return this.#state.rc;
  }

  write(_offset: number, _size: number, value: number): void {
    this.#state.rc = value & SRST;
    if ((value & RCPU) !== 0) this.#requestReset((value & SRST) !== 0 ? "hard" : "soft");
  }
}
