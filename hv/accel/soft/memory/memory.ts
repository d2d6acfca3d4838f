/**
 * Guest memory by linear address: the accesses that the soft TLB does not serve (first ones to a
 * page, those across two pages, devices, pages with code), and those of services.
 */

import {
  AddressKind,
  OP,
  SLOW_INTENT,
  SLOW_LOCKED,
  SLOW_STACK,
  SLOW_WRITE,
  Status,
} from "../codegen/operation.ts";
import type { DeviceLog } from "./device_log.ts";
import type { Breakpoints } from "../events/breakpoints.ts";
import { awaitDevice, GuestAccess, GuestFault } from "../events/faults.ts";
import { CR0_AM, CR0_PG, CR4_SMAP } from "../state/control_bits.ts";
import { AccessKind, EFLAGS_AC, type Paging, Privilege } from "./paging.ts";
import { LocalEntries } from "./local_entries.ts";
import { exchangeIn } from "./locked_access.ts";
import type { PhysicalMap } from "./physical_map.ts";
import {
  AT,
  Seg,
  segmentAt,
  type SoftState,
  TLB_BASE,
  TLB_BYTES,
  TLB_ENTRIES,
  TLB_GLOBALS,
  TLB_SET_BYTES,
  TLB_TABLE_BYTES,
  TlbSet,
} from "../state/state.ts";

import type { World } from "../world.ts";

const PAGE = 4096;
const FOUR_GIB = 0x1_0000_0000;
/** What items of services are aligned to, by their length. */
const ALIGNMENTS: ReadonlyMap<number, number> = new Map([[2, 2], [4, 4], [8, 8], [10, 8], [16, 8]]);
/** Address bits within the kinds of large pages. */
const LARGE_BITS = [21, 22, 30] as const;
/** Large pages that are remembered before everything is forgotten. */
const MAX_LARGE_PAGES = 4096;

/** A linear address of two halves. */
const wide = (high: number, low: number): bigint => BigInt(high >>> 0) << 32n | BigInt(low >>> 0);

/** A large page, by its number and size. */
const largeKey = (high: number, low: number, bits: number): number =>
  ((high & 0xffff) * 2 ** (32 - bits) + (low >>> bits)) * 32 + bits;

/** What has to know when memory that holds decoded code changes. */
export interface CodeWatcher {
  /** Bytes from `offset` in the machine's memory have been written. */
  invalidate(offset: number, bytes: number): void;
}

/** See above. */
export class LinearMemory {
  /** Set by whoever decodes. */
  watcher: CodeWatcher = { invalidate: () => {} };
  /** Clear where others change the page tables unseen: every access walks them then. */
  keepsTranslations = true;
  readonly #breakpoints: Breakpoints;
  /** The other processors. */
  readonly world: World;
  readonly #state: SoftState;
  readonly #words: Int32Array;
  readonly #data: DataView;
  readonly #paging: Paging;
  readonly #map: PhysicalMap;
  readonly #log: DeviceLog;
  readonly #guest: DataView;
  readonly #bytes: Uint8Array;
  /** A byte for each entry of the soft TLB. */
  readonly #globals: Uint8Array;
  readonly #local = new LocalEntries();
  /** Large pages of which there may be translations: see `flushPage`. */
  readonly #largePages = new Set<number>();
  /** One item between memory and a service. */
  readonly #item = new DataView(new ArrayBuffer(16));

  constructor(
    state: SoftState,
    words: Int32Array,
    paging: Paging,
    map: PhysicalMap,
    log: DeviceLog,
    memory: WebAssembly.Memory,
    breakpoints: Breakpoints,
    world: World,
  ) {
    this.#breakpoints = breakpoints;
    this.world = world;
    this.#state = state;
    this.#words = words;
    this.#data = new DataView(words.buffer);
    this.#paging = paging;
    this.#map = map;
    this.#log = log;
    this.#guest = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#globals = new Uint8Array(words.buffer, TLB_GLOBALS, TLB_BYTES / 16);
  }

  // --- the soft TLB ---

  /** Forgets every translation. */
  flush(): void {
    this.#largePages.clear();
    this.#local.clear();
    const first = TLB_BASE >> 2;
    this.#words.fill(-1, first, first + (TLB_BYTES >> 2));
  }

  /** Forgets the translations that are not of global pages. */
  flushContext(): void {
    const [words, globals] = [this.#words, this.#globals];
    this.#local.take(globals.length, (i) => {
      if (globals[i] !== 0) return;
      const at = (TLB_BASE >> 2) + i * 4;
      words[at] = words[at + 1] = -1;
    });
  }

  /** Was the page that was translated last a global one? */
  get translatedGlobally(): boolean {
    return this.#paging.isGlobal;
  }

  /** Forgets the translations through which memory may be written. */
  flushWrites(): void {
    for (let set = 0; set < 3; set++) {
      const first = TLB_BASE + set * TLB_SET_BYTES + TLB_TABLE_BYTES >> 2;
      this.#words.fill(-1, first, first + (TLB_TABLE_BYTES >> 2));
    }
  }

  /**
   * Forgets the page at a linear address. Of a large page the TLB may have several 4 KiB parts, all of
   * which go (SDM volume 3, 4.10.4.1): false, and everything is forgotten.
   */
  flushPage(linear: bigint): boolean {
    if (this.#largePages.size > 0 && LARGE_BITS.some((bits) => this.#isLarge(linear, bits))) {
      this.flush();
      return false;
    }
    const entry = Number(linear >> 12n & BigInt(TLB_ENTRIES - 1)) * 16;
    for (let table = 0; table < 6; table++) {
      const at = TLB_BASE + table * TLB_TABLE_BYTES + entry >> 2;
      this.#words[at] = this.#words[at + 1] = -1;
    }
    return true;
  }

  #isLarge(linear: bigint, bits: number): boolean {
    const high = Number(linear >> 32n & 0xffff_ffffn) | 0;
    return this.#largePages.has(largeKey(high, Number(linear & 0xffff_ffffn), bits));
  }

  /** Takes the tables that go with the privilege, CR4.SMAP and EFLAGS.AC. */
  selectTables(): void {
    const words = this.#words;
    const lifted = (words[AT.cr4 >> 2] & CR4_SMAP) !== 0 &&
      (words[AT.eflags >> 2] & EFLAGS_AC) !== 0;
    const aligned = (words[AT.cr0 >> 2] & CR0_AM) !== 0 &&
      (words[AT.eflags >> 2] & EFLAGS_AC) !== 0;
    const user = aligned ? TlbSet.aligned : TlbSet.user;
    const set = this.#state.cpl === 3 ? user : lifted ? TlbSet.kernelAc : TlbSet.kernel;
    this.#state.tlb = TLB_BASE + set * TLB_SET_BYTES;
  }

  /** Must accesses of level 3 be aligned? */
  get #aligns(): boolean {
    return this.#words[AT.tlb >> 2] === TLB_BASE + TlbSet.aligned * TLB_SET_BYTES;
  }

  #fill(high: number, low: number, offset: number, table: number): void {
    if (!this.keepsTranslations) return;
    const words = this.#words;
    if (this.#aligns) return;
    if (this.#breakpoints.onData && this.#breakpoints.isPageWatched(wide(high, low))) return;
    const { pageBits } = this.#paging;
    if (pageBits > 12) {
      if (this.#largePages.size >= MAX_LARGE_PAGES) this.flush();
      this.#largePages.add(largeKey(high, low, pageBits));
    }
    const at = this.#state.tlb + table + (low >>> 12) % TLB_ENTRIES * 16 >> 2;
    const page = low & -PAGE;
    const entry = at - (TLB_BASE >> 2) >> 2;
    this.#globals[entry] = this.#paging.isGlobal ? 1 : 0;
    if (!this.#paging.isGlobal) this.#local.add(entry);
    words[at] = page;
    words[at + 1] = high;
    // Place in memory = linear address + difference, in 64 bits.
    const place = offset - offset % PAGE;
    const placeLow = place % FOUR_GIB;
    const borrow = placeLow < (page >>> 0) ? 1 : 0;
    words[at + 2] = placeLow - (page >>> 0);
    words[at + 3] = Math.floor(place / FOUR_GIB) - high - borrow;
  }

  // --- accesses of generated code ---

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
    return this.#data.getUint8(op + OP.kind) === AddressKind.plain &&
      this.#data.getUint16(op + OP.segment, true) === segmentAt(Seg.ss);
  }

  #slow(info: number): Status {
    const size = info & 0xff;
    const isWrite = (info & SLOW_WRITE) !== 0;
    const intent = (info & SLOW_INTENT) !== 0;
    const stack = this.#isStack(info);
    const words = this.#words;
    const low = words[AT.slowAddress >> 2];
    const high = this.#high(words[(AT.slowAddress >> 2) + 1]);
    const kind = isWrite || intent ? AccessKind.write : AccessKind.read;
    if (this.#aligns) this.#paging.checkAlignment(high, low, size, stack);
    if (this.#breakpoints.onData && !this.#breakpoints.access(wide(high, low), size, isWrite)) {
      return Status.alone;
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
      if (kind === AccessKind.read) this.#fill(high, low, offset, 0);
      else if (plain) {
        this.#fill(high, low, offset, TLB_TABLE_BYTES);
        // Another processor may have made the first block of it just now.
        if (this.#map.wrote(page)) this.flushWrites();
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
      const status = this.world.stop(() => {
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
      if (exchangeIn(this.#bytes, place, size, expected, slowValue) !== expected) {
        return Status.again;
      }
      this.#wrote(place, size);
      return Status.next;
    }
    return this.world.stop(() => {
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
      const upper = at >>> 0 < low >>> 0 ? this.#high(high + 1 | 0) : high;
      const physical = this.#paging.translate(upper, at, AccessKind.write, privilege);
      const offset = this.#map.offsetOf(physical);
      const byte = Number(expected >> BigInt(8 * i) & 0xffn);
      if (offset >= 0 && this.#bytes[offset] !== byte) return false;
    }
    return true;
  }

  /** Without paging and in 32-bit paging, linear addresses have 32 bits. */
  #high(high: number): number {
    return (this.#words[AT.cr0 >> 2] & CR0_PG) === 0 ? 0 : high;
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
    this.#wrote(offset, size);
  }

  #wrote(offset: number, size: number): void {
    const page = Math.floor(offset / PAGE);
    if (this.#map.wrote(page)) this.watcher.invalidate(offset, size);
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
      if (isWrite) this.#writeByte(physical, item.getUint8(i));
      else item.setUint8(i, this.#readByte(physical));
    }
    for (let i = 0; i < 4; i++) this.#words[at + i] = item.getInt32(i * 4, true);
    return Status.next;
  }

  #readByte(physical: number): number {
    const offset = this.#map.offsetOf(physical);
    if (offset >= 0) return this.#bytes[offset];
    if (!this.#log.serve(physical, 1, false, false)) awaitDevice();
    return this.#log.access.data.getUint8(0);
  }

  #writeByte(physical: number, value: number): void {
    const offset = this.#map.offsetOf(physical);
    if (offset >= 0 && this.#map.lastWritable) {
      this.#bytes[offset] = value;
      this.#wrote(offset, 1);
    } else if (!this.#log.serve(physical, 1, true, false, BigInt(value))) awaitDevice();
  }

  // --- accesses of services ---

  /** See `Paging.isPaePointerValid`. */
  isPaePointerValid(physical: number): boolean {
    return this.#paging.isPaePointerValid(physical);
  }

  /** Physical address of the byte at `linear`. Throws `GuestFault`. */
  translate(linear: bigint, kind: AccessKind, privilege: Privilege, stack = false): number {
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = this.#high(Number(linear >> 32n & 0xffff_ffffn) | 0);
    return this.#paging.translate(high, low, kind, privilege, stack);
  }

  /** Reads `bytes` (1 to 8) at `linear`. Throws `GuestFault` or `GuestAccess`. */
  read(linear: bigint, bytes: number, privilege: Privilege, stack = false): bigint {
    this.#checkAlignment(linear, bytes, privilege, stack);
    this.#watch(linear, bytes, false, privilege);
    let value = 0n;
    const whole = this.#inPage(linear, bytes);
    if (whole) {
      const physical = this.translate(linear, AccessKind.read, privilege, stack);
      const offset = this.#map.offsetOf(physical);
      if (offset < 0 && (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8)) {
        if (!this.#log.serve(physical, bytes, false, false)) awaitDevice();
        return BigInt.asUintN(bytes * 8, this.#log.access.data.getBigUint64(0, true));
      }
      for (let i = bytes - 1; i >= 0; i--) {
        value = value << 8n | BigInt(this.#readByte(physical + i));
      }
      return value;
    }
    const places = this.#places(linear, bytes, AccessKind.read, privilege, stack);
    for (let i = bytes - 1; i >= 0; i--) value = value << 8n | BigInt(this.#readByte(places[i]));
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
    const places = this.#places(linear, bytes, AccessKind.write, privilege, stack);
    if (this.#inPage(linear, bytes) && [1, 2, 4, 8].includes(bytes)) {
      const offset = this.#map.offsetOf(places[0]);
      if (offset < 0 || !this.#map.lastWritable) {
        if (!this.#log.serve(places[0], bytes, true, false, value)) awaitDevice();
        return;
      }
    }
    places.forEach((physical, i) =>
      this.#writeByte(physical, Number(value >> BigInt(8 * i) & 0xffn))
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
    if (privilege !== Privilege.user || !this.#aligns) return;
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
      if (offset >= 0) part.set(this.#bytes.subarray(offset, offset + part.length));
      else this.#eachWord(physical, part, false);
    });
  }

  /** The reverse of `readBytes`; nothing is written unless everything can be. */
  writeBytes(linear: bigint, from: Uint8Array, privilege: Privilege): void {
    this.#watch(linear, from.length, true, privilege);
    this.#inPages(linear, from, AccessKind.write, privilege, (physical, part) => {
      const offset = this.#map.offsetOf(physical);
      if (offset >= 0 && this.#map.lastWritable) {
        this.#bytes.set(part, offset);
        this.#wrote(offset, part.length);
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
