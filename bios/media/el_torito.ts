/**
 * Booting from CD-ROM: the boot catalogue, images without emulation and images that stand for a
 * diskette or a disk, and INT 13h AH=4Ah-4Dh.
 *
 * Everything on the medium may be hostile: lengths and places are checked before they are used.
 *
 * Reference: Phoenix, IBM: "El Torito" Bootable CD-ROM Format Specification 1.0.
 */

import { addressText } from "../../hv/core/hex.ts";
import type { Geometry } from "../../hv/core/media/disk_geometry.ts";
import { floppyFormat } from "../../hv/core/media/floppy_formats.ts";
import { Bda, Ebda } from "../bda.ts";
import { readBytes, RETRY, Status } from "./drives.ts";
import type { Guest } from "../guest.ts";
import type { FirmwareDrive } from "../host.ts";

const BLOCK = 2048;
const SECTOR = 512;
/** Block of the boot record volume descriptor (§2.0). */
const BOOT_RECORD_BLOCK = 17;
const ENTRY = 32;
const BOOTABLE = 0x88;
const PLATFORM_X86 = 0;
const DEFAULT_SEGMENT = 0x7c0;
/** Images are loaded between the firmware's data and the EBDA. */
const LOAD_START = 0x600;
const LOAD_END = 0x9fc00;
/** Sectors for images that say none: a block. */
const DEFAULT_SECTORS = 4;

/** Boot media types (§2.2). */
const MEDIA_NONE = 0;
const MEDIA_DISK = 4;
/** Size of the diskette that each of 1 to 3 is, KiB. */
const FLOPPY_KIB: Readonly<Record<number, number>> = { 1: 1200, 2: 1440, 3: 2880 };

/** An entry of the boot catalogue that can be booted. */
export interface BootEntry {
  /** 0 none, 1 to 3 diskette of 1.2, 1.44, 2.88 MB, 4 hard disk. */
  readonly media: number;
  readonly segment: number;
  /** 512-byte sectors to load. */
  readonly sectors: number;
  /** First 2048-byte block of the image. */
  readonly block: number;
}

/** Block of the boot catalogue, from a boot record volume descriptor; or why there is none. */
export function catalogueBlock(descriptor: Uint8Array): number | string {
  const text = new TextDecoder("latin1").decode(descriptor.subarray(0, 39));
  if (descriptor[0] !== 0 || text.slice(1, 6) !== "CD001") return "it has no boot record";
  if (!text.slice(7).startsWith("EL TORITO SPECIFICATION")) {
    return "its boot record is not El Torito";
  }
  return new DataView(descriptor.buffer, descriptor.byteOffset).getUint32(0x47, true);
}

/** The first x86 entry of a boot catalogue (one block of it), or why there is none. */
export function bootEntry(catalogue: Uint8Array): BootEntry | string {
  const data = new DataView(catalogue.buffer, catalogue.byteOffset, catalogue.length);
  let sum = 0;
  for (let i = 0; i < ENTRY; i += 2) sum += data.getUint16(i, true);
  if (catalogue[0] !== 1 || catalogue[30] !== 0x55 || catalogue[31] !== 0xaa) {
    return "its boot catalogue has no validation entry";
  }
  if ((sum & 0xffff) !== 0) return "the checksum of its boot catalogue is wrong";
  let platform = catalogue[1];
  let left = 1; // entries that follow in this section
  for (let at = ENTRY; at + ENTRY <= catalogue.length; at += ENTRY) {
    const indicator = catalogue[at];
    if (left === 0) {
      if (indicator === 0x44) continue; // extension of the entry before
      if (indicator !== 0x90 && indicator !== 0x91) break;
      platform = catalogue[at + 1];
      left = data.getUint16(at + 2, true);
      continue;
    }
    if (indicator === 0x44) continue;
    left--;
    const media = catalogue[at + 1] & 0x0f;
    if (platform !== PLATFORM_X86 || indicator !== BOOTABLE || media > MEDIA_DISK) continue;
    return {
      media,
      segment: data.getUint16(at + 2, true) || DEFAULT_SEGMENT,
      sectors: data.getUint16(at + 6, true) || (media === MEDIA_NONE ? DEFAULT_SECTORS : 1),
      block: data.getUint32(at + 8, true),
    };
  }
  return "its boot catalogue has no entry for PCs";
}

/** Geometry of an emulated hard disk, from the first partition's end in its MBR (§3.3). */
export function emulatedDiskGeometry(mbr: Uint8Array): Geometry | undefined {
  const at = 0x1be;
  const heads = mbr[at + 5] + 1;
  const sectors = mbr[at + 6] & 0x3f;
  const cylinders = (mbr[at + 7] | (mbr[at + 6] & 0xc0) << 2) + 1;
  if (sectors === 0 || heads > 255) return undefined;
  return { cylinders, heads, sectors };
}

function emulatedGeometry(media: number, firstBytes: Uint8Array): Geometry | undefined {
  const kib = FLOPPY_KIB[media];
  return kib === undefined ? emulatedDiskGeometry(firstBytes) : floppyFormat(kib * 1024);
}

/** An image that has been loaded. */
export interface LoadedImage {
  /** Linear address of its first instruction. */
  readonly address: number;
  /** INT 13h number to pass in DL. */
  readonly drive: number;
}

/**
 * Loads the boot image of a CD-ROM and begins its emulation.
 *
 * @returns The image, `RETRY`, or why it cannot be booted.
 */
export function loadBootImage(
  guest: Guest,
  drive: FirmwareDrive,
): LoadedImage | typeof RETRY | string {
  const { host } = guest;
  const record = readBytes(host, drive, BOOT_RECORD_BLOCK * BLOCK, BLOCK);
  if (record.status === RETRY) return RETRY;
  if (record.status !== Status.ok) return "it cannot be read";
  const block = catalogueBlock(record.bytes);
  if (typeof block === "string") return block;
  const catalogue = readBytes(host, drive, block * BLOCK, BLOCK);
  if (catalogue.status === RETRY) return RETRY;
  if (catalogue.status !== Status.ok) return "its boot catalogue cannot be read";
  const entry = bootEntry(catalogue.bytes);
  if (typeof entry === "string") return entry;
  return loadEntry(guest, drive, entry);
}

function loadEntry(
  guest: Guest,
  drive: FirmwareDrive,
  entry: BootEntry,
): LoadedImage | typeof RETRY | string {
  const { host, space } = guest;
  const address = entry.segment * 16;
  const length = entry.sectors * SECTOR;
  if (address < LOAD_START || address + length > LOAD_END) {
    return `its boot image (${length} bytes at ${addressText(address)}) does not fit into memory`;
  }
  let geometry: Geometry | undefined;
  for (let at = 0; at < length; at += BLOCK) {
    const size = Math.min(BLOCK, length - at);
    const { status, bytes } = readBytes(host, drive, entry.block * BLOCK + at, size);
    if (status === RETRY) return RETRY;
    if (status !== Status.ok) return "its boot image cannot be read";
    if (at === 0) geometry = emulatedGeometry(entry.media, bytes);
    space.write(address + at, bytes);
  }
  if (entry.media !== MEDIA_NONE && geometry === undefined) {
    return "its hard-disk image has no partition that tells the geometry";
  }
  return { address, drive: beginEmulation(guest, drive, entry, geometry) };
}

function beginEmulation(
  guest: Guest,
  drive: FirmwareDrive,
  entry: BootEntry,
  geometry: Geometry | undefined,
): number {
  const { memory } = guest.host;
  const number = entry.media === MEDIA_NONE
    ? drive.number
    : entry.media === MEDIA_DISK
    ? 0x80
    : 0x00;
  memory.writeU8(Ebda.emulating, 1);
  memory.writeU8(Ebda.emulatedMedia, entry.media);
  memory.writeU8(Ebda.emulatedDrive, number);
  memory.writeU8(Ebda.emulatedOn, drive.number);
  memory.writeU32(Ebda.emulatedBlock, entry.block);
  memory.writeU16(Ebda.emulatedSegment, entry.segment);
  memory.writeU16(Ebda.emulatedSectors, entry.sectors);
  memory.writeU16(Ebda.emulatedCylinders, geometry?.cylinders ?? 0);
  memory.writeU8(Ebda.emulatedHeads, geometry?.heads ?? 0);
  memory.writeU8(Ebda.emulatedSectorsPerTrack, geometry?.sectors ?? 0);
  const media = entry.media;
  if (media === MEDIA_DISK) memory.writeU8(Bda.diskCount, memory.readU8(Bda.diskCount) + 1);
  else if (media !== MEDIA_NONE) countFloppy(guest, 1);
  return number;
}

/** Adds to the number of diskette drives in the equipment word. */
function countFloppy(guest: Guest, change: number): void {
  const { memory } = guest.host;
  const equipment = memory.readU16(Bda.equipment);
  const before = (equipment & 1) === 0 ? 0 : ((equipment >>> 6) & 3) + 1;
  const count = Math.min(4, Math.max(0, before + change));
  const drives = count === 0 ? 0 : 1 | (count - 1) << 6;
  memory.writeU16(Bda.equipment, (equipment & ~0xc1) | drives);
}

/** Ends an emulation, as a boot does before it tries the next device. */
export function endEmulation(guest: Guest): void {
  const { memory } = guest.host;
  if (memory.readU8(Ebda.emulating) !== 1) return;
  const media = memory.readU8(Ebda.emulatedMedia);
  memory.writeU8(Ebda.emulating, 0);
  if (media === MEDIA_DISK) memory.writeU8(Bda.diskCount, memory.readU8(Bda.diskCount) - 1);
  else if (media !== MEDIA_NONE) countFloppy(guest, -1);
}

/** INT 13h AH=4Ah to 4Dh (§4); the status for AH. */
export function emulationService(guest: Guest): number {
  const { memory, drives } = guest.host;
  const active = memory.readU8(Ebda.emulating) === 1;
  if (guest.ah === 0x4d) return readCatalogue(guest);
  // Beginning another emulation from a running system is left out, as in most firmware.
  if (guest.ah !== 0x4b || guest.al > 1) return Status.badCommand;
  const ours = guest.dl === memory.readU8(Ebda.emulatedDrive) || guest.dl === 0x7f;
  if (!active || !ours || !drives.some((drive) => drive.kind === "cdrom")) return Status.badCommand;
  writeStatusPacket(guest);
  if (guest.al === 0) endEmulation(guest);
  return Status.ok;
}

/** The specification packet at DS:SI (§4.2, figure 5). */
function writeStatusPacket(guest: Guest): void {
  const { registers, space, host: { memory } } = guest;
  const packet = new Uint8Array(0x13);
  const data = new DataView(packet.buffer);
  const cylinders = memory.readU16(Ebda.emulatedCylinders);
  const last = Math.max(0, cylinders - 1);
  packet[0] = packet.length;
  packet[1] = memory.readU8(Ebda.emulatedMedia);
  packet[2] = memory.readU8(Ebda.emulatedDrive);
  packet[3] = memory.readU8(Ebda.emulatedOn) & 0x1f;
  data.setUint32(4, memory.readU32(Ebda.emulatedBlock), true);
  data.setUint16(12, memory.readU16(Ebda.emulatedSegment), true);
  data.setUint16(14, memory.readU16(Ebda.emulatedSectors), true);
  packet[16] = last;
  packet[17] = (memory.readU8(Ebda.emulatedSectorsPerTrack) & 0x3f) | (last >>> 2) & 0xc0;
  packet[18] = Math.max(0, memory.readU8(Ebda.emulatedHeads) - 1);
  space.write(guest.linear(registers.ds, guest.si), packet);
}

/** AH=4Dh: reads the boot catalogue; packet: size, sectors, buffer far pointer, first sector. */
function readCatalogue(guest: Guest): number {
  const { registers, space, host } = guest;
  const drive = host.drives.find(({ kind }) => kind === "cdrom");
  if (drive === undefined) return Status.badCommand;
  const at = guest.linear(registers.ds, guest.si);
  const count = space.read8(at + 1);
  const buffer = space.read16(at + 4) * 16 + space.read16(at + 2);
  const first = space.read16(at + 6);
  const record = readBytes(host, drive, BOOT_RECORD_BLOCK * BLOCK, BLOCK);
  if (record.status !== Status.ok) return record.status;
  const block = catalogueBlock(record.bytes);
  if (typeof block === "string") return Status.badCommand;
  for (let i = 0; i < count; i++) {
    const { status, bytes } = readBytes(host, drive, (block + first + i) * BLOCK, BLOCK);
    if (status !== Status.ok) return status;
    space.write(buffer + i * BLOCK, bytes);
  }
  return Status.ok;
}
