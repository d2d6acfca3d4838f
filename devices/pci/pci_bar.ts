/**
 * Base address registers: where a function's register windows and memories lie in the port and
 * memory spaces, which the guest decides and sizes by writing ones.
 *
 * Reference: PCI Local Bus Specification 3.0, 6.2.5 (base addresses), 6.2.5.2 (expansion ROM).
 */

import type { AddressRange } from "../../hv/core/memory/address_range.ts";
import type { IoHandler } from "../../hv/core/bus/device.ts";
import type { AccessWidths } from "../../hv/core/bus/io_bus.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { PciHeader } from "./config_header.ts";
import type { ConfigRegister } from "./config_space.ts";

/** Number of the expansion ROM among a function's base address registers. */
export const ROM_BAR = 6;
const ROM_ENABLE = 1;

const IO_SPACE = 1;
const TYPE_64 = 4;
const PREFETCHABLE = 8;

/** A base address register. */
export interface Bar {
  /** What lies behind it, for errors and traces. */
  readonly name: string;
  /** 0 to 5, or `ROM_BAR`; a mem64 takes the following one too. */
  readonly index: number;
  readonly kind: "io" | "mem32" | "mem64" | "rom";
  /** Bytes, a power of two: io 4 to 256, memory at least 16, ROM at least 2048. */
  readonly size: number;
  readonly prefetchable?: boolean;
  /** Who answers there; left out where memory is mapped instead (see `onMoved`). */
  readonly device?: IoHandler;
  readonly widths?: AccessWidths;
  /** Held during each access. */
  readonly lock?: Lock;
  /** Told where it is from now on, or undefined when it is switched off: to map memory there. */
  readonly onMoved?: (range: AddressRange | undefined) => void;
}

/** Is it decoded by the memory space (command bit 1) rather than by the I/O space (bit 0)? */
export const isMemory = (bar: Bar): boolean => bar.kind !== "io";

/** Offset of the register in configuration space. */
export const barOffset = ({ index }: Bar): number =>
  index === ROM_BAR ? PciHeader.ROMBAR : PciHeader.BAR0 + index * 4;

/** @throws {Error} When index and size do not fit the kind: a mistake of the device. */
function check({ name, kind, index, size }: Bar): void {
  const least = { io: 4, mem32: 16, mem64: 16, rom: 2048 }[kind];
  const most = { io: 256, mem32: 2 ** 31, mem64: 2 ** 40, rom: 2 ** 24 }[kind];
  const last = kind === "mem64" ? 4 : 5;
  if (kind === "rom" ? index !== ROM_BAR : index < 0 || index > last) {
    throw new Error(`Cannot make ${name} a ${kind} BAR with number ${index}`);
  }
  if (size < least || size > most || !Number.isInteger(Math.log2(size))) {
    throw new Error(
      `Cannot make ${name} a ${kind} BAR of ${size} bytes: a power of two, ${least} to ${most}`,
    );
  }
}

/** The registers in configuration space that a BAR consists of: one, or two for mem64. */
export function barRegisters(bar: Bar): ConfigRegister[] {
  check(bar);
  const { name, kind, index, size, prefetchable } = bar;
  const offset = barOffset(bar);
  // The bits below the size read as zero (or as the flags): that is how the guest finds it out.
  const low = size >= 2 ** 32 ? 0 : (-size) >>> 0;
  if (kind === "rom") {
    return [{ name: `ROMBAR ${name}`, offset, bytes: 4, writable: (low | ROM_ENABLE) >>> 0 }];
  }
  const flags = kind === "io"
    ? IO_SPACE
    : (kind === "mem64" ? TYPE_64 : 0) | (prefetchable ? PREFETCHABLE : 0);
  const registers = [
    { name: `BAR${index} ${name}`, offset, bytes: 4, reset: flags, writable: low },
  ];
  if (kind === "mem64") {
    const high = (-Math.max(1, size / 2 ** 32)) >>> 0;
    registers.push({
      name: `BAR${index + 1} ${name} (high)`,
      offset: offset + 4,
      bytes: 4,
      reset: 0,
      writable: high,
    });
  }
  return registers;
}

/** Architectural limit of physical addresses: what lies beyond cannot be reached. */
const ADDRESS_LIMIT = 2 ** 52;

/**
 * Where the BAR lies according to its register's value.
 *
 * @param low The register; for mem64 its low half.
 * @param high For mem64 the high half, otherwise ignored.
 * @returns undefined at address 0, which means unassigned, and where the range reaches the end of
 *   its space or beyond: there a BAR is while its size is being asked with decoding on.
 */
export function barRange(bar: Bar, low: number, high: number): AddressRange | undefined {
  const { kind, size: length } = bar;
  if (kind === "rom" && (low & ROM_ENABLE) === 0) return undefined;
  const flagBits = kind === "io" ? 3 : kind === "rom" ? 0x7ff : 15;
  const base = ((low & ~flagBits) >>> 0) + (kind === "mem64" ? high * 2 ** 32 : 0);
  const limit = kind === "io" ? 0x10000 : kind === "mem64" ? ADDRESS_LIMIT : 2 ** 32;
  if (base === 0 || base + length >= limit) return undefined;
  return { base, length };
}
