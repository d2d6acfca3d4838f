/** PCI configuration space through mechanism 1 (ports CF8h and CFCh): PCI 2.1 §3.7.4.1. */

import { PciHeader } from "../devices/pci/config_header.ts";
import type { BusAccess, PciAddress } from "./host.ts";

const ADDRESS = 0xcf8;
const DATA = 0xcfc;
const ENABLE = 0x8000_0000;

/** A function found on the bus. */
export interface PciFunction extends PciAddress {
  readonly vendor: number;
  readonly id: number;
  /** Class, subclass, interface: 24 bits. */
  readonly classCode: number;
}

/** See above. */
export class PciConfig {
  readonly #ports: BusAccess;

  constructor(ports: BusAccess) {
    this.#ports = ports;
  }

  /** Reads `size` (1, 2 or 4) bytes of a function's configuration space. */
  read(at: PciAddress, register: number, size: number): number {
    this.#select(at, register);
    return this.#ports.read(DATA + (register & 3), size) >>> 0;
  }

  /** Writes to a function's configuration space. */
  write(at: PciAddress, register: number, size: number, value: number): void {
    this.#select(at, register);
    this.#ports.write(DATA + (register & 3), size, value >>> 0);
  }

  /** Every function on bus 0, in order of device and function. */
  functions(): PciFunction[] {
    const found: PciFunction[] = [];
    for (let device = 0; device < 32; device++) {
      for (let number = 0; number < 8; number++) {
        const at = { bus: 0, device, function: number };
        const vendorDevice = this.read(at, PciHeader.VID, 4);
        const vendor = vendorDevice & 0xffff;
        if (vendor !== 0xffff && vendor !== 0) {
          const classCode = this.read(at, PciHeader.RID, 4) >>> 8;
          found.push({ ...at, vendor, id: vendorDevice >>> 16, classCode });
        }
        if (number === 0 && (vendor === 0xffff || !this.#multifunction(at))) break;
      }
    }
    return found;
  }

  #multifunction(at: PciAddress): boolean {
    return (this.read(at, PciHeader.HEDT, 1) & 0x80) !== 0;
  }

  #select({ bus, device, function: number }: PciAddress, register: number): void {
    const address = (bus & 0xff) << 16 | (device & 0x1f) << 11 | (number & 7) << 8 |
      (register & 0xfc);
    this.#ports.write(ADDRESS, 4, (ENABLE | address) >>> 0);
  }
}
