/**
 * INT 13h, disks: cylinder-head-sector services for diskettes and disks. The extensions (AH=41h up)
 * are in int13_extensions.ts.
 *
 * Waiting is on the host here, for a medium answers at once; when the machine is to stop meanwhile,
 * the guest asks again later.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, INT 13h; Ralf Brown, INT 13.
 */

import { BlockOp } from "../../hv/core/media/block.ts";
import { floppyDriveType } from "../../hv/core/media/floppy_formats.ts";
import { Bda } from "../bda.ts";
import { countDrives, findUnit, RETRY, Status, transfer, type Unit } from "../media/drives.ts";
import { emulationService } from "../media/el_torito.ts";
import type { Guest } from "../guest.ts";
import { EDD_VERSION, isExtension, serveExtension } from "./int13_extensions.ts";
import { RomOffset } from "../rom/rom.ts";

/** Serves one call. */
export function int13(guest: Guest): void {
  const { host } = guest;
  const number = guest.dl;
  const command = guest.ah;
  if (command === 0x01) return lastStatus(guest);
  if (command >= 0x4a && command <= 0x4d) return finish(guest, emulationService(guest));
  const unit = findUnit(host, number);
  if (unit === undefined) return absent(guest, command, number);
  if (isExtension(command)) {
    const status = serveExtension(guest, unit);
    finish(guest, status);
    if (command === 0x41 && status === Status.ok) guest.ah = EDD_VERSION;
    return;
  }
  if (unit.kind === "cdrom") return finish(guest, command === 0 ? Status.ok : Status.badCommand);
  serve(guest, unit, command);
}

/** What a drive that is not there answers. */
function absent(guest: Guest, command: number, number: number): void {
  if (command === 0x15) {
    guest.ah = 0; // type: no such drive
    guest.carry = false;
    return;
  }
  if (command === 0x08) {
    guest.dl = number < 0x80 ? countDrives(guest.host, "floppy") : countDrives(guest.host, "disk");
    if (number < 0x80) {
      guest.bx = 0;
      guest.cx = 0;
      guest.dh = 0;
      if (guest.dl > 0 || number < 4) {
        guest.ax = 0;
        guest.carry = false;
        return;
      }
    }
    return finish(guest, number < 0x80 ? Status.badCommand : 0x07);
  }
  if (command === 0x00 && (number < 0x80 || number < 0xe0)) return finish(guest, Status.ok);
  finish(guest, number < 0x80 ? Status.timeOut : Status.badCommand);
}

function serve(guest: Guest, unit: Unit, command: number): void {
  switch (command) {
    case 0x00: // reset
    case 0x0d:
      return finish(guest, Status.ok);
    case 0x02:
    case 0x0a: // with ECC bytes, which there are none of
      return access(guest, unit, BlockOp.read);
    case 0x03:
    case 0x0b:
      return access(guest, unit, BlockOp.write);
    case 0x04:
      return verify(guest, unit);
    case 0x05:
      return format(guest, unit);
    case 0x08:
      return parameters(guest, unit);
    case 0x09: // initialise with parameters
    case 0x0c: // seek
    case 0x10: // ready?
    case 0x11: // recalibrate
    case 0x14: // diagnose
      if (unit.kind === "floppy" && command !== 0x09) return finish(guest, Status.badCommand);
      return finish(guest, Status.ok);
    case 0x15:
      return driveType(guest, unit);
    case 0x16:
      return changeLine(guest, unit);
    case 0x17: // media type for format
    case 0x18:
      return setMediaType(guest, unit);
  }
  finish(guest, Status.badCommand);
}

/** Reports a status in AH, CF and the BIOS data area. */
export function finish(guest: Guest, status: number): void {
  if (status === RETRY) return guest.goTo("retry13");
  guest.ah = status;
  guest.carry = status !== Status.ok;
  guest.host.memory.writeU8(guest.dl < 0x80 ? Bda.floppyStatus : Bda.diskStatus, status);
}

function lastStatus(guest: Guest): void {
  const address = guest.dl < 0x80 ? Bda.floppyStatus : Bda.diskStatus;
  const status = guest.host.memory.readU8(address);
  guest.ah = status;
  guest.carry = status !== Status.ok;
}

/** Sector number of the address in CX and DH, or -1 when the geometry has no such place. */
function sectorNumber(guest: Guest, { geometry }: Unit): number {
  const cylinder = guest.ch | (guest.cl & 0xc0) << 2;
  const sector = guest.cl & 0x3f;
  const head = guest.dh;
  const { heads, sectors } = geometry;
  if (sector === 0 || sector > sectors || head >= heads) return -1;
  return (cylinder * heads + head) * sectors + sector - 1;
}

/** A medium put in since the last call is reported once, as the change line does. */
function mediumChanged(unit: Unit): boolean {
  const { state } = unit.drive.port;
  if (unit.kind !== "floppy" || unit.emulated || !state.changed) return false;
  state.changed = false;
  return true;
}

function access(guest: Guest, unit: Unit, op: BlockOp): void {
  const count = guest.al;
  if (count === 0) return finish(guest, Status.badCommand);
  if (unit.drive.port.present && mediumChanged(unit)) {
    guest.al = 0;
    return finish(guest, Status.mediaChanged);
  }
  const sector = sectorNumber(guest, unit);
  const { registers } = guest;
  let status: number = Status.sectorNotFound;
  if (sector >= 0) {
    status = transfer(guest, unit, op, sector, count, guest.linear(registers.es, guest.bx));
  }
  if (status !== Status.ok && status !== RETRY) guest.al = 0;
  finish(guest, status);
}

function verify(guest: Guest, unit: Unit): void {
  const sector = sectorNumber(guest, unit);
  if (!unit.drive.port.present) return finish(guest, Status.timeOut);
  const inside = sector >= 0 && sector + guest.al <= unit.sectors;
  finish(guest, inside ? Status.ok : Status.sectorNotFound);
}

/** Fills a track of a diskette with F6h; on a disk formatting does nothing. */
function format(guest: Guest, unit: Unit): void {
  if (unit.kind === "disk") return finish(guest, Status.ok);
  const { port } = unit.drive;
  if (!port.present) return finish(guest, Status.timeOut);
  if (port.readOnly || unit.emulated) return finish(guest, Status.writeProtected);
  const { heads, sectors } = unit.geometry;
  const first = (guest.ch * heads + guest.dh) * sectors;
  if (guest.dh >= heads || first + sectors > unit.sectors) {
    return finish(guest, Status.sectorNotFound);
  }
  port.buffer.fill(0xf6, 0, sectors * unit.sectorBytes);
  port.start(BlockOp.write, first * unit.sectorBytes, sectors * unit.sectorBytes);
  const result = port.wait(() => guest.host.stopped());
  if (result === undefined) return finish(guest, RETRY);
  finish(guest, result === 0 ? Status.ok : Status.controllerFailure);
}

function parameters(guest: Guest, unit: Unit): void {
  const { cylinders, heads, sectors } = unit.geometry;
  const last = cylinders - 1;
  guest.ch = last;
  guest.cl = (sectors & 0x3f) | (last >>> 2) & 0xc0;
  guest.dh = heads - 1;
  guest.dl = countDrives(guest.host, unit.kind === "floppy" ? "floppy" : "disk");
  guest.ax = 0;
  if (unit.kind === "floppy") {
    guest.bx = floppyDriveType(unit.emulated ? unit.sectors * 512 : unit.drive.port.sizeBytes);
    guest.di = RomOffset.disketteTable;
    guest.setSegment(guest.registers.es, 0xf000);
  }
  guest.carry = false;
}

function driveType(guest: Guest, unit: Unit): void {
  guest.carry = false;
  if (unit.kind === "floppy") {
    guest.ah = 2; // diskette with change line
    return;
  }
  const { cylinders, heads, sectors } = unit.geometry;
  const total = (cylinders - 1) * heads * sectors;
  guest.ah = 3;
  guest.cx = total >>> 16;
  guest.dx = total;
}

function changeLine(guest: Guest, unit: Unit): void {
  if (unit.kind !== "floppy") return finish(guest, Status.badCommand);
  if (!unit.drive.port.present) return finish(guest, Status.timeOut);
  finish(guest, mediumChanged(unit) ? Status.mediaChanged : Status.ok);
}

function setMediaType(guest: Guest, unit: Unit): void {
  if (unit.kind !== "floppy") return finish(guest, Status.badCommand);
  if (guest.ah === 0x17) return finish(guest, Status.ok);
  const tracks = (guest.ch | (guest.cl & 0xc0) << 2) + 1;
  const { geometry } = unit;
  if (tracks !== geometry.cylinders || (guest.cl & 0x3f) !== geometry.sectors) {
    return finish(guest, 0x0c); // no such media type
  }
  guest.di = RomOffset.disketteTable;
  guest.setSegment(guest.registers.es, 0xf000);
  finish(guest, Status.ok);
}
