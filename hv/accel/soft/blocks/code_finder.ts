/**
 * From `rip` to a block of decoded operations: translation, the jump cache, and instructions that no
 * block can hold (at the end of CS, outside of memory).
 */

import type { Blocks } from "./blocks.ts";
import type { Breakpoints } from "../events/breakpoints.ts";
import { Decoding, MAX_INSTRUCTION_BYTES } from "../decoder/decoder.ts";
import { fault, GuestFault, Vector } from "../events/faults.ts";
import type { LinearMemory } from "../memory/memory.ts";
import { AccessKind, Privilege } from "../memory/paging.ts";
import type { PhysicalMap } from "../memory/physical_map.ts";
import {
  AT,
  CodeSize,
  MODE_CODE,
  Seg,
  SEGMENT,
  segmentAt,
  type SoftState,
} from "../state/state.ts";

const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const PAGE = 4096;
/** Words of memory 0. */
const RIP_LOW = AT.rip >> 2;
const RIP_HIGH = RIP_LOW + 1;
const CS_BASE = segmentAt(Seg.cs) + SEGMENT.base >> 2;

/** What code is found with. */
export interface CodeSources {
  readonly state: SoftState;
  /** Memory 0. */
  readonly words: Int32Array;
  readonly memory: LinearMemory;
  readonly blocks: Blocks;
  readonly map: PhysicalMap;
  /** The machine's memory. */
  readonly guest: Uint8Array;
  readonly breakpoints: Breakpoints;
}

/** See above. */
export class CodeFinder {
  readonly #from: CodeSources;
  readonly #fetched = new Uint8Array(MAX_INSTRUCTION_BYTES);

  constructor(sources: CodeSources) {
    this.#from = sources;
  }

  /** The block at `rip`. Throws `GuestFault` where nothing can be fetched. */
  find(): number {
    const { state, map, memory, blocks, breakpoints } = this.#from;
    if (breakpoints.isCodePageWatched()) {
      breakpoints.checkCode(state.shadow);
      return this.single();
    }
    const offset = map.offsetOf(this.#address(0));
    if (offset >= 0) {
      const isGlobal = memory.translatedGlobally;
      const kind = state.modeKey & MODE_CODE;
      const block = blocks.at(offset, kind);
      if (block !== 0 && this.#withinLimit(blocks.lengthOf(block))) {
        this.#remember(block, isGlobal);
        return block;
      }
      const across = block !== 0 ? 0 : blocks.across(offset, kind, () => this.#nextPage(offset)) ||
        this.#makeAcross(offset);
      if (across !== 0 && this.#withinLimit(blocks.lengthOf(across))) {
        this.#remember(across, isGlobal && memory.translatedGlobally);
        return across;
      }
    }
    return this.single();
  }

  /** Where the page after the one of `offset` lies in the machine's memory; negative: nowhere. */
  #nextPage(offset: number): number {
    return this.#from.map.offsetOf(this.#address(PAGE - offset % PAGE));
  }

  /** A block of the instruction at `offset` if it is one that goes on in the next page; else 0. */
  #makeAcross(offset: number): number {
    const { state, guest, blocks } = this.#from;
    const kind = state.modeKey & MODE_CODE;
    const inFirst = PAGE - offset % PAGE;
    if (inFirst >= MAX_INSTRUCTION_BYTES) return 0;
    blocks.claim(offset);
    const bytes = this.#fetched;
    bytes.set(guest.subarray(offset, offset + inFirst));
    // The next page is touched only when the instruction is known to go on there.
    if (blocks.single(bytes, inFirst, kind).result !== Decoding.more) return 0;
    const second = this.#nextPage(offset);
    if (second < 0) return 0;
    blocks.claim(second);
    bytes.set(guest.subarray(second, second + MAX_INSTRUCTION_BYTES - inFirst), inFirst);
    return blocks.makeAcross(bytes, offset, second, kind);
  }

  /**
   * Decodes the instruction at `rip` alone, wherever it lies, into the temporary block. Throws
   * `GuestFault` where it cannot be fetched.
   */
  single(): number {
    const { state, map, guest, blocks } = this.#from;
    const kind = state.modeKey & MODE_CODE;
    const bytes = this.#fetched;
    let physical = this.#address(0);
    let length = 0;
    for (;; physical++) {
      const offset = map.offsetOf(physical);
      // Where there is no memory the bus reads ones.
      bytes[length++] = offset < 0 ? 0xff : guest[offset];
      const full = length === MAX_INSTRUCTION_BYTES;
      if (!full && (physical + 1) % PAGE !== 0) continue;
      const { block, result, length: used } = blocks.single(bytes, length, kind);
      if (full || result !== Decoding.more) {
        const tooLong = result === Decoding.tooLong || result === Decoding.more;
        if (tooLong || !this.#withinLimit(used)) fault(state, Vector.generalProtection, 0);
        return block;
      }
      // The next page is touched only now that the instruction is known to go on there.
      physical = this.#address(length) - 1;
    }
  }

  /** The bytes at `rip`, up to the longest instruction's, as far as they can be read. */
  bytes(): Uint8Array {
    const { map, guest } = this.#from;
    const bytes = new Uint8Array(MAX_INSTRUCTION_BYTES);
    let length = 0;
    try {
      let physical = this.#address(0);
      for (; length < bytes.length; physical++) {
        if (length > 0 && physical % PAGE === 0) physical = this.#address(length);
        const offset = map.offsetOf(physical);
        if (offset < 0) break;
        bytes[length++] = guest[offset];
      }
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
    }
    return bytes.subarray(0, length);
  }

  /** Physical address of the code byte `distance` bytes from `rip`. */
  #address(distance: number): number {
    const { state, words, memory } = this.#from;
    const long = (state.modeKey & 3) === CodeSize.bits64;
    const low = (words[RIP_LOW] >>> 0) + distance + (long ? 0 : words[CS_BASE] >>> 0);
    const high = long ? words[RIP_HIGH] + (low > 0xffff_ffff ? 1 : 0) | 0 : 0;
    const privilege = state.cpl === 3 ? Privilege.user : Privilege.supervisor;
    return memory.translateHalves(high, low | 0, AccessKind.execute, privilege);
  }

  #withinLimit(bytes: number): boolean {
    const { rip, ripLimit } = this.#from.state;
    return ripLimit === ALL_ONES || rip + BigInt(Math.max(bytes, 1) - 1) <= ripLimit;
  }

  /** Puts a block into the jump cache. */
  #remember(block: number, isGlobal: boolean): void {
    const { state, words, blocks } = this.#from;
    // As generated code adds them up: in 64 bits, whatever the mode.
    const sum = (words[RIP_LOW] >>> 0) + (words[CS_BASE] >>> 0);
    const high = words[RIP_HIGH] + words[CS_BASE + 1] + (sum > 0xffff_ffff ? 1 : 0) | 0;
    blocks.jumps.remember(high, sum | 0, state.modeKey, block, isGlobal);
  }
}
