/**
 * VHD images of Virtual PC and Hyper-V (QEMU: vpc), fixed and dynamic, to be read. Reference: Microsoft,
 * Virtual Hard Disk Image Format Specification (2006). Differencing images are refused.
 */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import { type BlockMap, FileTable, type Place, readPart, textAt } from "./mapped_image.ts";

const SECTOR = 512;
const FIXED = 2;
const DYNAMIC = 3;
const DIFFERENCING = 4;
const UNUSED = 0xffff_ffff;
/** Cylinders, heads and sectors of a disk that has more than they can tell. */
const MOST_SECTORS = 65535 * 16 * 255;
/** Who writes the size that is meant into "current size"; for others the geometry is it. */
const SIZE_WRITERS = ["win ", "qem2", "d2v ", "tap\0", "CTXS"];

/** The sum of all bytes but the checksum, each bit inverted. */
function checksum(view: DataView, at: number): number {
  let sum = 0;
  for (let i = 0; i < view.byteLength; i++) {
    if (i < at || i >= at + 4) sum += view.getUint8(i);
  }
  return ~sum >>> 0;
}

/** The footer, at the end; dynamic images have a copy at the beginning. */
function findFooter(file: ImageFile): DataView | undefined {
  const size = file.size;
  if (size < 2 * SECTOR) return undefined;
  return [size - SECTOR, 0].map((at) => readPart(file, at, SECTOR)).find((view) =>
    textAt(view, 0, 8) === "conectix" && checksum(view, 64) === view.getUint32(64)
  );
}

/** Is it a VHD image, whatever it begins with? */
export function isVhd(file: ImageFile): boolean {
  return findFooter(file) !== undefined;
}

/**
 * The map of the image in `file`.
 *
 * @throws DiskError
 */
export function readVhd(file: ImageFile): BlockMap {
  const refuse = (problem: string): never => {
    throw new DiskError(file.path, "format", problem);
  };
  const size = file.size;
  if (size < 2 * SECTOR) return refuse("it is too short for a VHD image");
  const footer = findFooter(file);
  if (footer === undefined) return refuse("it has no valid footer of a VHD image");
  const sizeBytes = diskBytes(footer);
  if (!Number.isSafeInteger(sizeBytes)) return refuse(`it says that it has ${sizeBytes} bytes`);
  const type = footer.getUint32(60);
  if (type === FIXED) {
    if (sizeBytes > size - SECTOR) return refuse("it is cut off");
    return { sizeBytes, find: (offset, most) => ({ length: most, position: offset }) };
  }
  if (type === DIFFERENCING) {
    return refuse("it is a difference to another VHD image, which is not supported");
  }
  if (type !== DYNAMIC) return refuse(`it is a VHD image of type ${type}; 2 and 3 are supported`);
  const header = readPart(file, Number(footer.getBigUint64(16)), 1024);
  if (textAt(header, 0, 8) !== "cxsparse" || checksum(header, 36) !== header.getUint32(36)) {
    return refuse("it has no valid header of a dynamic VHD image");
  }
  const blockBytes = header.getUint32(32);
  if (blockBytes < 4096 || blockBytes > 1 << 28 || (blockBytes & (blockBytes - 1)) !== 0) {
    return refuse(`it has blocks of ${blockBytes} bytes`);
  }
  const entries = header.getUint32(28);
  if (entries < Math.ceil(sizeBytes / blockBytes)) {
    return refuse(`its table of ${entries} blocks cannot map ${sizeBytes} bytes`);
  }
  const tablePosition = Number(header.getBigUint64(16));
  if (!(tablePosition % SECTOR === 0 && tablePosition + entries * 4 <= size)) {
    return refuse("its table of blocks is beyond the end of the file");
  }
  return new DynamicVhd(file, { sizeBytes, blockBytes, tablePosition });
}

function diskBytes(footer: DataView): number {
  const sectors = footer.getUint16(56) * footer.getUint8(58) * footer.getUint8(59);
  const bySize = SIZE_WRITERS.includes(textAt(footer, 28, 4)) || sectors >= MOST_SECTORS;
  return bySize ? Number(footer.getBigUint64(48)) : sectors * SECTOR;
}

class DynamicVhd implements BlockMap {
  readonly sizeBytes: number;
  readonly #path: string;
  readonly #fileBytes: number;
  readonly #blockBytes: number;
  readonly #tablePosition: number;
  /** A bit for each sector, in whole sectors, is before the data of a block. */
  readonly #bitmapBytes: number;
  readonly #table: FileTable;

  constructor(
    file: ImageFile,
    numbers: { sizeBytes: number; blockBytes: number; tablePosition: number },
  ) {
    this.sizeBytes = numbers.sizeBytes;
    this.#path = file.path;
    this.#fileBytes = file.size;
    this.#blockBytes = numbers.blockBytes;
    this.#tablePosition = numbers.tablePosition;
    this.#bitmapBytes = Math.ceil(numbers.blockBytes / SECTOR / 8 / SECTOR) * SECTOR;
    this.#table = new FileTable(file);
  }

  find(offset: number, most: number): Place {
    const block = Math.floor(offset / this.#blockBytes);
    const inBlock = offset % this.#blockBytes;
    const length = Math.min(most, this.#blockBytes - inBlock);
    const { view, at } = this.#table.at(this.#tablePosition + block * 4);
    const sector = view.getUint32(at);
    if (sector === UNUSED) return { length };
    const start = sector * SECTOR + this.#bitmapBytes;
    if (start + inBlock + length > this.#fileBytes) {
      throw new DiskError(this.#path, "corrupt", `a block is at sector ${sector}, beyond the end`);
    }
    return { length, position: start + inBlock };
  }
}
