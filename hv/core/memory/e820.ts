/**
 * The map of physical memory that firmware and boot loaders hand to an operating system, in the form
 * of INT 15h, AX=E820h.
 *
 * Reference: ACPI 6.4, 15.1.
 */

import type { AddressRange } from "./address_range.ts";
import { HIGH_RAM_BASE } from "./guest_memory.ts";

/** Kinds of ranges, as numbered by the interface. */
export const E820Type = { ram: 1, reserved: 2, acpi: 3, nvs: 4, bad: 5 } as const;
/** One of `E820Type`. */
export type E820Type = typeof E820Type[keyof typeof E820Type];

/** A range of guest-physical memory. */
export interface MemoryRange extends AddressRange {
  readonly type: E820Type;
}

/** What the map is made from. */
export interface E820Options {
  /** RAM from address 0 and from 4 GiB, in bytes. */
  readonly lowBytes: number;
  readonly highBytes: number;
  /** Start of what the firmware keeps at the end of conventional memory; default 9FC00h. */
  readonly ebdaBase?: number;
  /** Bytes at the top of low RAM that hold ACPI tables; default none. */
  readonly acpiBytes?: number;
  /** Bytes of system ROM below 4 GiB; default 256 KiB. */
  readonly romBytes?: number;
}

const CONVENTIONAL_END = 0xa_0000;
const BIOS_BASE = 0xf_0000;
const ONE_MIB = 0x10_0000;
/** Three pages of task state and one of page tables that KVM may use on Intel processors. */
const KVM_PAGES_BASE = 0xfffb_c000;
const KVM_PAGES_BYTES = 0x4000;

/** RAM alone, as fw_cfg's etc/e820 gives it to SeaBIOS and OVMF, which know the rest. */
export function ramRanges({ lowBytes, highBytes }: E820Options): MemoryRange[] {
  return [
    { base: 0, length: lowBytes, type: E820Type.ram },
    { base: KVM_PAGES_BASE, length: KVM_PAGES_BYTES, type: E820Type.reserved },
    { base: HIGH_RAM_BASE, length: highBytes, type: E820Type.ram },
  ].filter(({ length }) => length > 0);
}

/** The whole map, in order of address and without overlaps, as an operating system gets it. */
export function e820(options: E820Options): MemoryRange[] {
  const { lowBytes, highBytes, ebdaBase = 0x9_fc00, acpiBytes = 0, romBytes = 0x4_0000 } = options;
  const romBase = HIGH_RAM_BASE - romBytes;
  const kvmEnd = KVM_PAGES_BASE + KVM_PAGES_BYTES;
  const topReserved = Math.min(romBase, KVM_PAGES_BASE);
  const range = (base: number, end: number, type: E820Type) => ({ base, length: end - base, type });
  return [
    range(0, ebdaBase, E820Type.ram),
    range(ebdaBase, CONVENTIONAL_END, E820Type.reserved),
    range(BIOS_BASE, ONE_MIB, E820Type.reserved),
    range(ONE_MIB, lowBytes - acpiBytes, E820Type.ram),
    range(lowBytes - acpiBytes, lowBytes, E820Type.acpi),
    // The ROM and KVM's pages touch, or the ROM covers them: one range.
    ...(romBase <= kvmEnd ? [range(topReserved, HIGH_RAM_BASE, E820Type.reserved)] : [
      range(KVM_PAGES_BASE, kvmEnd, E820Type.reserved),
      range(romBase, HIGH_RAM_BASE, E820Type.reserved),
    ]),
    range(HIGH_RAM_BASE, HIGH_RAM_BASE + highBytes, E820Type.ram),
  ].filter(({ length }) => length > 0);
}

/** The map as bytes: for each range base (8), length (8) and type (4), little-endian. */
export function e820Bytes(ranges: readonly MemoryRange[]): Uint8Array {
  const bytes = new Uint8Array(ranges.length * 20);
  const data = new DataView(bytes.buffer);
  for (const [i, { base, length, type }] of ranges.entries()) {
    data.setBigUint64(i * 20, BigInt(base), true);
    data.setBigUint64(i * 20 + 8, BigInt(length), true);
    data.setUint32(i * 20 + 16, type, true);
  }
  return bytes;
}
