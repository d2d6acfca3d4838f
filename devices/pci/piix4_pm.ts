/**
 * Intel 82371AB (PIIX4), function 3: the PCI face of power management, which the board adds to the
 * PIIX3 as QEMU does. It says where the power management registers (devices/system/acpi_pm.ts) and the
 * SMBus controller lie; the device monitor registers hold what is written.
 *
 * System management mode does not exist: DEVACTB says that SMIs have been set up (APMC_EN) from the
 * start, so that firmware does not try to (SeaBIOS, smm.c, asks for exactly that).
 *
 * Guarded by the PCI bus's lock.
 *
 * Reference: 82371AB (290562-001), 7.1 "PCI configuration registers (function 3)".
 */

import type { AddressRange } from "../../hv/core/memory/address_range.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IoBus } from "../../hv/core/bus/io_bus.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { PciCommand } from "./config_header.ts";
import type { ConfigRegister } from "./config_space.ts";
import { PciFunction, type PciFunctionState } from "./pci_function.ts";

/** Power management base address: 40h, bits 15-6. */
const PMBA = 0x40;
/** Power management registers' enable: 80h, bit 0. */
const PMREGMISC = 0x80;
/** SMBus base address: 90h, bits 15-4. */
const SMBBA = 0x90;
/** SMBus host configuration: D2h, bit 0 enables, bits 3-1 select the interrupt. */
const SMBHSTCFG = 0xd2;

const ENABLE = 1;
const IO_SPACE = 1;
/** DEVACTB bit 25, APMC_EN: writes to the command port cause SMIs. */
const DEVACTB_APMC_EN = 0x0200_0000;

/** Ports of the power management registers and of the SMBus controller. */
const PM_PORTS = 64;
const SMBUS_PORTS = 16;

const ALL = 0xffff_ffff;

const DEVICE_MONITORS: readonly ConfigRegister[] = [
  { name: "CNTA", offset: 0x44, bytes: 4, writable: ALL },
  { name: "CNTB", offset: 0x48, bytes: 4, writable: ALL },
  { name: "GPICTL", offset: 0x4c, bytes: 4, writable: ALL },
  { name: "DEVRESD", offset: 0x50, bytes: 4, writable: ALL },
  { name: "DEVACTA", offset: 0x54, bytes: 4, writable: ALL },
  { name: "DEVACTB", offset: 0x58, bytes: 4, reset: DEVACTB_APMC_EN, writable: ALL },
  { name: "DEVRESA", offset: 0x5c, bytes: 4, writable: ALL },
  { name: "DEVRESB", offset: 0x60, bytes: 4, writable: ALL },
  { name: "DEVRESC", offset: 0x64, bytes: 4, writable: ALL },
  { name: "DEVRESE", offset: 0x68, bytes: 4, writable: ALL },
  { name: "DEVRESF", offset: 0x6c, bytes: 4, writable: ALL },
  { name: "DEVRESG", offset: 0x70, bytes: 4, writable: ALL },
  { name: "DEVRESH", offset: 0x74, bytes: 4, writable: ALL },
  { name: "DEVRESI", offset: 0x78, bytes: 4, writable: ALL },
  { name: "DEVRESJ", offset: 0x7c, bytes: 4, writable: ALL },
];

/** A block of registers and the lock held while it is accessed. */
export interface RegisterBlock {
  readonly device: IoHandler;
  readonly lock?: Lock;
}

/** What lies behind the function. */
export interface Piix4PmOptions {
  readonly ports: IoBus;
  /** The power management registers: 64 ports, access width 1 to 4. */
  readonly pm: RegisterBlock;
  /** The SMBus controller: 16 ports, access width 1. */
  readonly smbus?: RegisterBlock;
}

/** See above. */
export class Piix4Pm implements Device {
  readonly pci: PciFunction;
  readonly #ports: IoBus;

  constructor(state: PciFunctionState, { ports, pm, smbus }: Piix4PmOptions) {
    this.#ports = ports;
    const onWrite = (after: number, before: number) => {
      if (after !== before) ports.moved();
    };
    this.pci = new PciFunction(state, {
      identity: {
        vendor: 0x8086,
        device: 0x7113,
        revision: 3,
        classCode: 0x06_80_00,
        subsystemVendor: 0x1af4,
        subsystem: 0x1100,
        // INTA#, although the SCI is hardwired to IRQ 9 and never uses it.
        pin: 1,
      },
      control: { commandWritable: PciCommand.ioSpace, status: 0x0280 },
      registers: [
        ...DEVICE_MONITORS,
        { name: "PMBA", offset: PMBA, bytes: 4, reset: IO_SPACE, writable: 0xffc0, onWrite },
        { name: "PMREGMISC", offset: PMREGMISC, bytes: 1, writable: ENABLE, onWrite },
        { name: "SMBBA", offset: SMBBA, bytes: 4, reset: IO_SPACE, writable: 0xfff0, onWrite },
        { name: "SMBHSTCFG", offset: SMBHSTCFG, bytes: 1, writable: 0x0f, onWrite },
        { name: "SMBSLVC", offset: 0xd3, bytes: 1, writable: 0xff },
        { name: "SMBSHDW1", offset: 0xd4, bytes: 1, writable: 0xff },
        { name: "SMBSHDW2", offset: 0xd5, bytes: 1, writable: 0xff },
        { name: "SMBREV", offset: 0xd6, bytes: 1 },
      ],
    });
    ports.claimMovable({
      name: "acpi pm",
      ...pm,
      widths: { min: 1, max: 4 },
      range: () => this.pmRange,
    });
    if (smbus !== undefined) {
      ports.claimMovable({ name: "smbus", ...smbus, range: () => this.smbusRange });
    }
  }

  reset(): void {
    this.pci.reset();
    this.#ports.moved();
  }

  /** Where the power management registers are, or undefined while they are disabled. */
  get pmRange(): AddressRange | undefined {
    return this.#range(PMBA, PMREGMISC, 0xffc0, PM_PORTS);
  }

  /** Where the SMBus controller is, or undefined while it is disabled. */
  get smbusRange(): AddressRange | undefined {
    return this.#range(SMBBA, SMBHSTCFG, 0xfff0, SMBUS_PORTS);
  }

  // As on QEMU's board, command bit 0 has no say: firmware finds the timer before it enables that.
  #range(base: number, enable: number, mask: number, length: number): AddressRange | undefined {
    const { config } = this.pci;
    const address = config.get(base, 4) & mask;
    if ((config.get(enable, 1) & ENABLE) === 0 || address === 0) return undefined;
    return { base: address, length };
  }
}
