/**
 * VMDK images in one file (monolithicSparse, streamOptimized), to be read. Reference: VMware, Virtual
 * Disk Format 5.0. Images in several files and differences to a parent are refused.
 */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import { type BlockMap, FileTable, type Place, readPart, textAt } from "./mapped_image.ts";

const SECTOR = 512;
const HEADER_BYTES = 512;
/** Flags of the header. */
const COMPRESSED = 1 << 16;
const ZEROED_GRAINS = 1 << 2;
/** An entry of a table that means zeros, with that flag. */
const ZERO_GRAIN = 1;
const DEFLATE = 1;
/** Position of the directory, in sectors, that says: the header at the end has it. */
const AT_END = 0xffff_ffff_ffff_ffffn;
const MAX_DESCRIPTOR_BYTES = 1 << 20;
const MAX_GRAIN_BYTES = 16 << 20;

/**
 * The map of the image in `file`.
 *
 * @throws DiskError
 */
export function readVmdk(file: ImageFile): BlockMap {
  const refuse = (problem: string): never => {
    throw new DiskError(file.path, "format", problem);
  };
  if (textAt(readPart(file, 0, 4), 0, 4) !== "KDMV") {
    return refuse("it is a VMDK image in several files; convert it with qemu-img convert -O qcow2");
  }
  let header = readPart(file, 0, HEADER_BYTES);
  // In a stream the directory is known at the end: marker, header, end-of-stream marker.
  if (header.getBigUint64(56, true) === AT_END) {
    header = readPart(file, file.size - 2 * SECTOR, HEADER_BYTES);
    if (textAt(header, 0, 4) !== "KDMV") {
      return refuse("it is cut off: its header at the end is missing");
    }
  }
  const number = (at: number) => Number(header.getBigUint64(at, true));
  const version = header.getUint32(4, true);
  if (version < 1 || version > 3) return refuse(`it is a VMDK image of version ${version}`);
  const flags = header.getUint32(8, true);
  const isCompressed = (flags & COMPRESSED) !== 0;
  const algorithm = header.getUint16(77, true);
  if (isCompressed && algorithm !== DEFLATE) {
    return refuse(`it is compressed by method ${algorithm}; deflate is known`);
  }
  const sizeBytes = number(12) * SECTOR;
  const grainBytes = number(20) * SECTOR;
  const inTable = header.getUint32(44, true);
  if (!(sizeBytes <= 2 ** 52)) return refuse(`it says that it has ${number(12)} sectors`);
  if (!(grainBytes >= 512 && grainBytes <= MAX_GRAIN_BYTES) || !isPower(grainBytes)) {
    return refuse(`it has grains of ${number(20)} sectors`);
  }
  if (inTable < 1 || inTable > 512 || !isPower(inTable)) {
    return refuse(`it has ${inTable} entries in a table`);
  }
  const directory = number(56) * SECTOR;
  const tables = Math.ceil(sizeBytes / grainBytes / inTable);
  if (!(directory > 0 && directory + tables * 4 <= file.size)) {
    return refuse("its directory is beyond the end of the file");
  }
  checkDescriptor(file, number(28) * SECTOR, number(36) * SECTOR, refuse);
  const hasZeroGrains = (flags & ZEROED_GRAINS) !== 0;
  return new SparseVmdk(file, {
    ...{ sizeBytes, grainBytes, inTable, directory, isCompressed, hasZeroGrains },
  });
}

const isPower = (value: number) => Number.isInteger(Math.log2(value));

/** The text in the file that says what it belongs to. */
function checkDescriptor(
  file: ImageFile,
  position: number,
  length: number,
  refuse: (problem: string) => never,
): void {
  if (position === 0) return;
  if (!(length <= MAX_DESCRIPTOR_BYTES && position + length <= file.size)) {
    refuse("its descriptor is beyond the end of the file");
  }
  const text = new TextDecoder().decode(readPart(file, position, length));
  const parent = /^parentCID\s*=\s*([0-9a-f]+)/im.exec(text)?.[1];
  if (parent !== undefined && parent.toLowerCase() !== "ffffffff") {
    refuse("it is a difference to another VMDK image, which is not supported");
  }
}

interface Numbers {
  readonly sizeBytes: number;
  readonly grainBytes: number;
  /** Grains of a table. */
  readonly inTable: number;
  readonly directory: number;
  readonly isCompressed: boolean;
  readonly hasZeroGrains: boolean;
}

class SparseVmdk implements BlockMap {
  readonly sizeBytes: number;
  readonly #file: ImageFile;
  readonly #fileBytes: number;
  readonly #numbers: Numbers;
  readonly #table: FileTable;
  #unpacked: { sector: number; bytes: Uint8Array } | undefined;

  constructor(file: ImageFile, numbers: Numbers) {
    this.sizeBytes = numbers.sizeBytes;
    this.#file = file;
    this.#fileBytes = file.size;
    this.#numbers = numbers;
    this.#table = new FileTable(file);
  }

  find(offset: number, most: number): Place {
    const { grainBytes, inTable, directory, isCompressed, hasZeroGrains } = this.#numbers;
    const grain = Math.floor(offset / grainBytes);
    const inGrain = offset % grainBytes;
    const length = Math.min(most, grainBytes - inGrain);
    const table = this.#entry(directory + Math.floor(grain / inTable) * 4);
    if (table === 0) return { length };
    if (table * SECTOR + inTable * 4 > this.#fileBytes) throw this.#corrupt(table);
    const sector = this.#entry(table * SECTOR + grain % inTable * 4);
    if (sector === 0 || (hasZeroGrains && sector === ZERO_GRAIN)) return { length };
    if (!isCompressed) {
      const position = sector * SECTOR + inGrain;
      if (position >= this.#fileBytes) throw this.#corrupt(sector);
      return { length, position };
    }
    if (this.#unpacked?.sector !== sector) {
      this.#unpacked = { sector, bytes: this.#unpack(sector) };
    }
    return { length, bytes: this.#unpacked.bytes.subarray(inGrain, inGrain + length) };
  }

  #entry(position: number): number {
    const { view, at } = this.#table.at(position);
    return view.getUint32(at, true);
  }

  /** A grain in a stream: u64 its first sector, u32 bytes of zlib (RFC 1950), these. */
  #unpack(sector: number): Uint8Array {
    const { grainBytes } = this.#numbers;
    const start = sector * SECTOR;
    if (start + 12 > this.#fileBytes) throw this.#corrupt(sector);
    const packedBytes = readPart(this.#file, start, 12).getUint32(8, true);
    // Deflate makes nothing longer by more than a few bytes in each 16 KiB.
    if (packedBytes > grainBytes * 2 + SECTOR || start + 12 + packedBytes > this.#fileBytes) {
      throw this.#corrupt(sector);
    }
    const packed = new Uint8Array(packedBytes);
    this.#file.read(packed, start + 12);
    try {
      const { inflateSync } = globalThis.process.getBuiltinModule("node:zlib");
      const bytes = inflateSync(packed, { maxOutputLength: grainBytes });
      // The last grain of a disk may be shorter.
      const whole = new Uint8Array(grainBytes);
      whole.set(bytes);
      return whole;
    } catch (cause) {
      const problem = `the compressed grain at sector ${sector} cannot be unpacked`;
      throw new DiskError(this.#file.path, "corrupt", problem, { cause });
    }
  }

  #corrupt(sector: number): DiskError {
    const problem = `a grain is at sector ${sector}, beyond the end of the file`;
    return new DiskError(this.#file.path, "corrupt", problem);
  }
}
