/**
 * Intel 82371SB (PIIX3), function 0: the PCI to ISA bridge. To a virtual machine it routes the PCI
 * interrupt lines (PIRQRC); the other registers hold what is written. Its reset control register at
 * CF9h is devices/system/reset_control.ts, its ELCR (4D0h, 4D1h) belongs to the interrupt controllers: to
 * KVM's in the kernel, or to the software PIC.
 *
 * Left out: ISA recovery times, bus timing, system management interrupts, MBIRQ and MBDMA routing.
 *
 * Guarded by the PCI bus's lock.
 *
 * Reference: 82371SB (290550-002), 2.2 "PCI configuration registers (function 0)".
 */

import type { Device } from "../../hv/core/bus/device.ts";
import { PciCommand } from "./config_header.ts";
import type { ConfigRegister } from "./config_space.ts";
import { PciFunction, type PciFunctionState } from "./pci_function.ts";
import { type PirqRouter, PIRQS } from "./pirq_router.ts";

/** Route control of PIRQA#-PIRQD#: 60h-63h. Bit 7: leads nowhere; bits 3-0: interrupt request. */
export const PIRQRCA = 0x60;
const PIRQRC_BITS = 0x8f;

const REGISTERS: readonly ConfigRegister[] = [
  { name: "IORT", offset: 0x4c, bytes: 1, reset: 0x4d, writable: 0xff },
  { name: "XBCS", offset: 0x4e, bytes: 2, reset: 0x0003, writable: 0x1fff },
  { name: "TOM", offset: 0x69, bytes: 1, reset: 0x02, writable: 0xfe },
  { name: "MSTAT", offset: 0x6a, bytes: 2, writable: 0x8080 },
  { name: "MBIRQ0", offset: 0x70, bytes: 1, reset: 0x80, writable: 0xef },
  { name: "MBIRQ1", offset: 0x71, bytes: 1, reset: 0x80, writable: 0xef },
  { name: "MBDMA0", offset: 0x76, bytes: 1, reset: 0x0c, writable: 0x8f },
  { name: "MBDMA1", offset: 0x77, bytes: 1, reset: 0x0c, writable: 0x8f },
  { name: "PCSC", offset: 0x78, bytes: 2, reset: 0x0002, writable: 0xffff },
  { name: "APICBASE", offset: 0x80, bytes: 1, writable: 0x7f },
  { name: "DLC", offset: 0x82, bytes: 1, writable: 0x0f },
  { name: "SMICNTL", offset: 0xa0, bytes: 1, reset: 0x08, writable: 0x1f },
  { name: "SMIEN", offset: 0xa2, bytes: 2, writable: 0x01ff },
  { name: "SEE", offset: 0xa4, bytes: 4, writable: 0xe000_fffb },
  { name: "FTMR", offset: 0xa8, bytes: 1, reset: 0x0f, writable: 0xff },
  { name: "SMIREQ", offset: 0xaa, bytes: 2 },
  { name: "CTLTMR", offset: 0xac, bytes: 1, writable: 0xff },
  { name: "CTHTMR", offset: 0xae, bytes: 1, writable: 0xff },
];

const PIRQ_LETTERS = "ABCD";

/** See above. */
export class Piix3 implements Device {
  readonly pci: PciFunction;
  readonly #router: PirqRouter;

  constructor(state: PciFunctionState, router: PirqRouter) {
    this.#router = router;
    this.pci = new PciFunction(state, {
      identity: {
        vendor: 0x8086,
        device: 0x7000,
        revision: 0,
        classCode: 0x06_01_00,
        subsystemVendor: 0x1af4,
        subsystem: 0x1100,
        multifunction: true,
      },
      control: {
        // A bridge without a switch: these three are hardwired.
        command: PciCommand.ioSpace | PciCommand.memorySpace | PciCommand.busMaster,
        commandWritable: 0x0008,
        status: 0x0200,
      },
      registers: [
        ...REGISTERS,
        ...Array.from({ length: PIRQS }, (_, i): ConfigRegister => ({
          name: `PIRQRC${PIRQ_LETTERS[i]}`,
          offset: PIRQRCA + i,
          bytes: 1,
          reset: 0x80,
          writable: PIRQRC_BITS,
          onWrite: (after) => router.route(i, after),
        })),
      ],
    });
  }

  reset(): void {
    this.#router.reset();
    this.pci.reset();
  }
}
