/** Sizes as people write them. */

import { UsageError } from "../errors.ts";

const UNITS: Record<string, number> = {
  "": 2 ** 20,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};
const NUMBER = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i;
const MIN_RAM = 2 ** 20;
/** What one memory of the host's WebAssembly engine holds, less room for ROM and video memory. */
const MAX_RAM = 15 * 2 ** 30;
const WASM_PAGE = 65536;

/**
 * Memory size in bytes from text such as `256M`, `2G`, `1536` (MiB without a unit, as in QEMU) or a
 * number of bytes.
 *
 * @throws {UsageError} When it is not a size, not a multiple of 64 KiB, or outside of 1 MiB to 15 GiB.
 */
export function parseMemory(size: string | number): number {
  const bytes = typeof size === "number" ? size : bytesOf(size);
  const shown = typeof size === "number" ? `${size} bytes` : `"${size}"`;
  if (bytes === undefined || !Number.isSafeInteger(bytes)) {
    throw new UsageError(`Cannot give the guest ${shown} of memory: write a size like 256M or 2G`);
  }
  if (bytes < MIN_RAM || bytes > MAX_RAM) {
    throw new UsageError(`Cannot give the guest ${shown} of memory: 1M to 15G is possible`);
  }
  if (bytes % WASM_PAGE !== 0) {
    throw new UsageError(`Cannot give the guest ${shown} of memory: it must be a multiple of 64K`);
  }
  return bytes;
}

/** A number as people write it, such as `500`, `20K` or `1.5M` (of 1024); undefined: none. */
export function parseBytes(text: string): number | undefined {
  const match = NUMBER.exec(text.trim());
  if (match === null) return undefined;
  return Number(match[1]) * (match[2] === "" ? 1 : UNITS[match[2].toLowerCase()]);
}

function bytesOf(text: string): number | undefined {
  const match = NUMBER.exec(text.trim());
  if (match === null) return undefined;
  return Number(match[1]) * UNITS[match[2].toLowerCase()];
}

/** Bytes as a person reads them: `1.44 MiB`, `512 B`. */
export function showBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(2))} ${units[unit]}`;
}
