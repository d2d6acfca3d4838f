/**
 * The guest-physical view of memory, as a function: from what the machine has (RAM, ROMs, windows of
 * the display) and what the chip set's PAM and SMRAM registers say, to the memory slots that the
 * accelerator maps.
 *
 * Every slot has a fixed number, and a register write changes a few of them: so whichever thread
 * services that write exchanges just those, and nobody keeps books.
 *
 * Each of the 13 segments from C0000h to FFFFFh reads ROM or RAM and writes ROM or RAM:
 *
 * | reads | writes | slot                        |
 * | ----- | ------ | --------------------------- |
 * | ROM   | ROM    | ROM, read-only              |
 * | ROM   | RAM    | ROM, read-only (see below)  |
 * | RAM   | ROM    | RAM, read-only              |
 * | RAM   | RAM    | RAM                         |
 *
 * Writes to a read-only slot, and any access while a slot is being exchanged, come out as MMIO exits,
 * which `MemoryFallback` (memory_fallback.ts) carries out or drops as the registers say.
 *
 * Reference: 82441FX (290549-001), PAM[6:0], SMRAM and chapter 4 "Address map".
 */

import { HIGH_RAM_BASE } from "./guest_memory.ts";

/** First and last plus one of the area that PAM governs. */
export const SHADOW_BASE = 0xc_0000;
/** See `SHADOW_BASE`. */
export const SHADOW_END = 0x10_0000;
/** Where RAM goes on above the legacy area. */
const ONE_MIB = 0x10_0000;
const LEGACY_BASE = 0xa_0000;
const LEGACY_BYTES = 0x2_0000;
/** The low alias of the system ROM: its last 128 KiB. */
const ROM_ALIAS_BYTES = 0x2_0000;
const PAGE = 4096;

/** Numbers of the memory slots. */
export const Slot = {
  /** 0-9FFFFh. */
  ramBase: 0,
  /** 1 to 13: the segments of `SEGMENTS`, in order. */
  shadow: 1,
  /** 1 MiB to the end of low RAM. */
  ramLow: 14,
  /** From 4 GiB. */
  ramHigh: 15,
  /** The system ROM, below 4 GiB. */
  rom: 16,
  /** RAM at A0000h-BFFFFh while SMRAM is open. */
  smram: 17,
  /** The display's window at A0000h, while it is linear. */
  displayWindow: 18,
  /** The display's linear frame buffer. */
  displayLinear: 19,
  /** From here on slots are free for devices (memory BARs). */
  firstFree: 20,
} as const;

/** A piece of the area that PAM governs. */
export interface Segment {
  readonly base: number;
  readonly length: number;
  /** PAM register (0 to 6) and how far its bits RE and WE are shifted. */
  readonly register: number;
  readonly shift: 0 | 4;
}

/** The 13 segments in order of address: 12 of 16 KiB, and F0000h with 64 KiB. */
export const SEGMENTS: readonly Segment[] = [
  ...Array.from({ length: 12 }, (_, i): Segment => ({
    base: SHADOW_BASE + i * 0x4000,
    length: 0x4000,
    register: 1 + (i >> 1),
    shift: (i & 1) === 0 ? 0 : 4,
  })),
  { base: 0xf_0000, length: 0x1_0000, register: 0, shift: 4 },
];

const RE = 1;
const WE = 2;
/** SMRAM register: A0000h-BFFFFh shows RAM to all code. */
export const SMRAM_DOPEN = 0x40;
/** SMRAM register: enables it. */
export const SMRAM_SMRAME = 0x08;

/** The chip set's registers that matter here (devices/pci/i440fx.ts). */
export interface ShadowRegisters {
  /** PAM0 to PAM6. */
  readonly pam: Uint8Array;
  readonly smram: number;
}

/** Memory of a device shown to the guest. */
export interface Rom {
  /** Offset in the machine's memory, bytes, page-aligned. */
  readonly memoryOffset: number;
  /** Bytes, a multiple of 4096. */
  readonly length: number;
}

/** Such memory with its place. */
export interface PlacedMemory extends Rom {
  /** Guest-physical address in bytes, page-aligned. */
  readonly guestAddress: number;
}

/** A piece of the guest-physical address space backed by the machine's memory. */
export interface MemorySlot {
  /** Number of the slot, one of `Slot`: mapping it again replaces it. */
  readonly slot: number;
  /** Guest-physical address in bytes, page-aligned. */
  readonly guestAddress: number;
  /** Bytes, a multiple of 4096; 0 where there is nothing to map, or no longer. */
  readonly length: number;
  /** Offset in the machine's memory (guest_memory.ts), bytes, page-aligned. */
  readonly memoryOffset: number;
  /** Writes exit as MMIO instead of changing the memory. */
  readonly readOnly?: boolean;
  /** Keep a log of the pages written (see `AcceleratedVm.takeDirtyPages`). */
  readonly logDirty?: boolean;
}

/** What the machine has. */
export interface MemoryLayout {
  /** RAM from address 0, in bytes: at least 1 MiB. */
  readonly lowBytes: number;
  /** RAM from 4 GiB, in bytes. */
  readonly highBytes: number;
  /** The system ROM: 64 KiB to 4 MiB, ends at 4 GiB. */
  readonly rom?: Rom;
  /** Expansion ROMs without a PCI function, at multiples of 16 KiB from C0000h on. */
  readonly optionRoms?: readonly PlacedMemory[];
  /** The display's memory at A0000h-BFFFFh, as long as it is linear and reads and writes plainly. */
  readonly displayWindow?: PlacedMemory;
  /** The display's linear frame buffer, where its BAR puts it. */
  readonly displayLinear?: PlacedMemory;
}

/** What a segment's PAM bits say. */
export function shadowOf({ register, shift }: Segment, { pam }: ShadowRegisters) {
  const bits = pam[register] >> shift;
  return { readsRam: (bits & RE) !== 0, writesRam: (bits & WE) !== 0 };
}

/** Is RAM visible at A0000h-BFFFFh? */
const smramOpen = ({ smram }: ShadowRegisters): boolean =>
  (smram & (SMRAM_DOPEN | SMRAM_SMRAME)) === (SMRAM_DOPEN | SMRAM_SMRAME);

/** The ROM behind a segment (the system ROM's alias, else an option ROM), or undefined. */
export function romOf({ base, length }: Segment, layout: MemoryLayout): Rom | undefined {
  const { rom, optionRoms = [] } = layout;
  if (rom !== undefined) {
    const alias = Math.min(rom.length, ROM_ALIAS_BYTES);
    const into = base - (SHADOW_END - alias);
    if (into >= 0) return { memoryOffset: rom.memoryOffset + rom.length - alias + into, length };
  }
  for (const option of optionRoms) {
    const into = base - option.guestAddress;
    if (into < 0 || into >= option.length) continue;
    return {
      memoryOffset: option.memoryOffset + into,
      length: Math.min(length, option.length - into),
    };
  }
  return undefined;
}

const absent = (slot: number, guestAddress: number): MemorySlot => ({
  slot,
  guestAddress,
  length: 0,
  memoryOffset: 0,
});

/** A segment's slot; its length is 0 where the guest finds nothing and reads ones. */
function segmentSlot(index: number, layout: MemoryLayout, registers: ShadowRegisters): MemorySlot {
  const segment = SEGMENTS[index];
  const { base: guestAddress, length } = segment;
  const slot = Slot.shadow + index;
  const { readsRam, writesRam } = shadowOf(segment, registers);
  if (readsRam) {
    return { slot, guestAddress, length, memoryOffset: guestAddress, readOnly: !writesRam };
  }
  const rom = romOf(segment, layout);
  if (rom === undefined) return absent(slot, guestAddress);
  return { slot, guestAddress, ...rom, readOnly: true };
}

function placed(slot: number, what: PlacedMemory | undefined, hidden: boolean): MemorySlot {
  if (what === undefined || hidden) return absent(slot, what?.guestAddress ?? LEGACY_BASE);
  const { guestAddress, length, memoryOffset } = what;
  return { slot, guestAddress, length, memoryOffset };
}

/** Every slot up to `Slot.firstFree`, in order; those with length 0 are not there. */
export function memorySlots(layout: MemoryLayout, registers: ShadowRegisters): MemorySlot[] {
  const { lowBytes, highBytes, rom } = layout;
  const open = smramOpen(registers);
  return [
    { slot: Slot.ramBase, guestAddress: 0, length: LEGACY_BASE, memoryOffset: 0 },
    ...SEGMENTS.map((_, index) => segmentSlot(index, layout, registers)),
    {
      slot: Slot.ramLow,
      guestAddress: ONE_MIB,
      length: lowBytes - ONE_MIB,
      memoryOffset: ONE_MIB,
    },
    {
      slot: Slot.ramHigh,
      guestAddress: HIGH_RAM_BASE,
      length: highBytes,
      memoryOffset: lowBytes,
    },
    rom === undefined
      ? absent(Slot.rom, HIGH_RAM_BASE - PAGE)
      : { slot: Slot.rom, guestAddress: HIGH_RAM_BASE - rom.length, ...rom, readOnly: true },
    open
      ? {
        slot: Slot.smram,
        guestAddress: LEGACY_BASE,
        length: LEGACY_BYTES,
        memoryOffset: LEGACY_BASE,
      }
      : absent(Slot.smram, LEGACY_BASE),
    placed(Slot.displayWindow, layout.displayWindow, open),
    placed(Slot.displayLinear, layout.displayLinear, false),
  ];
}

const same = (a: MemorySlot, b: MemorySlot): boolean =>
  a.length === b.length && (a.length === 0 ||
    a.guestAddress === b.guestAddress && a.memoryOffset === b.memoryOffset &&
      (a.readOnly ?? false) === (b.readOnly ?? false));

/**
 * The slots that differ between two states of the machine, to be mapped in this order: what goes
 * away comes first, so that no two slots ever overlap.
 */
export function changedSlots(
  before: readonly MemorySlot[],
  after: readonly MemorySlot[],
): MemorySlot[] {
  return after.filter((slot, i) => !same(slot, before[i]))
    .sort((a, b) => Number(a.length !== 0) - Number(b.length !== 0));
}
