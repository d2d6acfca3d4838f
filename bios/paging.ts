/**
 * Linear to physical addresses for a caller in V86 mode, under a memory manager such as EMM386: 32-bit
 * paging with 4 KiB and 4 MiB pages, and PAE paging. Access rights are not looked at: the memory
 * manager lets its V86 programs do what it maps for them.
 *
 * Reference: Intel SDM volume 3, chapter 4 "Paging".
 */

import type { GuestMemory } from "../hv/core/memory/guest_memory.ts";

const PRESENT = 0x01;
const PAGE_SIZE = 0x80;
const CR4_PSE = 0x10;
const CR4_PAE = 0x20;

/** The registers that paging hangs on. */
export interface PagingRegisters {
  readonly cr3?: number;
  readonly cr4?: number;
}

/** The physical address of a linear one (below 4 GiB), or -1 when it is not mapped. */
export function translate(memory: GuestMemory, registers: PagingRegisters, linear: number): number {
  const { cr3 = 0, cr4 = 0 } = registers;
  if (linear > 0xffff_ffff) return -1;
  if ((cr4 & CR4_PAE) !== 0) return translatePae(memory, cr3, linear);
  const directory = memory.readU32(base(cr3) + (linear >>> 22) * 4);
  if ((directory & PRESENT) === 0) return -1;
  if ((directory & PAGE_SIZE) !== 0 && (cr4 & CR4_PSE) !== 0) {
    return ((directory & 0xffc0_0000) >>> 0) + (linear & 0x3f_ffff);
  }
  const entry = memory.readU32(base(directory) + ((linear >>> 12) & 0x3ff) * 4);
  return (entry & PRESENT) === 0 ? -1 : base(entry) + (linear & 0xfff);
}

const base = (entry: number): number => (entry & 0xffff_f000) >>> 0;

/** Entries are 64 bits wide; of the address bits above 32, those that a double holds are used. */
function translatePae(memory: GuestMemory, cr3: number, linear: number): number {
  const read = (address: number) => {
    const low = memory.readU32(address);
    const high = memory.readU32(address + 4) & 0xf_ffff;
    return { low, address: base(low) + high * 2 ** 32 };
  };
  const pointer = read(((cr3 & 0xffff_ffe0) >>> 0) + (linear >>> 30) * 8);
  if ((pointer.low & PRESENT) === 0) return -1;
  const directory = read(pointer.address + ((linear >>> 21) & 0x1ff) * 8);
  if ((directory.low & PRESENT) === 0) return -1;
  if ((directory.low & PAGE_SIZE) !== 0) {
    return directory.address - directory.address % 0x20_0000 + (linear & 0x1f_ffff);
  }
  const entry = read(directory.address + ((linear >>> 12) & 0x1ff) * 8);
  return (entry.low & PRESENT) === 0 ? -1 : entry.address + (linear & 0xfff);
}
