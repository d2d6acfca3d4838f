/** Where in guest RAM a kernel and what belongs to it are put. */

import { alignUp } from "../core/align.ts";
import { E820Type } from "../core/memory/e820.ts";
import { addressText } from "../core/hex.ts";
import { BootError } from "./boot_error.ts";
import type { BootRequest, BootSegment } from "./plan.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** Loaders work below 4 GiB: every entry mode can address that. */
const FOUR_GIB = 2 ** 32;
/** Interrupt vectors, BIOS data area: the firmware's, left alone. */
const FIRMWARE_LOW_END = 0x1000;

interface Extent {
  readonly start: number;
  readonly end: number;
  readonly what: string;
}

/** Mebibytes for people: whole ones, rounded up, so that "give N MiB" always suffices. */
export const mib = (bytes: number): string => `${Math.ceil(bytes / MiB)} MiB`;

/** Finds room in guest RAM: every segment in RAM of the memory map, none over another. */
export class Placement {
  readonly segments: BootSegment[] = [];
  readonly #name: string;
  readonly #ram: Extent[];
  readonly #taken: Extent[] = [];
  readonly #totalRam: number;

  constructor(request: Pick<BootRequest, "kernelName" | "memoryMap">) {
    this.#name = request.kernelName;
    this.#ram = mergedRam(request.memoryMap);
    this.#totalRam = request.memoryMap.reduce(
      (n, r) => n + (r.type === E820Type.ram ? r.length : 0),
      0,
    );
    this.#taken.push({ start: 0, end: FIRMWARE_LOW_END, what: "the firmware's data area" });
  }

  /** Bytes of RAM in the machine. */
  get totalRam(): number {
    return this.#totalRam;
  }

  /** Bytes of RAM below 4 GiB in the largest piece: no kernel can be larger. */
  get largestRam(): number {
    return this.#ram.reduce((n, r) => Math.max(n, r.end - r.start), 0);
  }

  /** Puts `bytes`, and zeros up to `memoryLength`, at `address`. */
  at(address: number, bytes: Uint8Array, what: string, memoryLength = bytes.length): void {
    this.reserve(address, memoryLength, what);
    this.segments.push({ address, bytes, memoryLength });
  }

  /** Keeps a range free of everything that is placed later. */
  reserve(address: number, length: number, what: string): void {
    if (length === 0) return;
    const end = address + length;
    if (!this.#ram.some((r) => r.start <= address && end <= r.end)) {
      throw this.#error(
        `${what} needs memory from ${addressText(address)} to ${
          addressText(end)
        }, which the guest's ` +
          `${mib(this.#totalRam)} do not have: give more with --memory`,
      );
    }
    const other = this.#taken.find((t) => t.start < end && address < t.end);
    if (other !== undefined) {
      throw this.#error(`${what} at ${addressText(address)} would overwrite ${other.what}`);
    }
    this.#taken.push({ start: address, end, what });
  }

  /** Puts `bytes` as low as there is room, and says where. */
  low(bytes: Uint8Array, what: string, align = 16): number {
    const candidates = [...this.#ram.map((r) => r.start), ...this.#taken.map((t) => t.end)];
    candidates.sort((a, b) => a - b);
    for (const candidate of candidates) {
      const address = alignUp(candidate, align);
      if (!this.#free(address, bytes.length)) continue;
      this.at(address, bytes, what);
      return address;
    }
    throw this.#error(`no room in guest memory for ${what}: give more with --memory`);
  }

  /** Puts an initrd as high as there is room below `limit`, on a page, and says where. */
  initrd(bytes: Uint8Array, limit: number): number {
    const page = 4 * KiB;
    const ends = [limit, ...this.#ram.map((r) => r.end), ...this.#taken.map((t) => t.start)];
    ends.sort((a, b) => b - a);
    for (const end of ends) {
      const address = Math.floor((end - bytes.length) / page) * page;
      if (end > limit || !this.#free(address, bytes.length)) continue;
      this.at(address, bytes, "the initrd");
      return address;
    }
    const bound = limit < Math.min(FOUR_GIB, this.#totalRam)
      ? ` (the kernel takes it below ${mib(limit)} only)`
      : "";
    throw this.#error(
      `initrd of ${mib(bytes.length)} does not fit in guest memory of ` +
        `${mib(this.#totalRam)}${bound}: give more with --memory`,
    );
  }

  #free(start: number, length: number): boolean {
    const end = start + length;
    return this.#ram.some((r) => r.start <= start && end <= r.end) &&
      !this.#taken.some((t) => t.start < end && start < t.end);
  }

  #error(reason: string): BootError {
    return new BootError(this.#name, reason);
  }
}

/** RAM below 4 GiB in ascending order, adjacent ranges joined. */
function mergedRam(map: BootRequest["memoryMap"]): Extent[] {
  const ranges = map.filter((r) => r.type === E820Type.ram && r.length > 0 && r.base < FOUR_GIB)
    .map((r) => ({ start: r.base, end: Math.min(r.base + r.length, FOUR_GIB), what: "RAM" }))
    .sort((a, b) => a.start - b.start);
  const merged: Extent[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end) {
      merged[merged.length - 1] = { ...last, end: Math.max(last.end, range.end) };
    } else merged.push(range);
  }
  return merged;
}
