/**
 * The PCI BIOS, INT 1Ah AH=B1h, and its 32-bit entry.
 *
 * Reference: PCI BIOS Specification 2.1.
 */

import type { Guest } from "../guest.ts";
import { PciConfig } from "../pci_config.ts";
import { romCode, routingTable } from "../rom/rom.ts";

const SUCCESSFUL = 0x00;
const FUNC_NOT_SUPPORTED = 0x81;
const BAD_VENDOR_ID = 0x83;
const DEVICE_NOT_FOUND = 0x86;
const BAD_REGISTER_NUMBER = 0x87;
const BUFFER_TOO_SMALL = 0x89;
/** "PCI " in EDX. */
const SIGNATURE = 0x2049_4350;

/** Serves INT 1Ah AH=B1h. */
export function pciBios(guest: Guest): void {
  const status = serve(guest);
  guest.ah = status;
  guest.carry = status !== SUCCESSFUL;
}

/** Serves the 32-bit entry, whose caller gets CF in EFLAGS itself. */
export function pciBios32(guest: Guest): void {
  const status = guest.ah === 0xb1 && guest.al !== 0x0e ? serve(guest) : FUNC_NOT_SUPPORTED;
  guest.ah = status;
  const flags = guest.registers.eflags;
  guest.registers.eflags = status === SUCCESSFUL ? flags & ~1 : flags | 1;
}

function serve(guest: Guest): number {
  const config = new PciConfig(guest.host.ports);
  const { registers } = guest;
  switch (guest.al & 0x7f) {
    case 0x01:
      registers.edx = SIGNATURE;
      guest.bx = 0x0210;
      guest.cl = 0;
      guest.al = 0x01; // mechanism 1, no special cycles
      return SUCCESSFUL;
    case 0x02:
      if (guest.dx === 0xffff) return BAD_VENDOR_ID;
      return find(guest, config, ({ vendor, id }) => vendor === guest.dx && id === guest.cx);
    case 0x03:
      return find(guest, config, ({ classCode }) => classCode === (registers.ecx & 0xff_ffff));
    case 0x08:
      guest.cl = read(guest, config, 1);
      return SUCCESSFUL;
    case 0x09:
      if ((guest.di & 1) !== 0) return BAD_REGISTER_NUMBER;
      guest.cx = read(guest, config, 2);
      return SUCCESSFUL;
    case 0x0a:
      if ((guest.di & 3) !== 0) return BAD_REGISTER_NUMBER;
      registers.ecx = read(guest, config, 4);
      return SUCCESSFUL;
    case 0x0b:
      return write(guest, config, 1, guest.cl);
    case 0x0c:
      return write(guest, config, 2, guest.cx);
    case 0x0d:
      return write(guest, config, 4, registers.ecx);
    case 0x0e:
      return routingOptions(guest);
    case 0x0f:
      return SUCCESSFUL; // the interrupt is routed as POST has done it
  }
  return FUNC_NOT_SUPPORTED;
}

/** The function in BX. */
const address = (guest: Guest) => ({
  bus: guest.bh,
  device: guest.bl >>> 3,
  function: guest.bl & 7,
});

function read(guest: Guest, config: PciConfig, size: number): number {
  return guest.di > 0xff ? 0xffff_ffff : config.read(address(guest), guest.di, size);
}

function write(guest: Guest, config: PciConfig, size: number, value: number): number {
  if ((guest.di & (size - 1)) !== 0 || guest.di > 0xff) return BAD_REGISTER_NUMBER;
  config.write(address(guest), guest.di, size, value);
  return SUCCESSFUL;
}

type Found = ReturnType<PciConfig["functions"]>[number];

function find(guest: Guest, config: PciConfig, matches: (found: Found) => boolean): number {
  const found = config.functions().filter(matches)[guest.si];
  if (found === undefined) return DEVICE_NOT_FOUND;
  guest.bh = found.bus;
  guest.bl = found.device << 3 | found.function;
  return SUCCESSFUL;
}

/** AL=0Eh: the routing table into the buffer that ES:DI describes (§4.6). */
function routingOptions(guest: Guest): number {
  const { space, registers } = guest;
  const table = routingTable().subarray(32);
  const at = guest.linear(registers.es, guest.di);
  const room = space.read16(at);
  space.write16(at, table.length);
  if (room < table.length) return BUFFER_TOO_SMALL;
  const buffer = space.read16(at + 4) * 16 + space.read16(at + 2);
  space.write(buffer, table);
  guest.bx = 0; // no IRQs are for PCI alone
  return SUCCESSFUL;
}

/** "$PCI": the only service that the BIOS32 directory knows. */
const PCI_SERVICE = 0x4943_5024;
const ROM_PHYSICAL = 0xf0000;

/** The BIOS32 service directory's entry: EAX the service, EBX 0. */
export function bios32(guest: Guest): void {
  const { registers } = guest;
  if (guest.bl !== 0) {
    guest.al = 0x81; // no such function
    return;
  }
  if (registers.eax !== PCI_SERVICE) {
    guest.al = 0x80; // no such service
    return;
  }
  guest.al = 0;
  registers.ebx = ROM_PHYSICAL;
  registers.ecx = 0x10000;
  registers.edx = romCode().label("pciBios32");
}
