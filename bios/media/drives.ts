/**
 * The drives of INT 13h: which medium a number means, with El Torito's emulation in between, its
 * geometry, and transfers between it and the guest's memory.
 */

import { BlockOp, BlockResult } from "../../hv/core/media/block.ts";
import { diskGeometry, type Geometry } from "../../hv/core/media/disk_geometry.ts";
import type { DriveKind } from "../../hv/core/media/drive_kind.ts";
import { FloppyDriveType, floppyFormat } from "../../hv/core/media/floppy_formats.ts";
import { Bda, Ebda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import type { FirmwareDrive, FirmwareHost } from "../host.ts";

/** INT 13h status, AH. */
export const Status = {
  ok: 0x00,
  badCommand: 0x01,
  addressMarkNotFound: 0x02,
  writeProtected: 0x03,
  sectorNotFound: 0x04,
  mediaChanged: 0x06,
  dmaBoundary: 0x09,
  controllerFailure: 0x20,
  timeOut: 0x80,
  notLocked: 0xb0,
  locked: 0xb1,
  notRemovable: 0xb2,
  lockCountExceeded: 0xb4,
} as const;

/** The number of the thread's request was given up: the guest shall ask again. */
export const RETRY = -1;

const SECTOR = 512;
const CD_SECTOR = 2048;
/** Configuration control register of the floppy controller: data rate. */
const FLOPPY_CCR = 0x3f7;
/** Media state, 40:90h: the rate's place, and what bits 4-0 say of a medium that has been read. */
const MEDIA_RATE_SHIFT = 6;
const MEDIA_ESTABLISHED = {
  [FloppyDriveType.k360]: 0x13,
  [FloppyDriveType.m1_2]: 0x15,
  [FloppyDriveType.k720]: 0x17,
  [FloppyDriveType.m1_44]: 0x17,
  [FloppyDriveType.m2_88]: 0x17,
};
/** Bytes moved at once when memory is not plain RAM. */
const CHUNK = 65536;

/** A drive as one call sees it. */
export interface Unit {
  readonly drive: FirmwareDrive;
  readonly kind: DriveKind;
  readonly geometry: Geometry;
  /** Bytes a sector. */
  readonly sectorBytes: number;
  /** Where it begins on the medium, bytes: not 0 for an El Torito image. */
  readonly start: number;
  /** Sectors of `sectorBytes`. */
  readonly sectors: number;
  readonly emulated: boolean;
}

/**
 * The drives with the numbers that INT 13h gives them: disks from 80h and CD-ROMs from E0h without
 * gaps, in the order of the numbers they came with; floppies keep theirs.
 */
export function numberDrives(drives: readonly FirmwareDrive[]): FirmwareDrive[] {
  const next = { disk: 0x80, cdrom: 0xe0 };
  return drives.toSorted((a, b) => a.number - b.number).map((drive) =>
    drive.kind === "floppy" ? drive : { ...drive, number: next[drive.kind]++ }
  );
}

/** The geometry that INT 13h has of a drive: the one given to it, or what follows from the medium. */
export function geometryOf({ kind, geometry, port: { sizeBytes } }: FirmwareDrive): Geometry {
  return geometry ?? (kind === "floppy" ? floppyFormat(sizeBytes) : diskGeometry(sizeBytes));
}

/** The drives of a kind, in the order of their numbers. */
export function drivesOf(host: FirmwareHost, kind: FirmwareDrive["kind"]): FirmwareDrive[] {
  return host.drives.filter((drive) => drive.kind === kind).sort((a, b) => a.number - b.number);
}

/** Is an El Torito image in the place of drive `number`? Media types 1 to 3 are floppies, 4 a disk. */
function emulates(host: FirmwareHost, number: number): boolean {
  const { memory } = host;
  return memory.readU8(Ebda.emulating) === 1 && memory.readU8(Ebda.emulatedMedia) !== 0 &&
    memory.readU8(Ebda.emulatedDrive) === number;
}

/** What drive `number` means now, or undefined when there is no such drive. */
export function findUnit(host: FirmwareHost, number: number): Unit | undefined {
  const { memory } = host;
  if (emulates(host, number)) return emulatedUnit(host);
  let wanted = number;
  // The emulated drive pushes the others of its kind one number up.
  const shifted = memory.readU8(Ebda.emulating) === 1 && memory.readU8(Ebda.emulatedMedia) !== 0;
  const emulated = memory.readU8(Ebda.emulatedDrive);
  if (shifted && (emulated & 0x80) === (number & 0x80) && number > emulated && number < 0xe0) {
    wanted--;
  }
  const drive = host.drives.find((candidate) => candidate.number === wanted);
  if (drive === undefined) return undefined;
  const { kind, sectorBytes, port: { sizeBytes } } = drive;
  const geometry = geometryOf(drive);
  const sectors = Math.floor(sizeBytes / sectorBytes);
  return { drive, kind, geometry, sectorBytes, start: 0, sectors, emulated: false };
}

function emulatedUnit(host: FirmwareHost): Unit | undefined {
  const { memory } = host;
  const on = memory.readU8(Ebda.emulatedOn);
  const drive = host.drives.find((candidate) => candidate.number === on);
  if (drive === undefined) return undefined;
  const geometry = {
    cylinders: memory.readU16(Ebda.emulatedCylinders),
    heads: memory.readU8(Ebda.emulatedHeads),
    sectors: memory.readU8(Ebda.emulatedSectorsPerTrack),
  };
  return {
    drive,
    kind: memory.readU8(Ebda.emulatedMedia) === 4 ? "disk" : "floppy",
    geometry,
    sectorBytes: SECTOR,
    start: memory.readU32(Ebda.emulatedBlock) * CD_SECTOR,
    sectors: geometry.cylinders * geometry.heads * geometry.sectors,
    emulated: true,
  };
}

/** How many drives INT 13h has of a kind, the emulated one included. */
export function countDrives(host: FirmwareHost, kind: "floppy" | "disk"): number {
  const { memory } = host;
  const media = memory.readU8(Ebda.emulating) === 1 ? memory.readU8(Ebda.emulatedMedia) : 0;
  const extra = media === 0 ? 0 : (media === 4) === (kind === "disk") ? 1 : 0;
  return drivesOf(host, kind).length + extra;
}

const RESULT_STATUS = {
  [BlockResult.ok]: Status.ok,
  [BlockResult.ioError]: Status.controllerFailure,
  [BlockResult.readOnly]: Status.writeProtected,
  [BlockResult.outOfRange]: Status.sectorNotFound,
  [BlockResult.noMedium]: Status.timeOut,
};

/**
 * Leaves the controller at the medium's data rate, as a BIOS does that reads through it: a boot
 * sector may go on by itself from there.
 */
function setDataRate({ ports, memory }: FirmwareHost, { number, port }: FirmwareDrive): void {
  const { rates: [rate], drive } = floppyFormat(port.sizeBytes);
  ports.write(FLOPPY_CCR, 1, rate);
  memory.writeU8(Bda.floppyMedia + number, rate << MEDIA_RATE_SHIFT | MEDIA_ESTABLISHED[drive]);
}

/** Posts one request and waits; an INT 13h status, or `RETRY`. */
function request(
  host: FirmwareHost,
  drive: FirmwareDrive,
  op: BlockOp,
  offset: number,
  length: number,
  address = -1,
): number {
  const { port } = drive;
  if (drive.kind === "floppy") setDataRate(host, drive);
  const stopped = () => host.stopped();
  if (port.busy && port.wait(stopped) === undefined) return RETRY;
  port.start(op, offset, length, address);
  const result = port.wait(stopped);
  return result === undefined ? RETRY : RESULT_STATUS[result];
}

/**
 * Moves sectors between a unit and memory at a linear address.
 *
 * @returns An INT 13h status, or `RETRY`; then nothing is to be reported yet.
 */
export function transfer(
  guest: Guest,
  unit: Unit,
  op: BlockOp,
  sector: number,
  count: number,
  linear: number,
): number {
  const { host, space } = guest;
  if (!unit.drive.port.present) {
    return unit.kind === "floppy" ? Status.timeOut : Status.controllerFailure;
  }
  if (
    op === BlockOp.write && (unit.drive.port.readOnly || unit.emulated || unit.kind === "cdrom")
  ) {
    return Status.writeProtected;
  }
  if (!(sector >= 0 && sector + count <= unit.sectors)) return Status.sectorNotFound;
  const { drive } = unit;
  const offset = unit.start + sector * unit.sectorBytes;
  const length = count * unit.sectorBytes;
  const address = space.ramAddress(linear, length);
  if (address >= 0) return request(host, drive, op, offset, length, address);
  for (let at = 0; at < length; at += CHUNK) {
    const piece = drive.port.buffer.subarray(0, Math.min(CHUNK, length - at));
    if (op === BlockOp.write) space.read(linear + at, piece);
    const status = request(host, drive, op, offset + at, piece.length);
    if (status !== Status.ok) return status;
    if (op === BlockOp.read) space.write(linear + at, piece);
  }
  return Status.ok;
}

/** Reads bytes of a medium for the firmware itself; undefined with no medium, errors, or `stopped`. */
export function readBytes(
  host: FirmwareHost,
  drive: FirmwareDrive,
  offset: number,
  length: number,
): { status: number; bytes: Uint8Array } {
  const status = drive.port.present
    ? request(host, drive, BlockOp.read, offset, length)
    : Status.timeOut;
  return { status, bytes: drive.port.buffer.slice(0, length) };
}
