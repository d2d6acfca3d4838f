/**
 * POST's work on the PCI bus: addresses for every base address register, interrupt lines, and the
 * chipset registers that the board expects its firmware to set.
 *
 * Reference: PCI Local Bus 2.1 §6.2.5 (sizing); Intel 82441FX (PAM) and 82371AB (PIRQ, PM) data sheets.
 */

import { PciCommand, PciHeader } from "../devices/pci/config_header.ts";
import { alignUp } from "../hv/core/align.ts";
import { type BusAccess, type PciAddress } from "./host.ts";
import { PciConfig, type PciFunction } from "./pci_config.ts";

/** Where memory of PCI devices goes, the end not included. */
export const PCI_MEMORY_BASE = 0xc000_0000;
const PCI_MEMORY_END = 0xfec0_0000;
/** Where ports of PCI devices go. */
const PCI_PORT_BASE = 0xc000;
const PCI_PORT_END = 0x1_0000;
/** Memory is handed out in pages, so that each piece can be mapped by itself. */
const PAGE = 4096;

const HOST_BRIDGE = { bus: 0, device: 0, function: 0 };
const ISA_BRIDGE = { bus: 0, device: 1, function: 0 };
/** 82441FX: PAM1 to PAM6 cover C0000h-EFFFFh; 33h is RAM for reads and writes in both halves. */
const PAM1 = 0x5a;
const PAM6 = 0x5f;
const PAM_RAM = 0x33;
/** 82371: PIRQRC A to D. */
const PIRQ_ROUTE = 0x60;
/** Where the firmware leads PIRQA# to PIRQD#; the MP table says the same. */
export const PIRQ_IRQS = [10, 10, 11, 11] as const;
/** 82371AB function 3, power management: base register, enable bit. */
const PM_DEVICE_ID = 0x7113;
const PM_BASE = 0x40;
/** Where its ports are put; the FADT says the same. */
export const PM_PORTS = 0x600;
const PM_ENABLE = 0x80;
const SMBUS_BASE = 0x90;
const SMBUS_PORTS = 0x700;
const SMBUS_CONFIG = 0xd2;
const INTEL = 0x8086;
const CLASS_IDE = 0x0101;

/** A range that a base address register asks for. */
interface Request {
  readonly at: PciAddress;
  readonly register: number;
  readonly kind: "port" | "memory";
  readonly wide: boolean;
  readonly size: number;
}

/** Where an expansion ROM was put. */
export interface ExpansionRom {
  readonly at: PciAddress;
  readonly address: number;
  readonly size: number;
}

/** Sets up bus 0 and returns the expansion ROMs found, which are left switched off. */
export function setUpPci(ports: BusAccess): ExpansionRom[] {
  const config = new PciConfig(ports);
  const functions = config.functions();
  const requests = functions.flatMap((at) => sizeRegisters(config, at));
  const roms = assign(config, requests);
  for (const at of functions) {
    routeInterrupt(config, at);
    const ours = requests.filter((request) => same(request.at, at));
    let command = config.read(at, PciHeader.PCICMD, 2);
    if (ours.some(({ kind }) => kind === "port")) command |= PciCommand.ioSpace;
    if (ours.some(({ kind }) => kind === "memory")) command |= PciCommand.memorySpace;
    if (at.classCode >>> 16 !== 6) command |= PciCommand.busMaster;
    config.write(at, PciHeader.PCICMD, 2, command);
  }
  setUpChipset(config, functions);
  return roms;
}

const same = (a: PciAddress, b: PciAddress): boolean =>
  a.device === b.device && a.function === b.function;

/** What the base address registers of a function ask for. */
function sizeRegisters(config: PciConfig, at: PciFunction): Request[] {
  const requests: Request[] = [];
  if ((config.read(at, PciHeader.HEDT, 1) & 0x7f) !== 0) return requests; // a bridge
  const command = config.read(at, PciHeader.PCICMD, 2);
  config.write(at, PciHeader.PCICMD, 2, command & ~(PciCommand.ioSpace | PciCommand.memorySpace));
  for (let index = 0; index < 6; index++) {
    const register = PciHeader.BAR0 + index * 4;
    const mask = probe(config, at, register, 0xffff_ffff);
    if (mask === 0) continue;
    if ((mask & 1) !== 0) {
      const size = lowestBit(mask & 0xfffc);
      if (size > 0) requests.push({ at, register, kind: "port", wide: false, size });
      continue;
    }
    const wide = (mask & 6) === 4;
    const size = lowestBit(mask & 0xffff_fff0);
    if (size > 0) requests.push({ at, register, kind: "memory", wide, size });
    if (wide) index++;
  }
  const rom = lowestBit(probe(config, at, PciHeader.ROMBAR, 0xffff_fffe) & 0xffff_f800);
  const register = PciHeader.ROMBAR;
  if (rom > 0) requests.push({ at, register, kind: "memory", wide: false, size: rom });
  config.write(at, PciHeader.PCICMD, 2, command);
  return requests;
}

function probe(config: PciConfig, at: PciAddress, register: number, ones: number): number {
  const before = config.read(at, register, 4);
  config.write(at, register, 4, ones);
  const mask = config.read(at, register, 4);
  config.write(at, register, 4, before);
  return mask;
}

const lowestBit = (value: number): number => (value & -value) >>> 0;

/** Hands out addresses, the largest first, so that each is aligned to its size without gaps. */
function assign(config: PciConfig, requests: readonly Request[]): ExpansionRom[] {
  const next = { port: PCI_PORT_BASE, memory: PCI_MEMORY_BASE };
  const end = { port: PCI_PORT_END, memory: PCI_MEMORY_END };
  const roms: ExpansionRom[] = [];
  for (const request of requests.toSorted((a, b) => b.size - a.size)) {
    const { at, register, kind, wide } = request;
    const size = kind === "memory" ? Math.max(request.size, PAGE) : request.size;
    const address = alignUp(next[kind], size);
    if (address + size > end[kind]) continue; // it stays without an address, and is not decoded
    next[kind] = address + size;
    config.write(at, register, 4, address);
    if (wide) config.write(at, register + 4, 4, 0);
    if (register === PciHeader.ROMBAR) roms.push({ at, address, size: request.size });
  }
  return roms;
}

/** INTA-INTD of a device go to PIRQA-PIRQD, turned by the device's number. */
function routeInterrupt(config: PciConfig, at: PciFunction): void {
  const pin = config.read(at, PciHeader.INTPN, 1);
  if (pin === 0 || pin > 4) return;
  const irq = PIRQ_IRQS[(pin - 1 + at.device - 1) & 3];
  // The PIIX4's power management is wired to IRQ 9.
  const power = at.vendor === INTEL && at.id === PM_DEVICE_ID;
  config.write(at, PciHeader.INTLN, 1, power ? 9 : irq);
}

function setUpChipset(config: PciConfig, functions: readonly PciFunction[]): void {
  for (let register = PAM1; register <= PAM6; register++) {
    config.write(HOST_BRIDGE, register, 1, PAM_RAM);
  }
  for (const [index, irq] of PIRQ_IRQS.entries()) {
    config.write(ISA_BRIDGE, PIRQ_ROUTE + index, 1, irq);
  }
  for (const at of functions) {
    if (at.vendor !== INTEL) continue;
    if (at.classCode >>> 8 === CLASS_IDE) {
      config.write(at, 0x40, 2, 0x8000); // both channels decode
      config.write(at, 0x42, 2, 0x8000);
    }
    if (at.id !== PM_DEVICE_ID) continue;
    config.write(at, PM_BASE, 4, PM_PORTS | 1);
    config.write(at, PM_ENABLE, 1, 1);
    config.write(at, SMBUS_BASE, 4, SMBUS_PORTS | 1);
    config.write(at, SMBUS_CONFIG, 1, 9);
  }
}
