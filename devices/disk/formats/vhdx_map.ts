/**
 * VHDX images of Hyper-V, fixed and dynamic, to be read. Reference: [MS-VHDX] Virtual Hard Disk v2 File
 * Format. Differencing images are refused, and those whose log has not been carried out.
 */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import { type BlockMap, FileTable, type Place, readPart, textAt } from "./mapped_image.ts";

const KIB = 1024;
const MIB = 1 << 20;
/** Two headers and two region tables, of which one each has to be valid (2.2). */
const HEADERS = [64 * KIB, 128 * KIB];
const HEADER_BYTES = 4 * KIB;
const REGION_TABLES = [192 * KIB, 256 * KIB];
const REGION_TABLE_BYTES = 64 * KIB;
const METADATA_TABLE_BYTES = 64 * KIB;
const NO_GUID = "00000000-0000-0000-0000-000000000000";
const BAT = "2dc27766-f623-4200-9d64-115e9bfd4a08";
const METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e";
const FILE_PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b";
const DISK_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8";
const LOGICAL_SECTOR = "8141bf1d-a96f-4709-ba47-f233a8faab5f";
const HAS_PARENT = 2;
const MAX_BYTES = 64 * 2 ** 40;

/** States of a block (2.5.1.1): others read as zeros. */
const FULLY_PRESENT = 6;
const PARTIALLY_PRESENT = 7;

const CRC32C = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C of a structure whose own checksum, at byte 4, counts as zeros. */
function checksum(view: DataView): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < view.byteLength; i++) {
    const byte = i >= 4 && i < 8 ? 0 : view.getUint8(i);
    crc = CRC32C[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

/** As they are written: the first three numbers little-endian. */
function guidAt(view: DataView, at: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const bytes = Array.from({ length: 8 }, (_, i) => hex(view.getUint8(at + 8 + i), 2)).join("");
  return [
    hex(view.getUint32(at, true), 8),
    hex(view.getUint16(at + 4, true), 4),
    hex(view.getUint16(at + 6, true), 4),
    bytes.slice(0, 4),
    bytes.slice(4),
  ].join("-");
}

/**
 * The map of the image in `file`.
 *
 * @throws DiskError
 */
export function readVhdx(file: ImageFile): BlockMap {
  const refuse = (problem: string): never => {
    throw new DiskError(file.path, "format", problem);
  };
  if (textAt(readPart(file, 0, 8), 0, 8) !== "vhdxfile") return refuse("it is no VHDX image");
  const valid = (positions: number[], bytes: number, signature: string) =>
    positions.map((position) => readPart(file, position, bytes)).filter((view) =>
      textAt(view, 0, 4) === signature && view.getUint32(4, true) === checksum(view)
    );
  const headers = valid(HEADERS, HEADER_BYTES, "head");
  headers.sort((a, b) => Number(b.getBigUint64(8, true) - a.getBigUint64(8, true)));
  const [header] = headers;
  if (header === undefined) return refuse("neither of its headers is valid");
  if (guidAt(header, 48) !== NO_GUID) {
    return refuse(
      "it was not closed, and its log has to be carried out first: qemu-img check -r all",
    );
  }
  const [regions] = valid(REGION_TABLES, REGION_TABLE_BYTES, "regi");
  if (regions === undefined) return refuse("neither of its region tables is valid");
  const places = new Map<string, { position: number; length: number }>();
  for (let i = 0; i < Math.min(regions.getUint32(8, true), 2047); i++) {
    const at = 16 + i * 32;
    const id = guidAt(regions, at);
    const position = Number(regions.getBigUint64(at + 16, true));
    const length = regions.getUint32(at + 24, true);
    if (id !== BAT && id !== METADATA) {
      if (regions.getUint32(at + 28, true) & 1) return refuse(`it needs the unknown region ${id}`);
      continue;
    }
    if (!(position >= MIB && position % MIB === 0 && position + length <= file.size)) {
      return refuse("one of its regions is beyond the end of the file");
    }
    places.set(id, { position, length });
  }
  const bat = places.get(BAT);
  const metadata = places.get(METADATA);
  if (bat === undefined || metadata === undefined) return refuse("it lacks a region");
  return dynamicVhdx(file, bat, metadata.position, refuse);
}

function dynamicVhdx(
  file: ImageFile,
  bat: { position: number; length: number },
  metadata: number,
  refuse: (problem: string) => never,
): BlockMap {
  const table = readPart(file, metadata, METADATA_TABLE_BYTES);
  if (textAt(table, 0, 8) !== "metadata") return refuse("its metadata are not valid");
  const items = new Map<string, DataView>();
  for (let i = 0; i < Math.min(table.getUint16(10, true), 2047); i++) {
    const at = 32 + i * 32;
    const position = metadata + table.getUint32(at + 16, true);
    items.set(guidAt(table, at), readPart(file, position, 8));
  }
  const parameters = items.get(FILE_PARAMETERS);
  const size = items.get(DISK_SIZE);
  const sector = items.get(LOGICAL_SECTOR);
  if (parameters === undefined || size === undefined || sector === undefined) {
    return refuse("its metadata are not complete");
  }
  if (parameters.getUint32(4, true) & HAS_PARENT) {
    return refuse("it is a difference to another VHDX image, which is not supported");
  }
  const blockBytes = parameters.getUint32(0, true);
  if (!Number.isInteger(Math.log2(blockBytes)) || blockBytes < MIB || blockBytes > 256 * MIB) {
    return refuse(`it has blocks of ${blockBytes} bytes`);
  }
  const sectorBytes = sector.getUint32(0, true);
  if (sectorBytes !== 512 && sectorBytes !== 4096) {
    return refuse(`it has sectors of ${sectorBytes} bytes`);
  }
  const sizeBytes = Number(size.getBigUint64(0, true));
  if (!(sizeBytes <= MAX_BYTES)) return refuse(`it says that it has ${sizeBytes} bytes`);
  // After each of so many blocks the table has an entry for a bitmap of sectors (2.5).
  const chunk = 2 ** 23 * sectorBytes / blockBytes;
  const blocks = Math.ceil(sizeBytes / blockBytes);
  if ((blocks + Math.floor((blocks - 1) / chunk)) * 8 > bat.length) {
    return refuse(`its table of blocks cannot map ${sizeBytes} bytes`);
  }
  const entries = new FileTable(file);
  const fileBytes = file.size;
  return {
    sizeBytes,
    find(offset: number, most: number): Place {
      const block = Math.floor(offset / blockBytes);
      const inBlock = offset % blockBytes;
      const length = Math.min(most, blockBytes - inBlock);
      const { view, at } = entries.at(bat.position + (block + Math.floor(block / chunk)) * 8);
      const low = view.getUint32(at, true);
      const state = low & 7;
      if (state === PARTIALLY_PRESENT) {
        throw new DiskError(file.path, "corrupt", `block ${block} is in part in another image`);
      }
      if (state !== FULLY_PRESENT) return { length };
      const start = (view.getUint32(at + 4, true) * 2 ** 12 + (low >>> 20)) * MIB;
      if (start + inBlock + length > fileBytes) {
        throw new DiskError(file.path, "corrupt", `block ${block} is beyond the end of the file`);
      }
      return { length, position: start + inBlock };
    },
  };
}
