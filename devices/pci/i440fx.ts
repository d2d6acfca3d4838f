/**
 * Intel 82441FX, the PCI and memory controller (PMC) of the 440FX: device 0 of bus 0. To a virtual
 * machine it is the switch that decides what lies from A0000h to FFFFFh (PAM, SMRAM); the DRAM
 * timing registers hold what is written. The subsystem IDs are those by which SeaBIOS and OVMF know
 * QEMU's board.
 *
 * Left out: error reporting (ERRCMD holds its value, ERRSTS stays 0), turbo reset (TRC), the hole of
 * FDHC, and system management mode: SMRAM opens to normal code only.
 *
 * Guarded by the PCI bus's lock.
 *
 * Reference: 82441FX (290549-001), 3.2 "PCI configuration space".
 */

import type { Device } from "../../hv/core/bus/device.ts";
import {
  type ShadowRegisters,
  SMRAM_DOPEN,
  SMRAM_SMRAME,
} from "../../hv/core/memory/memory_map.ts";
import { PciCommand } from "./config_header.ts";
import type { ConfigRegister } from "./config_space.ts";
import { PciFunction, type PciFunctionState } from "./pci_function.ts";

/** Programmable attribute map, PAM0 to PAM6: 59h-5Fh. */
export const PAM0 = 0x59;
/** Number of PAM registers. */
export const PAM_REGISTERS = 7;

/** System management RAM control, 72h; its other bits are in memory_map.ts. */
export const SMRAM = 0x72;
/** Closes it for data. */
export const SMRAM_DCLS = 0x20;
/** DOPEN is 0 and nothing here can be changed until reset. */
export const SMRAM_DLCK = 0x10;
/** SMRAM is at A0000h: hardwired. */
const SMRAM_BASE = 0x02;

const REGISTERS: readonly ConfigRegister[] = [
  { name: "PMCCFG", offset: 0x50, bytes: 2, writable: 0xc3f4 },
  { name: "DETURBO", offset: 0x52, bytes: 1, writable: 0xff },
  { name: "DBC", offset: 0x53, bytes: 1, reset: 0x80 },
  { name: "AXC", offset: 0x54, bytes: 1, writable: 0x82 },
  { name: "DRT", offset: 0x55, bytes: 2, writable: 0xffff },
  { name: "DRAMC", offset: 0x57, bytes: 1, reset: 0x01, writable: 0x77 },
  { name: "DRAMT", offset: 0x58, bytes: 1, reset: 0x10, writable: 0x7f },
  { name: "DRB0-3", offset: 0x60, bytes: 4, reset: 0x0101_0101, writable: 0xffff_ffff },
  { name: "DRB4-7", offset: 0x64, bytes: 4, reset: 0x0101_0101, writable: 0xffff_ffff },
  { name: "FDHC", offset: 0x68, bytes: 1, writable: 0xc0 },
  { name: "MTT", offset: 0x70, bytes: 1, writable: 0xff },
  { name: "CLT", offset: 0x71, bytes: 1, reset: 0x10, writable: 0x1f },
  { name: "ERRCMD", offset: 0x90, bytes: 1, writable: 0x1b },
  { name: "ERRSTS", offset: 0x91, bytes: 1 },
  { name: "TRC", offset: 0x93, bytes: 1, writable: 0x06 },
];

/** See above. */
export class I440fx implements Device {
  readonly pci: PciFunction;
  readonly #onShadow: (after: ShadowRegisters, before: ShadowRegisters) => void;

  /**
   * @param onShadow Called when PAM or SMRAM have changed, on the thread that wrote them: the board
   *   exchanges memory slots.
   */
  constructor(
    state: PciFunctionState,
    onShadow: (after: ShadowRegisters, before: ShadowRegisters) => void,
  ) {
    this.#onShadow = onShadow;
    this.pci = new PciFunction(state, {
      identity: {
        vendor: 0x8086,
        device: 0x1237,
        revision: 2,
        classCode: 0x06_00_00,
        subsystemVendor: 0x1af4,
        subsystem: 0x1100,
      },
      control: {
        command: PciCommand.memorySpace | PciCommand.busMaster,
        commandWritable: PciCommand.parityError | PciCommand.systemError,
        status: 0x0280,
        latencyTimer: true,
      },
      registers: [
        ...REGISTERS,
        ...Array.from({ length: PAM_REGISTERS }, (_, i): ConfigRegister => ({
          name: `PAM${i}`,
          offset: PAM0 + i,
          bytes: 1,
          // PAM0 has one segment, F0000h-FFFFFh, in its high half.
          writable: i === 0 ? 0x30 : 0x33,
          onWrite: (after, before) => this.#pamWritten(i, after, before),
        })),
        {
          name: "SMRAM",
          offset: SMRAM,
          bytes: 1,
          reset: SMRAM_BASE,
          writable: SMRAM_DOPEN | SMRAM_DCLS | SMRAM_DLCK | SMRAM_SMRAME,
          onWrite: (after, before) => this.#smramWritten(after, before),
        },
      ],
    });
  }

  reset(): void {
    const before = this.shadow;
    this.pci.reset();
    this.#onShadow(this.shadow, before);
  }

  /** PAM and SMRAM at present. */
  get shadow(): ShadowRegisters {
    const { config } = this.pci;
    const pam = Uint8Array.from({ length: PAM_REGISTERS }, (_, i) => config.get(PAM0 + i, 1));
    return { pam, smram: config.get(SMRAM, 1) };
  }

  #pamWritten(index: number, after: number, before: number): void {
    if (after === before) return;
    const now = this.shadow;
    const pam = now.pam.slice();
    pam[index] = before;
    this.#onShadow(now, { pam, smram: now.smram });
  }

  #smramWritten(written: number, before: number): void {
    // Locked, nothing can be changed; locking closes it (SMRAM, D_LCK).
    const locked = (before & SMRAM_DLCK) !== 0;
    const after = locked ? before : (written & SMRAM_DLCK) !== 0 ? written & ~SMRAM_DOPEN : written;
    this.pci.config.set(SMRAM, 1, after);
    if (after === before) return;
    const now = this.shadow;
    this.#onShadow(now, { pam: now.pam, smram: before });
  }
}
