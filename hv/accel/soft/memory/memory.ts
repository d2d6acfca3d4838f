/**
 * Guest memory by linear address: the accesses of services, and what those of generated code go by (see
 * soft_tlb.ts and generated_access.ts).
 */

import type { Breakpoints } from "../events/breakpoints.ts";
import { awaitDevice } from "../events/faults.ts";
import type { World } from "../world.ts";
import type { DeviceLog } from "./device_log.ts";
import { GeneratedAccess, type MemoryParts } from "./generated_access.ts";
import { readInteger, writeInteger } from "./integers.ts";
import { upperHalf } from "./linear_address.ts";
import { AccessKind, type Paging, Privilege } from "./paging.ts";
import { PhysicalBytes } from "./physical_bytes.ts";
import type { PhysicalMap } from "./physical_map.ts";
import { AT, TLB_TABLE_BYTES } from "../state/state.ts";
import { SoftTlb } from "./soft_tlb.ts";

const PAGE = 4096;
/** What items of services are aligned to, by their length. */
const ALIGNMENTS: ReadonlyMap<number, number> = new Map([[2, 2], [4, 4], [8, 8], [10, 8], [16, 8]]);

/** What it is made of. */
export interface LinearMemoryParts extends Omit<MemoryParts, "tlb" | "physical"> {
  /** The machine's memory. */
  readonly memory: WebAssembly.Memory;
}

/** See above. */
export class LinearMemory {
  readonly tlb: SoftTlb;
  readonly physical: PhysicalBytes;
  readonly generated: GeneratedAccess;
  /** The other processors. */
  readonly world: World;
  readonly #words: Int32Array;
  readonly #paging: Paging;
  readonly #map: PhysicalMap;
  readonly #log: DeviceLog;
  readonly #breakpoints: Breakpoints;
  readonly #guest: DataView;

  constructor({ memory, ...parts }: LinearMemoryParts) {
    const { state, words, paging, map, log, breakpoints, world } = parts;
    this.world = world;
    this.#words = words;
    this.#paging = paging;
    this.#map = map;
    this.#log = log;
    this.#breakpoints = breakpoints;
    this.tlb = new SoftTlb(state, words, paging, breakpoints);
    this.#guest = new DataView(memory.buffer);
    this.physical = new PhysicalBytes(new Uint8Array(memory.buffer), map, log);
    this.generated = new GeneratedAccess({ ...parts, tlb: this.tlb, physical: this.physical });
  }

  /** Was the page that was translated last a global one? */
  get translatedGlobally(): boolean {
    return this.#paging.isGlobal;
  }

  /** See `Paging.isPaePointerValid`. */
  isPaePointerValid(physical: number): boolean {
    return this.#paging.isPaePointerValid(physical);
  }

  /** Physical address of the byte at `linear`. Throws `GuestFault`. */
  translate(linear: bigint, kind: AccessKind, privilege: Privilege, stack = false): number {
    const high = Number(linear >> 32n & 0xffff_ffffn) | 0;
    return this.translateHalves(high, Number(linear & 0xffff_ffffn) | 0, kind, privilege, stack);
  }

  /** As `translate`, of an address in two halves. */
  translateHalves(
    high: number,
    low: number,
    kind: AccessKind,
    privilege: Privilege,
    stack = false,
  ): number {
    return this.#paging.translate(upperHalf(this.#words, high), low, kind, privilege, stack);
  }

  /** Reads `bytes` (1 to 8) at `linear`. Throws `GuestFault` or `GuestAccess`. */
  read(linear: bigint, bytes: number, privilege: Privilege, stack = false): bigint {
    this.#checkAlignment(linear, bytes, privilege, stack);
    this.#watch(linear, bytes, false, privilege);
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = upperHalf(this.#words, Number(linear >> 32n & 0xffff_ffffn) | 0);
    const set = this.tlb.setOf(privilege);
    const known = this.tlb.lookUp(high, low, bytes, 0, set);
    if (known >= 0) return readInteger(this.#guest, known, bytes);
    if (this.#inPage(linear, bytes)) {
      const physical = this.#paging.translate(high, low, AccessKind.read, privilege, stack);
      const offset = this.#map.offsetOf(physical);
      if (offset >= 0) {
        // Of the kernel's tables, those that SMAP always holds for are none of a lifted one's.
        const isOwn = privilege === Privilege.implicit || set === this.#words[AT.tlb >> 2];
        if (isOwn) this.tlb.fill(high, low, offset, 0, set);
        return readInteger(this.#guest, offset, bytes);
      }
      if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8) {
        if (!this.#log.serve(physical, bytes, false, false)) awaitDevice();
        return BigInt.asUintN(bytes * 8, this.#log.access.data.getBigUint64(0, true));
      }
    }
    const places = this.#places(linear, bytes, AccessKind.read, privilege, stack);
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) {
      value = value << 8n | BigInt(this.physical.read(places[i]));
    }
    return value;
  }

  /** Writes `bytes` (1 to 8) at `linear`. Throws `GuestFault` or `GuestAccess`. */
  write(
    linear: bigint,
    bytes: number,
    value: bigint,
    privilege: Privilege,
    stack = false,
  ): void {
    this.#checkAlignment(linear, bytes, privilege, stack);
    this.#watch(linear, bytes, true, privilege);
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = upperHalf(this.#words, Number(linear >> 32n & 0xffff_ffffn) | 0);
    const set = this.tlb.setOf(privilege);
    const known = this.tlb.lookUp(high, low, bytes, TLB_TABLE_BYTES, set);
    if (known >= 0) return writeInteger(this.#guest, known, bytes, value);
    const places = this.#places(linear, bytes, AccessKind.write, privilege, stack);
    if (this.#inPage(linear, bytes) && [1, 2, 4, 8].includes(bytes)) {
      const offset = this.#map.offsetOf(places[0]);
      if (offset < 0 || !this.#map.lastWritable) {
        if (!this.#log.serve(places[0], bytes, true, false, value)) awaitDevice();
        return;
      }
    }
    places.forEach((physical, i) =>
      this.physical.write(physical, Number(value >> BigInt(8 * i) & 0xffn))
    );
  }

  /** Sees to it that `bytes` from `linear` can be written, or throws `GuestFault`. */
  checkWrite(linear: bigint, bytes: number, privilege: Privilege, stack = false): void {
    this.#checkAlignment(linear, bytes, privilege, stack);
    this.#watch(linear, bytes, true, privilege);
    this.translate(linear, AccessKind.write, privilege, stack);
    if (!this.#inPage(linear, bytes)) {
      const next = linear + BigInt(bytes - 1) & ~0xfffn;
      this.translate(BigInt.asUintN(64, next), AccessKind.write, privilege, stack);
    }
  }

  /** #AC(0) where it is due; what has other lengths is made of items that come by here. */
  #checkAlignment(linear: bigint, bytes: number, privilege: Privilege, stack: boolean): void {
    if (privilege !== Privilege.user || !this.tlb.aligns) return;
    const to = ALIGNMENTS.get(bytes);
    if (to === undefined) return;
    const low = Number(linear & 0xffff_ffffn) | 0;
    this.#paging.checkAlignment(Number(linear >> 32n) | 0, low, to, stack);
  }

  /** Breakpoints see what instructions access, not the processor's own use of tables. */
  #watch(linear: bigint, bytes: number, isWrite: boolean, privilege: Privilege): void {
    if (!this.#breakpoints.onData || privilege === Privilege.implicit) return;
    this.#breakpoints.serviceAccess(linear, bytes, isWrite);
  }

  /** Fills `to`, which is 8 to 4096 bytes, from `linear`. Throws `GuestFault` or `GuestAccess`. */
  readBytes(linear: bigint, to: Uint8Array, privilege: Privilege): void {
    this.#watch(linear, to.length, false, privilege);
    this.#inPages(linear, to, AccessKind.read, privilege, (physical, part) => {
      const offset = this.#map.offsetOf(physical);
      if (offset >= 0) part.set(this.physical.bytes.subarray(offset, offset + part.length));
      else this.#eachWord(physical, part, false);
    });
  }

  /** The reverse of `readBytes`; nothing is written unless everything can be. */
  writeBytes(linear: bigint, from: Uint8Array, privilege: Privilege): void {
    this.#watch(linear, from.length, true, privilege);
    this.#inPages(linear, from, AccessKind.write, privilege, (physical, part) => {
      const offset = this.#map.offsetOf(physical);
      if (offset >= 0 && this.#map.lastWritable) {
        this.physical.bytes.set(part, offset);
        this.physical.wrote(offset, part.length);
      } else this.#eachWord(physical, part, true);
    });
  }

  /** Translates the one or two pages of `bytes`, then lets `each` have their parts. */
  #inPages(
    linear: bigint,
    bytes: Uint8Array,
    kind: AccessKind,
    privilege: Privilege,
    each: (physical: number, part: Uint8Array) => void,
  ): void {
    const inFirst = Math.min(PAGE - Number(linear & 0xfffn), bytes.length);
    const first = this.translate(linear, kind, privilege);
    const second = inFirst < bytes.length
      ? this.translate(BigInt.asUintN(64, linear + BigInt(inFirst)), kind, privilege)
      : 0;
    each(first, bytes.subarray(0, inFirst));
    if (inFirst < bytes.length) each(second, bytes.subarray(inFirst));
  }

  /** Words of 8 bytes between a device and `part`, whose length is a multiple. */
  #eachWord(physical: number, part: Uint8Array, isWrite: boolean): void {
    const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
    for (let at = 0; at < part.length; at += 8) {
      const value = isWrite ? view.getBigUint64(at, true) : 0n;
      if (!this.#log.serve(physical + at, 8, isWrite, false, value)) awaitDevice();
      if (!isWrite) view.setBigUint64(at, this.#log.access.data.getBigUint64(0, true), true);
    }
  }

  #inPage(linear: bigint, bytes: number): boolean {
    return Number(linear & 0xfffn) + bytes <= PAGE;
  }

  #places(
    linear: bigint,
    bytes: number,
    kind: AccessKind,
    privilege: Privilege,
    stack: boolean,
  ): number[] {
    const first = this.translate(linear, kind, privilege, stack);
    const inFirst = PAGE - Number(linear & 0xfffn);
    const second = inFirst < bytes
      ? this.translate(linear + BigInt(inFirst), kind, privilege, stack)
      : 0;
    return Array.from({ length: bytes }, (_, i) => i < inFirst ? first + i : second + i - inFirst);
  }
}
