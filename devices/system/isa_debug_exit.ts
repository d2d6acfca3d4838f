/**
 * isa-debug-exit: a port by which a test payload ends the machine with a status of its choice, as in
 * QEMU (hw/misc/debugexit.c): writing v ends with exit code (v << 1) | 1. QEMU's users put it at F4h.
 *
 * It has no state. Reads give all ones.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";

/** See above. */
export class IsaDebugExit implements Device, IoHandler {
  readonly #exit: (code: number) => void;

  /** @param exit Asks the machine to end with exit code `code`, 1 to 255. */
  constructor(exit: (code: number) => void) {
    this.#exit = exit;
  }

  reset(): void {}

  read(_offset: number, size: number): number {
    return 2 ** (size * 8) - 1;
  }

  write(_offset: number, _size: number, value: number): void {
    this.#exit(((value << 1) | 1) & 0xff);
  }
}
