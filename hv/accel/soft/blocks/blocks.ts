/**
 * Blocks of decoded operations in memory 0, found by where their code lies in the machine's memory.
 *
 * A block lies in one page and is never moved. When memory under it is written, every operation is
 * replaced by one that looks up anew (`stale`), so that neither links to it nor its entry in the jump
 * cache need be found; when room ends, all blocks are forgotten together.
 *
 * An instruction across two pages is a block of its own that both pages own: a second header, behind
 * its operations, is in the list of the second page. It holds as long as the linear page that follows
 * leads there, which whoever finds it has to ask; nothing is linked with it.
 */

import { OP, OP_BYTES } from "../codegen/operation.ts";
import { Decoding, Instruction, MAX_INSTRUCTION_BYTES } from "../decoder/decoder.ts";
import { lower, lowerSpecial, type Place } from "../decoder/lowering.ts";
import { HANDLERS } from "../interpreter.ts";
import { BLOCK_HEADER_BYTES, HEADER, NO_PAGE } from "./header.ts";
import { JumpCache } from "./jump_cache.ts";
import type { PhysicalMap } from "../memory/physical_map.ts";
import {
  BLOCK_HEADS,
  BLOCK_HEADS_BASE,
  BLOCKS_BASE,
  MODE_FLAT,
  PAGE_HEADS,
  PAGE_HEADS_BASE,
  PRIVATE_BYTES,
  type SoftState,
  TEMPORARY_BLOCK,
} from "../state/state.ts";

const PAGE = 4096;
const MAX_OPERATIONS = 64;
const MAX_BLOCK_BYTES = BLOCK_HEADER_BYTES + (MAX_OPERATIONS + 1) * OP_BYTES;
const COUNT = HANDLERS.get("count")!;
/** Bits of code by the code size of the mode key; `kind` below is its part `MODE_CODE`. */
export const CODE_BITS = [16, 32, 64] as const;

/** What decoding one instruction gave. */
export interface Decoded {
  readonly block: number;
  readonly result: Decoding;
  /** Length in bytes. */
  readonly length: number;
}

/** See above. */
export class Blocks {
  readonly #state: SoftState;
  readonly #words: Int32Array;
  readonly #data: DataView;
  readonly #map: PhysicalMap;
  readonly #guest: Uint8Array;
  readonly #instruction: Instruction;
  readonly #place: Place;
  /** Called before the first block of a page is made. */
  readonly #onFirstCode: (page: number) => void;
  /** Called before a block is forgotten, or all are. */
  onForgotten: (block?: number) => void = () => {};
  readonly jumps: JumpCache;
  readonly #index: number;
  readonly #cpus: number;
  readonly #hotAfter: number;

  constructor(options: {
    readonly state: SoftState;
    readonly words: Int32Array;
    readonly map: PhysicalMap;
    readonly guest: Uint8Array;
    readonly features: ReadonlySet<string>;
    readonly onFirstCode: (page: number) => void;
    /** Number of the processor, and how many there are. */
    readonly index: number;
    readonly cpus: number;
    /** Executions after which a block counts as hot; 0: never. */
    readonly hotAfter: number;
  }) {
    this.#index = options.index;
    this.#cpus = options.cpus;
    this.#hotAfter = options.hotAfter;
    this.#state = options.state;
    this.#words = options.words;
    this.jumps = new JumpCache(options.words);
    this.#data = new DataView(options.words.buffer);
    this.#map = options.map;
    this.#guest = options.guest;
    this.#instruction = new Instruction(options.features);
    this.#place = { data: this.#data, op: 0, start: 0, flat: false };
    this.#onFirstCode = options.onFirstCode;
  }

  /** Forgets the linear addresses of all blocks. */
  flushJumps(): void {
    this.jumps.flush();
    this.#state.link = 0;
  }

  /** Forgets all blocks. */
  flush(): void {
    this.onForgotten();
    this.flushJumps();
    this.#words.fill(0, BLOCK_HEADS_BASE >> 2, (BLOCK_HEADS_BASE >> 2) + BLOCK_HEADS);
    this.#words.fill(0, PAGE_HEADS_BASE >> 2, (PAGE_HEADS_BASE >> 2) + PAGE_HEADS);
    this.#state.blockEnd = BLOCKS_BASE;
  }

  /** The block for the code at `offset` in the machine's memory; 0 if its first instruction does
   * not lie in this page alone, or is none. */
  at(offset: number, kind: number): number {
    const page = Math.floor(offset / PAGE);
    const where = offset % PAGE | kind << 16;
    const head = this.#hash(page, where);
    for (let block = this.#words[head]; block !== 0; block = this.#word(block, HEADER.nextHash)) {
      const isHere = this.#word(block, HEADER.page) === page &&
        this.#word(block, HEADER.where) === where;
      if (isHere && this.#word(block, HEADER.second) === NO_PAGE) return block;
    }
    return this.#make(page, where, kind);
  }

  /**
   * The block of the one instruction at `offset` in the machine's memory that goes on in another page;
   * 0 if there is none. `second` gives where that page lies now, and is asked at most once.
   */
  across(offset: number, kind: number, second: () => number): number {
    const page = Math.floor(offset / PAGE);
    const where = offset % PAGE | kind << 16;
    let there: number | undefined;
    let block = this.#words[this.#hash(page, where)];
    for (; block !== 0; block = this.#word(block, HEADER.nextHash)) {
      if (this.#word(block, HEADER.page) !== page) continue;
      if (this.#word(block, HEADER.where) !== where) continue;
      const goesOn = this.#word(block, HEADER.second);
      if (goesOn === NO_PAGE) continue;
      there ??= Math.floor(second() / PAGE);
      if (goesOn === there) return block;
    }
    return 0;
  }

  /**
   * Makes a block of the one instruction of `bytes` that begins at `offset` in the machine's memory and
   * goes on in the page of `second`; 0 if it is none. Both have been claimed by `claim` before they
   * were read.
   */
  makeAcross(bytes: Uint8Array, offset: number, second: number, kind: number): number {
    if (this.#state.blockEnd + MAX_BLOCK_BYTES > PRIVATE_BYTES) this.flush();
    const place = this.#place;
    const block = this.#state.blockEnd;
    const bits = this.#begin(block, kind);
    if (this.#instruction.decode(bytes, 0, bytes.length, bits) !== Decoding.ok) return 0;
    lower(this.#instruction, bits, place);
    place.op += OP_BYTES;
    place.start = this.#instruction.length;
    lowerSpecial("continue.64.", place);
    const other = place.op + OP_BYTES;
    this.#state.blockEnd = other + BLOCK_HEADER_BYTES;
    const inFirst = PAGE - offset % PAGE;
    this.#enter(block, {
      page: Math.floor(offset / PAGE),
      where: offset % PAGE | kind << 16,
      bytes: inFirst,
      operations: 2,
      second: Math.floor(second / PAGE),
    });
    this.#words[block + HEADER.other >> 2] = other;
    this.#words[other + HEADER.page >> 2] = Math.floor(second / PAGE);
    this.#words[other + HEADER.where >> 2] = 0;
    this.#words[other + HEADER.bytes >> 2] = this.#instruction.length - inFirst;
    this.#words[other + HEADER.operations >> 2] = 0;
    this.#words[other + HEADER.other >> 2] = block;
    this.#listByPage(other);
    return block;
  }

  /** Before code in the page of `offset` is read: what is written there from now on is told. */
  claim(offset: number): void {
    const page = Math.floor(offset / PAGE);
    if (this.#map.addOwner(page, this.#index)) this.#onFirstCode(page);
  }

  /** Length of a block's code, bytes. */
  lengthOf(block: number): number {
    const other = this.#word(block, HEADER.other);
    return this.#word(block, HEADER.bytes) + (other === 0 ? 0 : this.#word(other, HEADER.bytes));
  }

  /** Decodes one instruction from `bytes` into the temporary block. */
  single(bytes: Uint8Array, length: number, kind: number): Decoded {
    const place = this.#place;
    this.#words[TEMPORARY_BLOCK + HEADER.linkPage >> 2] = NO_PAGE;
    const bits = this.#begin(TEMPORARY_BLOCK, kind);
    const result = this.#instruction.decode(bytes, 0, length, bits);
    if (result === Decoding.ok) {
      lower(this.#instruction, bits, place);
      place.start = this.#instruction.length;
    } else lowerSpecial("undefined", place);
    place.op += OP_BYTES;
    lowerSpecial("stop", place);
    return { block: TEMPORARY_BLOCK, result, length: this.#instruction.length };
  }

  /** Marks the blocks stale whose code overlaps `bytes` bytes at `offset` of the memory. */
  invalidate(offset: number, bytes: number): void {
    const page = Math.floor(offset / PAGE);
    const first = offset % PAGE;
    let others = false;
    const overlapping: number[] = [];
    let at = this.#words[this.#pageHead(page)];
    for (; at !== 0; at = this.#word(at, HEADER.nextPage)) {
      if (this.#word(at, HEADER.page) !== page) continue;
      const start = this.#word(at, HEADER.where) & 0xffff;
      const end = start + this.#word(at, HEADER.bytes);
      if (start >= first + bytes || end <= first) others = true;
      else {
        const isBlock = this.#word(at, HEADER.operations) !== 0;
        overlapping.push(isBlock ? at : this.#word(at, HEADER.other));
      }
    }
    for (const block of new Set(overlapping)) {
      this.onForgotten(block);
      this.#retire(block);
    }
    if (overlapping.length > 0) this.#state.link = 0;
    if (!others) this.#map.removeOwner(page, this.#index, this.#cpus);
  }

  #retire(block: number): void {
    const head = this.#hash(this.#word(block, HEADER.page), this.#word(block, HEADER.where));
    this.#takeOut(block, head, HEADER.nextHash);
    const other = this.#word(block, HEADER.other);
    for (const part of other === 0 ? [block] : [block, other]) {
      this.#takeOut(part, this.#pageHead(this.#word(part, HEADER.page)), HEADER.nextPage);
    }
    const stale = HANDLERS.get("stale")!;
    this.#words[block + HEADER.firstHandler >> 2] = stale;
    const operations = this.#word(block, HEADER.operations);
    for (let i = 0; i < operations; i++) {
      this.#words[block + BLOCK_HEADER_BYTES + i * OP_BYTES + OP.handler >> 2] = stale;
    }
  }

  /** Takes `block` out of the list that begins at word `head` and goes on by field `next`. */
  #takeOut(block: number, head: number, next: number): void {
    let before = head;
    while (this.#words[before] !== block) before = this.#words[before] + next >> 2;
    this.#words[before] = this.#word(block, next);
  }

  #make(page: number, where: number, kind: number): number {
    if (this.#state.blockEnd + MAX_BLOCK_BYTES > PRIVATE_BYTES) this.flush();
    this.claim(page * PAGE);
    const block = this.#state.blockEnd;
    const from = page * PAGE + (where & 0xffff);
    const end = (page + 1) * PAGE;
    const bits = this.#begin(block, kind);
    const instruction = this.#instruction;
    const place = this.#place;
    let at = from;
    let count = 0;
    let open = true;
    let afterSti = 0;
    while (open && count < MAX_OPERATIONS) {
      const limit = Math.min(end, at + MAX_INSTRUCTION_BYTES);
      place.start = at - from;
      const result = instruction.decode(this.#guest, at, limit, bits);
      if (result !== Decoding.ok) {
        // At the block's start the caller finds out what it is; else the next block begins here.
        break;
      }
      lower(instruction, bits, place);
      // What follows is in the same block: see `sti` in instructions/mostly_generated.ts.
      if (afterSti !== 0) this.#data.setInt32(afterSti + OP.immediate, 1, true);
      afterSti = instruction.entry.name === "sti" ? place.op : 0;
      place.op += OP_BYTES;
      at += instruction.length;
      count++;
      open = !instruction.entry.endsBlock;
    }
    if (count === 0) return 0;
    place.start = at - from;
    // After instructions that end a block as well: a service may let it go on.
    lowerSpecial("continue.64.", place);
    place.op += OP_BYTES;
    this.#state.blockEnd = place.op;
    this.#enter(block, {
      page,
      where,
      bytes: at - from,
      operations: count + 1,
      second: NO_PAGE,
    });
    return block;
  }

  /** The first operation of `block` is written next, for code of `kind`; gives the code's bits. */
  #begin(block: number, kind: number): 16 | 32 | 64 {
    const place = this.#place;
    place.op = block + BLOCK_HEADER_BYTES;
    place.start = 0;
    place.flat = (kind & MODE_FLAT) !== 0;
    return CODE_BITS[kind & 3];
  }

  /** Fills a block's header, and lists it. */
  #enter(
    block: number,
    fields: Pick<
      Record<keyof typeof HEADER, number>,
      "page" | "where" | "bytes" | "operations" | "second"
    >,
  ): void {
    const words = this.#words;
    const { page, where, second } = fields;
    const head = this.#hash(page, where);
    words[block + HEADER.page >> 2] = page;
    words[block + HEADER.where >> 2] = where;
    words[block + HEADER.bytes >> 2] = fields.bytes;
    words[block + HEADER.operations >> 2] = fields.operations;
    words[block + HEADER.second >> 2] = second;
    words[block + HEADER.linkPage >> 2] = second === NO_PAGE ? page : NO_PAGE;
    words[block + HEADER.other >> 2] = 0;
    words[block + HEADER.nextHash >> 2] = words[head];
    words[head] = block;
    this.#listByPage(block);
    const first = block + BLOCK_HEADER_BYTES + OP.handler >> 2;
    words[block + HEADER.firstHandler >> 2] = words[first];
    if (this.#hotAfter > 0) {
      words[block + HEADER.count >> 2] = this.#hotAfter;
      words[first] = COUNT;
    }
  }

  #listByPage(header: number): void {
    const head = this.#pageHead(this.#word(header, HEADER.page));
    this.#words[header + HEADER.nextPage >> 2] = this.#words[head];
    this.#words[head] = header;
  }

  #word(block: number, field: number): number {
    return this.#words[block + field >> 2];
  }

  #hash(page: number, where: number): number {
    const mixed = Math.imul(page, 0x9e37_79b1) ^ Math.imul(where, 0x85eb_ca6b);
    return (BLOCK_HEADS_BASE >> 2) + ((mixed ^ mixed >>> 15) & (BLOCK_HEADS - 1));
  }

  #pageHead(page: number): number {
    return (PAGE_HEADS_BASE >> 2) + (page & (PAGE_HEADS - 1));
  }
}
