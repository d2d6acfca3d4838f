/**
 * The accesses of generated code that the soft TLB does not serve: first ones to a page, those across two
 * pages, those to devices and to pages with code, writes of instructions with LOCK.
 */

import {
  AddressKind,
  FLAT,
  OP,
  SLOW_INTENT,
  SLOW_LOCKED,
  SLOW_STACK,
  SLOW_WRITE,
  Status,
} from "../codegen/operation.ts";
import type { Breakpoints } from "../events/breakpoints.ts";
import { fault, GuestAccess, GuestFault, Vector } from "../events/faults.ts";
import { AT, Seg, segmentAt, type SoftState, TLB_TABLE_BYTES } from "../state/state.ts";
import type { World } from "../world.ts";
import type { DeviceLog } from "./device_log.ts";
import { upperHalf, wide } from "./linear_address.ts";
import { exchangeIn } from "./locked_access.ts";
import { AccessKind, type Paging, Privilege } from "./paging.ts";
import type { PhysicalBytes } from "./physical_bytes.ts";
import type { PhysicalMap } from "./physical_map.ts";
import type { SoftTlb } from "./soft_tlb.ts";

const PAGE = 4096;
const FOUR_GIB = 0x1_0000_0000;

/** What it works with. */
export interface MemoryParts {
  readonly state: SoftState;
  /** Memory 0. */
  readonly words: Int32Array;
  readonly paging: Paging;
  readonly map: PhysicalMap;
  readonly log: DeviceLog;
  readonly tlb: SoftTlb;
  readonly physical: PhysicalBytes;
  readonly breakpoints: Breakpoints;
  /** The other processors. */
  readonly world: World;
}

/** See above. */
export class GeneratedAccess {
  readonly #state: SoftState;
  readonly #words: Int32Array;
  readonly #data: DataView;
  readonly #paging: Paging;
  readonly #map: PhysicalMap;
  readonly #log: DeviceLog;
  readonly #tlb: SoftTlb;
  readonly #physical: PhysicalBytes;
  readonly #breakpoints: Breakpoints;
  readonly #world: World;
  readonly #guest: DataView;
  /** One item between two pages and generated code. */
  readonly #item = new DataView(new ArrayBuffer(16));

  constructor(parts: MemoryParts) {
    this.#state = parts.state;
    this.#words = parts.words;
    this.#data = new DataView(parts.words.buffer);
    this.#paging = parts.paging;
    this.#map = parts.map;
    this.#log = parts.log;
    this.#tlb = parts.tlb;
    this.#physical = parts.physical;
    this.#breakpoints = parts.breakpoints;
    this.#world = parts.world;
    this.#guest = new DataView(parts.physical.bytes.buffer);
  }

  /** The import `slow`: the access of `slowAddress` and `slowValue` that `info` describes. */
  slow(info: number): Status {
    try {
      return this.#slow(info);
    } catch (error) {
      if (error instanceof GuestFault) return Status.exception;
      if (error instanceof GuestAccess) return Status.access;
      throw error;
    }
  }

  #privilege(): Privilege {
    return this.#state.cpl === 3 ? Privilege.user : Privilege.supervisor;
  }

  /** Does an operand at an address that is not canonical give #SS? */
  #isStack(info: number): boolean {
    if ((info & SLOW_STACK) !== 0) return true;
    const { op } = this.#state;
    const kind = this.#data.getUint8(op + OP.kind);
    return (kind === AddressKind.plain || kind === AddressKind.flat32) &&
      this.#data.getUint16(op + OP.segment, true) === segmentAt(Seg.ss);
  }

  /** Is the operation one of 32-bit code with flat segments, whose bounds nothing has asked for? */
  #isFlat(): boolean {
    return (this.#data.getUint8(this.#state.op + OP.scale) & FLAT) !== 0;
  }

  #slow(info: number): Status {
    const size = info & 0xff;
    const isWrite = (info & SLOW_WRITE) !== 0;
    const intent = (info & SLOW_INTENT) !== 0;
    const stack = this.#isStack(info);
    const words = this.#words;
    const low = words[AT.slowAddress >> 2];
    const high = upperHalf(this.#words, words[(AT.slowAddress >> 2) + 1]);
    const kind = isWrite || intent ? AccessKind.write : AccessKind.read;
    if (this.#tlb.aligns) this.#paging.checkAlignment(high, low, size, stack);
    if (this.#breakpoints.onData && !this.#breakpoints.access(wide(high, low), size, isWrite)) {
      return Status.alone;
    }
    if ((low >>> 0) + size > FOUR_GIB && this.#isFlat()) {
      // What ends beyond the segment; everything else has been within.
      fault(this.#state, stack ? Vector.stackFault : Vector.generalProtection, 0);
    }
    if ((info & SLOW_LOCKED) !== 0) return this.#exchange(high, low, size);
    if ((low & (PAGE - 1)) + size > PAGE) {
      return this.#across(high, low, { size, isWrite, kind, stack });
    }
    const physical = this.#paging.translate(high, low, kind, this.#privilege(), stack);
    const offset = this.#map.offsetOf(physical);
    if (offset >= 0 && (!isWrite || this.#map.lastWritable)) {
      const page = Math.floor(offset / PAGE);
      const plain = this.#map.lastWritable && !this.#map.hasCode(page);
      if (kind === AccessKind.read) this.#tlb.fill(high, low, offset, 0);
      else if (plain) {
        this.#tlb.fill(high, low, offset, TLB_TABLE_BYTES);
        // Another processor may have made the first block of it just now.
        if (this.#map.wrote(page)) this.#tlb.flushWrites();
      }
      if (isWrite) this.#store(offset, size);
      else this.#load(offset, size);
      return Status.next;
    }
    for (let done = 0; done < size; done += 8) {
      const at = AT.slowValue + done >> 2;
      const item = this.#log.access.data;
      const value = BigInt(words[at] >>> 0) | BigInt(words[at + 1] >>> 0) << 32n;
      const bytes = Math.min(size - done, 8);
      if (!this.#log.serve(physical + done, bytes, isWrite, false, value)) return Status.access;
      if (isWrite) continue;
      words[at] = item.getInt32(0, true);
      words[at + 1] = item.getInt32(4, true);
    }
    return Status.next;
  }

  /**
   * The write of an instruction with LOCK, of 1 to 8 bytes. Aligned ones are one access; while others
   * are made, the other processors stand. To a device it is a write like any other.
   */
  #exchange(high: number, low: number, size: number): Status {
    const { slowValue, slowExpected } = this.#state;
    const privilege = this.#privilege();
    const first = this.#paging.translate(high, low, AccessKind.write, privilege);
    const place = this.#map.offsetOf(first);
    const inFirst = PAGE - (low & (PAGE - 1));
    if (inFirst < size) {
      const status = this.#world.stop(() => {
        if (this.#expects(high, low, size, slowExpected) === false) return Status.again;
        return this.#across(high, low, {
          size,
          isWrite: true,
          kind: AccessKind.write,
          stack: false,
        });
      });
      return status;
    }
    if (place < 0 || !this.#map.lastWritable) {
      return this.#log.serve(first, size, true, false, slowValue) ? Status.next : Status.access;
    }
    if ((low & (size - 1)) === 0) {
      const expected = BigInt.asUintN(size * 8, slowExpected);
      if (exchangeIn(this.#physical.bytes, place, size, expected, slowValue) !== expected) {
        return Status.again;
      }
      this.#physical.wrote(place, size);
      return Status.next;
    }
    return this.#world.stop(() => {
      if (this.#expects(high, low, size, slowExpected) === false) return Status.again;
      this.#store(place, size);
      return Status.next;
    });
  }

  /** Do the bytes still read as `expected`? Those of devices are not read again. */
  #expects(high: number, low: number, size: number, expected: bigint): boolean {
    const privilege = this.#privilege();
    for (let i = 0; i < size; i++) {
      const at = low + i | 0;
      const upper = at >>> 0 < low >>> 0 ? upperHalf(this.#words, high + 1 | 0) : high;
      const physical = this.#paging.translate(upper, at, AccessKind.write, privilege);
      const offset = this.#map.offsetOf(physical);
      const byte = Number(expected >> BigInt(8 * i) & 0xffn);
      if (offset >= 0 && this.#physical.bytes[offset] !== byte) return false;
    }
    return true;
  }

  #load(offset: number, size: number): void {
    const at = AT.slowValue >> 2;
    const guest = this.#guest;
    const words = this.#words;
    switch (size) {
      case 1:
        words[at] = guest.getUint8(offset);
        break;
      case 2:
        words[at] = guest.getUint16(offset, true);
        break;
      case 4:
        words[at] = guest.getInt32(offset, true);
        break;
      default:
        for (let i = 0; i < size; i += 4) words[at + (i >> 2)] = guest.getInt32(offset + i, true);
    }
  }

  #store(offset: number, size: number): void {
    const at = AT.slowValue >> 2;
    const guest = this.#guest;
    const words = this.#words;
    switch (size) {
      case 1:
        guest.setUint8(offset, words[at]);
        break;
      case 2:
        guest.setUint16(offset, words[at], true);
        break;
      case 4:
        guest.setInt32(offset, words[at], true);
        break;
      default:
        for (let i = 0; i < size; i += 4) guest.setInt32(offset + i, words[at + (i >> 2)], true);
    }
    this.#physical.wrote(offset, size);
  }

  /** Across two pages: both are translated before anything is read or written. */
  #across(
    high: number,
    low: number,
    { size, isWrite, kind, stack }: {
      readonly size: number;
      readonly isWrite: boolean;
      readonly kind: AccessKind;
      readonly stack: boolean;
    },
  ): Status {
    const privilege = this.#privilege();
    const inFirst = PAGE - (low & (PAGE - 1));
    const first = this.#paging.translate(high, low, kind, privilege, stack);
    const nextLow = low + inFirst | 0;
    const second = this.#paging.translate(
      nextLow === 0 ? high + 1 | 0 : high,
      nextLow,
      kind,
      privilege,
      stack,
    );
    const item = this.#item;
    const at = AT.slowValue >> 2;
    for (let i = 0; i < 4; i++) item.setInt32(i * 4, this.#words[at + i], true);
    for (let i = 0; i < size; i++) {
      const physical = i < inFirst ? first + i : second + i - inFirst;
      if (isWrite) this.#physical.write(physical, item.getUint8(i));
      else item.setUint8(i, this.#physical.read(physical));
    }
    for (let i = 0; i < 4; i++) this.#words[at + i] = item.getInt32(i * 4, true);
    return Status.next;
  }
}
