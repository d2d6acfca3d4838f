/**
 * INT 13h extensions: 64-bit sector addresses, drive parameters with the EDD device path, and the
 * removable-media functions.
 *
 * Reference: Phoenix, BIOS Enhanced Disk Drive Specification 3.0; El Torito 1.0 §4 (CD-ROM sectors).
 */

import { BlockOp } from "../../hv/core/media/block.ts";
import { Ebda } from "../bda.ts";
import { Status, transfer, type Unit } from "../media/drives.ts";
import type { Guest } from "../guest.ts";

/** Version 3.0 of the extensions: what AH=41h returns in AH. */
export const EDD_VERSION = 0x30;
/** Interface support: packet access, locking and ejecting, EDD. */
const SUPPORT_PACKETS = 0x01;
const SUPPORT_REMOVABLE = 0x02;
const SUPPORT_EDD = 0x04;
const PARAMETERS_V1 = 26;
const PARAMETERS_V2 = 30;
const PARAMETERS_V3 = 66;
const PATH_LENGTH = 36;
const PATH_KEY = 0xbedd;
/** Parameter flags: geometry valid; removable; change line; lockable. */
const GEOMETRY_VALID = 0x0002;
const REMOVABLE = 0x0074;

/** Is `command` (AH) one that this file serves? */
export function isExtension(command: number): boolean {
  return (command >= 0x41 && command <= 0x49) || command === 0x4e;
}

/** Serves one call and returns the status for AH; `RETRY` as in drives.ts. */
export function serveExtension(guest: Guest, unit: Unit): number {
  // A floppy has no extensions, nor has an emulated one.
  if (unit.kind === "floppy") return Status.badCommand;
  switch (guest.ah) {
    case 0x41:
      return installationCheck(guest, unit);
    case 0x42:
      return access(guest, unit, BlockOp.read);
    case 0x43:
      return access(guest, unit, BlockOp.write);
    case 0x44:
      return verify(guest, unit);
    case 0x45:
      return lock(guest, unit);
    case 0x46:
      return unit.kind === "cdrom" ? Status.locked : Status.notRemovable; // only the host ejects
    case 0x47:
      return inside(guest, unit) ? Status.ok : Status.sectorNotFound;
    case 0x48:
      return parameters(guest, unit);
    case 0x49: // changed since it was last asked?
      if (unit.kind !== "cdrom" || !unit.drive.port.state.changed) return Status.ok;
      unit.drive.port.state.changed = false;
      return Status.mediaChanged;
    case 0x4e: // hardware settings: prefetch and transfer modes need none
      return guest.al <= 6 ? Status.ok : Status.badCommand;
  }
  return Status.badCommand;
}

function installationCheck(guest: Guest, unit: Unit): number {
  if (guest.bx !== 0x55aa) return Status.badCommand;
  guest.bx = 0xaa55;
  guest.cx = SUPPORT_PACKETS | SUPPORT_EDD | (unit.kind === "cdrom" ? SUPPORT_REMOVABLE : 0);
  return Status.ok;
}

/** The packet at DS:SI (EDD 3.0 §4.2.2). */
function readPacket(guest: Guest) {
  const { space, registers } = guest;
  const at = guest.linear(registers.ds, guest.si);
  const size = space.read8(at);
  const count = space.read16(at + 2);
  const offset = space.read16(at + 4);
  const segment = space.read16(at + 6);
  const block = space.read32(at + 8) + space.read32(at + 12) * 2 ** 32;
  let linear = segment * 16 + offset;
  if (segment === 0xffff && offset === 0xffff && size >= 24) {
    linear = space.read32(at + 16) + space.read32(at + 20) * 2 ** 32;
  }
  return { at, size, count, block, linear };
}

function access(guest: Guest, unit: Unit, op: BlockOp): number {
  const { at, size, count, block, linear } = readPacket(guest);
  if (size < 16) return Status.badCommand;
  if (count === 0) return Status.ok;
  // Hostile or careless: the interface knows 127 blocks; what is far beyond is no transfer.
  if (count > 4096) return Status.badCommand;
  const status = transfer(guest, unit, op, block, count, linear);
  if (status > Status.ok) guest.space.write16(at + 2, 0);
  return status;
}

function verify(guest: Guest, unit: Unit): number {
  return inside(guest, unit) ? Status.ok : Status.sectorNotFound;
}

function inside(guest: Guest, unit: Unit): boolean {
  const { block, count } = readPacket(guest);
  return unit.drive.port.present && block + count <= unit.sectors;
}

/** AH=45h: AL 0 locks, 1 unlocks, 2 asks. Locks are counted in the EBDA. */
function lock(guest: Guest, unit: Unit): number {
  if (unit.kind !== "cdrom") return Status.notRemovable;
  const { memory } = guest.host;
  const address = Ebda.trayLocks + (unit.drive.number & 7);
  const count = memory.readU8(address);
  switch (guest.al) {
    case 0:
      if (count === 0xff) return Status.lockCountExceeded;
      memory.writeU8(address, count + 1);
      guest.al = 1;
      return Status.ok;
    case 1:
      if (count === 0) return Status.notLocked;
      memory.writeU8(address, count - 1);
      guest.al = count > 1 ? 1 : 0;
      return Status.ok;
    case 2:
      guest.al = count > 0 ? 1 : 0;
      return Status.ok;
  }
  return Status.badCommand;
}

/** AH=48h (EDD 3.0 §4.2.8): as much of the table as the caller has room for. */
function parameters(guest: Guest, unit: Unit): number {
  const { space, registers } = guest;
  const at = guest.linear(registers.ds, guest.si);
  const room = space.read16(at);
  if (room < PARAMETERS_V1) return Status.badCommand;
  const length = room >= PARAMETERS_V3
    ? PARAMETERS_V3
    : room >= PARAMETERS_V2
    ? PARAMETERS_V2
    : PARAMETERS_V1;
  const table = parameterTable(unit, length);
  space.write(at, table.subarray(0, length));
  return Status.ok;
}

/** The 66 bytes of the table for a unit, its size field being `length`. */
export function parameterTable(unit: Unit, length: number): Uint8Array {
  const table = new Uint8Array(PARAMETERS_V3);
  const data = new DataView(table.buffer);
  const { cylinders, heads, sectors } = unit.geometry;
  const disk = unit.kind === "disk";
  data.setUint16(0, length, true);
  data.setUint16(2, disk ? GEOMETRY_VALID : REMOVABLE, true);
  // More than 15,482,880 sectors: no physical geometry says it (EDD 3.0, table 3).
  const physical = disk ? Math.min(Math.floor(unit.sectors / (heads * sectors)), 0xffff_ffff) : -1;
  data.setUint32(4, disk ? Math.max(physical, cylinders) : 0xffff_ffff, true);
  data.setUint32(8, disk ? heads : 0xffff_ffff, true);
  data.setUint32(12, disk ? sectors : 0xffff_ffff, true);
  data.setBigUint64(16, disk ? BigInt(unit.sectors) : 0xffff_ffff_ffff_ffffn, true);
  data.setUint16(24, unit.sectorBytes, true);
  data.setUint32(26, 0xffff_ffff, true); // no configuration parameters: FFFF:FFFF
  if (length >= PARAMETERS_V3 && unit.drive.ata !== undefined && !unit.emulated) {
    devicePath(table, data, unit.drive.ata);
  }
  return table;
}

/** The device path: host bus "PCI", interface "ATA". */
function devicePath(
  table: Uint8Array,
  data: DataView,
  { pci, channel, slave }: NonNullable<Unit["drive"]["ata"]>,
): void {
  data.setUint16(30, PATH_KEY, true);
  table[32] = PATH_LENGTH;
  table.set(new TextEncoder().encode("PCI "), 36);
  table.set(new TextEncoder().encode("ATA     "), 40);
  table[48] = pci.bus;
  table[49] = pci.device;
  table[50] = pci.function;
  table[51] = channel;
  table[56] = slave ? 1 : 0;
  const sum = table.subarray(30, 65).reduce((total, value) => total + value, 0);
  table[65] = -sum;
}
