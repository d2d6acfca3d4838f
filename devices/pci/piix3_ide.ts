/**
 * Intel 82371SB (PIIX3), function 1: the PCI face of the two IDE channels. The channels themselves,
 * at 1F0h and 170h, are ATA devices of their own; here are the timing registers, which hold what is
 * written, and the base address of the bus master registers.
 *
 * Left out: the decode enable bits of IDETIM do not switch the channels off.
 *
 * Guarded by the PCI bus's lock; the bus master block by the lock of its claim.
 *
 * Reference: 82371SB (290550-002), 2.3 "PCI configuration registers (function 1)".
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { PciCommand } from "./config_header.ts";
import type { Bar } from "./pci_bar.ts";
import { PciFunction, type PciFunctionState } from "./pci_function.ts";

/** IDE timing of the primary and the secondary channel: 40h, 42h. */
const IDETIM_PRIMARY = 0x40;
const IDETIM_SECONDARY = 0x42;
/** Slave timing, 44h. */
const SIDETIM = 0x44;

/** Bus master registers: 8 ports for each channel. */
const BMIBA_BYTES = 16;

/** The block of bus master registers (BMICX, BMISX, BMIDTPX). */
export interface BusMasterBlock {
  /** Answers for 16 ports; access width 1 to 4. */
  readonly device: IoHandler;
  readonly lock?: Lock;
  /** The controller may be bus master now. Under the bus's lock. */
  readonly onMaster?: () => void;
}

/** See above. */
export class Piix3Ide implements Device {
  readonly pci: PciFunction;

  /** @param busMaster What answers at BMIBA, or undefined where there are no ATA channels. */
  constructor(state: PciFunctionState, busMaster: BusMasterBlock | undefined) {
    const bmiba: Bar = {
      name: "ide bus master",
      index: 4,
      kind: "io",
      size: BMIBA_BYTES,
      device: busMaster?.device,
      lock: busMaster?.lock,
      widths: { min: 1, max: 4 },
    };
    this.pci = new PciFunction(state, {
      identity: {
        vendor: 0x8086,
        device: 0x7010,
        revision: 0,
        classCode: 0x01_01_80,
        subsystemVendor: 0x1af4,
        subsystem: 0x1100,
      },
      control: {
        commandWritable: PciCommand.ioSpace | PciCommand.busMaster,
        status: 0x0280,
        latencyTimer: true,
      },
      onMaster: (isMaster) => isMaster && busMaster?.onMaster?.(),
      bars: [bmiba],
      registers: [
        { name: "IDETIM (primary)", offset: IDETIM_PRIMARY, bytes: 2, writable: 0xffff },
        { name: "IDETIM (secondary)", offset: IDETIM_SECONDARY, bytes: 2, writable: 0xffff },
        { name: "SIDETIM", offset: SIDETIM, bytes: 1, writable: 0xff },
      ],
    });
  }

  reset(): void {
    this.pci.reset();
  }
}
