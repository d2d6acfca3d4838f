/**
 * ELF executables, 32- and 64-bit, little-endian x86: segments to load, entry, notes.
 *
 * Reference: System V ABI, chapters 4 and 5 (ELF header, program header, note section).
 */

import { addressText } from "../core/hex.ts";
import { alignUp } from "../core/align.ts";
import { ImageReader } from "./image_reader.ts";
import type { Placement } from "./placement.ts";

const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const EM_386 = 3;
const EM_X86_64 = 62;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** A kernel has a handful; a file with more is not one. */
const MAX_PROGRAM_HEADERS = 256;
const MAX_NOTES = 1024;

/** A piece of the file to be loaded. */
export interface ElfLoad {
  readonly offset: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: number;
  readonly fileLength: number;
  readonly memoryLength: number;
}

/** A parsed executable: its program headers have been checked against the file. */
export interface Elf {
  readonly bits: 32 | 64;
  /** As in the header; see `physicalEntry`. */
  readonly entry: bigint;
  readonly loads: readonly ElfLoad[];
  readonly notes: readonly { offset: number; length: number }[];
}

/** Whether the bytes begin as an ELF file of any machine does. */
export const isElf = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c &&
  bytes[3] === 0x46;

/** What is wrong with the header of an ELF file for this machine, or undefined. */
export function elfComplaint(file: ImageReader): string | undefined {
  if (file.length < 52) return "the ELF header is cut off";
  const elfClass = file.u8(4);
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) return "an ELF file of unknown class";
  if (file.u8(5) !== ELFDATA2LSB) return "an ELF file for a big-endian machine, not for a PC";
  const machine = file.u16(18);
  if (machine !== EM_386 && machine !== EM_X86_64) {
    return `an ELF file for another machine (e_machine ${machine}), not for a PC`;
  }
  const type = file.u16(16);
  if (type !== ET_EXEC && type !== ET_DYN) {
    return `an ELF file that is no executable (e_type ${type}): it must be linked first`;
  }
  return undefined;
}

/** Reads the headers of an ELF executable. Throws `BootError`. */
export function parseElf(file: ImageReader): Elf {
  const complaint = elfComplaint(file);
  if (complaint !== undefined) throw file.error(`it is ${complaint}`);
  const wide = file.u8(4) === ELFCLASS64;
  const tableOffset = wide ? file.u64(32) : file.u32(28);
  const entryLength = file.u16(wide ? 54 : 42);
  const count = file.u16(wide ? 56 : 44);
  if (count > MAX_PROGRAM_HEADERS) {
    throw file.error(`the ELF header claims ${count} program headers`);
  }
  if (count > 0 && entryLength < (wide ? 56 : 32)) {
    throw file.error(`the ELF header claims program headers of ${entryLength} bytes`);
  }
  const loads: ElfLoad[] = [];
  const notes: Elf["notes"][number][] = [];
  for (let i = 0; i < count; i++) {
    const at = tableOffset + i * entryLength;
    const type = file.u32(at);
    if (type !== PT_LOAD && type !== PT_NOTE) continue;
    const field = (n: number) => wide ? file.u64(at + n * 8) : file.u32(at + n * 4);
    const load: ElfLoad = {
      offset: field(1),
      virtualAddress: wide ? file.u64Exact(at + 16) : BigInt(file.u32(at + 8)),
      physicalAddress: field(3),
      fileLength: field(4),
      memoryLength: field(5),
    };
    if (type === PT_NOTE) {
      if (file.has(load.offset, load.fileLength)) {
        notes.push({ offset: load.offset, length: load.fileLength });
      }
      continue;
    }
    if (load.memoryLength === 0) continue;
    if (load.fileLength > load.memoryLength) {
      throw file.error(`ELF segment ${i} is larger in the file than in memory`);
    }
    if (load.fileLength > 0) file.slice(load.offset, load.fileLength, `ELF segment ${i}`);
    loads.push(load);
  }
  if (loads.length === 0) throw file.error("the ELF file has no segment to load");
  return {
    bits: wide ? 64 : 32,
    entry: wide ? file.u64Exact(24) : BigInt(file.u32(24)),
    loads,
    notes,
  };
}

/** Places every segment at its physical address. */
export function placeElf(file: ImageReader, elf: Elf, placement: Placement): void {
  for (const load of elf.loads) {
    // A segment of zeros alone may name any offset.
    const bytes = load.fileLength === 0
      ? new Uint8Array(0)
      : file.slice(load.offset, load.fileLength, "an ELF segment");
    placement.at(load.physicalAddress, bytes, "a kernel segment", load.memoryLength);
  }
}

/** End of the highest segment, a physical address. */
export const elfEnd = (elf: Elf): number =>
  elf.loads.reduce((end, l) => Math.max(end, l.physicalAddress + l.memoryLength), 0);

/** `address` as a physical one: some kernels give their entry as the linked, virtual address. */
export function physicalEntry(file: ImageReader, elf: Elf, address = elf.entry): number {
  for (const load of elf.loads) {
    const offset = Number(address) - load.physicalAddress;
    if (offset >= 0 && offset < load.memoryLength) return load.physicalAddress + offset;
  }
  for (const load of elf.loads) {
    const offset = Number(address - load.virtualAddress);
    if (offset >= 0 && offset < load.memoryLength) return load.physicalAddress + offset;
  }
  throw file.error(`its entry point ${addressText(address)} lies in none of its segments`);
}

/** The descriptor of the first note of `owner` and `type`, or undefined. */
export function findNote(
  file: ImageReader,
  elf: Elf,
  owner: string,
  type: number,
): Uint8Array | undefined {
  for (const area of elf.notes) {
    const end = area.offset + area.length;
    let at = area.offset;
    for (let i = 0; i < MAX_NOTES && at + 12 <= end; i++) {
      const nameLength = file.u32(at);
      const descriptorLength = file.u32(at + 4);
      const descriptor = at + 12 + alignUp(nameLength, 4);
      if (descriptor + descriptorLength > end) break;
      if (
        file.u32(at + 8) === type && nameLength === owner.length + 1 &&
        file.text(at + 12, owner.length) === owner
      ) return file.slice(descriptor, descriptorLength, "an ELF note");
      at = descriptor + alignUp(descriptorLength, 4);
    }
  }
  return undefined;
}
