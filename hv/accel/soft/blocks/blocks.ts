/**
 * Blocks of decoded operations in memory 0, found by where their code lies in the machine's memory.
 *
 * A block lies in one page and is never moved. Its header, 32 bytes: page of the machine's memory;
 * offset in the page and code size; next block of the same hash; next block of the same page; length
 * in bytes and number of operations; executions until it is hot; what the first operation's handler is
 * when it neither counts them nor is translated (translator/). When memory under it is written, every operation is replaced by
 * one that looks up anew (`stale`), so that links to it need not be found; when room ends, all blocks
 * are forgotten together.
 */

import { OP, OP_BYTES } from "../codegen/operation.ts";
import { Decoding, Instruction, MAX_INSTRUCTION_BYTES } from "../decoder/decoder.ts";
import { lower, lowerSpecial, type Place } from "../decoder/lowering.ts";
import { BLOCK_COUNT, BLOCK_FIRST_HANDLER, BLOCK_HEADER_BYTES, HANDLERS } from "../interpreter.ts";
import { JumpCache } from "./jump_cache.ts";
import type { PhysicalMap } from "../memory/physical_map.ts";
import {
  BLOCK_HEADS,
  BLOCK_HEADS_BASE,
  BLOCKS_BASE,
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
/** Places in a block's header; see above. */
export const HEADER = {
  page: 0,
  where: 4,
  nextHash: 8,
  nextPage: 12,
  bytes: 16,
  operations: 20,
} as const;
/** Bits of code by the code size of the mode key. */
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
    this.#place = { data: this.#data, op: 0, start: 0 };
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
  at(offset: number, codeSize: number): number {
    const page = Math.floor(offset / PAGE);
    const where = offset % PAGE | codeSize << 16;
    const head = this.#hash(page, where);
    for (let block = this.#words[head]; block !== 0; block = this.#word(block, HEADER.nextHash)) {
      if (this.#word(block, HEADER.page) === page && this.#word(block, HEADER.where) === where) {
        return block;
      }
    }
    return this.#make(page, where, codeSize);
  }

  /** Length of a block's code, bytes. */
  lengthOf(block: number): number {
    return this.#word(block, HEADER.bytes);
  }

  /** Decodes one instruction from `bytes` into the temporary block. */
  single(bytes: Uint8Array, length: number, codeSize: number): Decoded {
    const place = this.#place;
    // Of no page: nothing may be linked from it.
    this.#words[TEMPORARY_BLOCK + HEADER.page >> 2] = -1;
    place.op = TEMPORARY_BLOCK + BLOCK_HEADER_BYTES;
    place.start = 0;
    const bits = CODE_BITS[codeSize];
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
    const retired: number[] = [];
    let before = this.#pageHead(page);
    for (let block = this.#words[before]; block !== 0;) {
      const next = this.#word(block, HEADER.nextPage);
      const start = this.#word(block, HEADER.where) & 0xffff;
      const mine = this.#word(block, HEADER.page) === page;
      if (mine && start < first + bytes && start + this.lengthOf(block) > first) {
        this.#words[before] = next;
        this.onForgotten(block);
        this.#retire(block);
        retired.push(block);
      } else {
        others ||= mine;
        before = block + HEADER.nextPage >> 2;
      }
      block = next;
    }
    if (retired.length > 0) {
      this.jumps.forgetBlocks(retired);
      this.#state.link = 0;
    }
    if (!others) this.#map.removeOwner(page, this.#index, this.#cpus);
  }

  #retire(block: number): void {
    const page = this.#word(block, HEADER.page);
    const where = this.#word(block, HEADER.where);
    let before = this.#hash(page, where);
    while (this.#words[before] !== block) before = this.#words[before] + HEADER.nextHash >> 2;
    this.#words[before] = this.#word(block, HEADER.nextHash);
    const stale = HANDLERS.get("stale")!;
    this.#words[block + BLOCK_FIRST_HANDLER >> 2] = stale;
    const operations = this.#word(block, HEADER.operations);
    for (let i = 0; i < operations; i++) {
      this.#words[block + BLOCK_HEADER_BYTES + i * OP_BYTES + OP.handler >> 2] = stale;
    }
  }

  #make(page: number, where: number, codeSize: number): number {
    if (this.#state.blockEnd + MAX_BLOCK_BYTES > PRIVATE_BYTES) this.flush();
    // Before it is read: what is written from here on is told.
    if (this.#map.addOwner(page, this.#index)) this.#onFirstCode(page);
    const block = this.#state.blockEnd;
    const from = page * PAGE + (where & 0xffff);
    const end = (page + 1) * PAGE;
    const bits = CODE_BITS[codeSize];
    const instruction = this.#instruction;
    const place = this.#place;
    let at = from;
    let count = 0;
    let open = true;
    let afterSti = 0;
    place.op = block + BLOCK_HEADER_BYTES;
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
    this.#enter(block, page, where, at - from, count + 1);
    return block;
  }

  #enter(block: number, page: number, where: number, bytes: number, operations: number): void {
    const words = this.#words;
    const at = block >> 2;
    const head = this.#hash(page, where);
    const pageHead = this.#pageHead(page);
    words[at + (HEADER.page >> 2)] = page;
    words[at + (HEADER.where >> 2)] = where;
    words[at + (HEADER.nextHash >> 2)] = words[head];
    words[at + (HEADER.nextPage >> 2)] = words[pageHead];
    words[at + (HEADER.bytes >> 2)] = bytes;
    words[at + (HEADER.operations >> 2)] = operations;
    const first = block + BLOCK_HEADER_BYTES + OP.handler >> 2;
    words[block + BLOCK_FIRST_HANDLER >> 2] = words[first];
    if (this.#hotAfter > 0) {
      words[block + BLOCK_COUNT >> 2] = this.#hotAfter;
      words[first] = COUNT;
    }
    words[head] = block;
    words[pageHead] = block;
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
