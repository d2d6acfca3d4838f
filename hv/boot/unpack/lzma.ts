/**
 * LZMA: range decoder, literals, matches. The output buffer is the dictionary, so a hostile header
 * cannot ask for memory.
 *
 * Reference: LZMA specification (LZMA SDK, lzma-specification.txt): the names of the probability
 * groups are its.
 */

import { PackedDataError } from "./packed_data_error.ts";

const STATES = 12;
const PROB_INIT = 1024;
const END_MARKER = 0xffff_ffff;
const POS_STATES_MAX = 16;
const ALIGN_BITS = 4;
const FULL_DISTANCES = 128;

// Offsets of the groups in one table of probabilities.
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POS_STATES_MAX;
const IS_REP_G0 = IS_REP + STATES;
const IS_REP_G1 = IS_REP_G0 + STATES;
const IS_REP_G2 = IS_REP_G1 + STATES;
const IS_REP0_LONG = IS_REP_G2 + STATES;
const POS_SLOT = IS_REP0_LONG + STATES * POS_STATES_MAX;
const POS_SPECIAL = POS_SLOT + 4 * 64;
const ALIGN = POS_SPECIAL + FULL_DISTANCES;
const LENGTH = ALIGN + (1 << ALIGN_BITS);
const LENGTH_LOW = 2;
const LENGTH_MID = LENGTH_LOW + POS_STATES_MAX * 8;
const LENGTH_HIGH = LENGTH_MID + POS_STATES_MAX * 8;
const LENGTH_SIZE = LENGTH_HIGH + 256;
const REP_LENGTH = LENGTH + LENGTH_SIZE;
const LITERAL = REP_LENGTH + LENGTH_SIZE;

/** A decoder from `input` to `output`; LZMA2 (see xz.ts) drives it chunk by chunk. */
export class LzmaDecoder {
  readonly #input: Uint8Array;
  readonly #output: Uint8Array;
  #from = 0;
  #limit = 0;
  #range = 0;
  #code = 0;
  #probs: Uint16Array = new Uint16Array(0);
  #lc = 0;
  #literalPosMask = 0;
  #posMask = 0;
  #state = 0;
  #rep0 = 0;
  #rep1 = 0;
  #rep2 = 0;
  #rep3 = 0;
  /** Bytes written to the output so far. */
  written = 0;
  /** Where in the output the dictionary begins: no match reaches before it. */
  dictionaryStart = 0;

  constructor(input: Uint8Array, output: Uint8Array) {
    this.#input = input;
    this.#output = output;
  }

  /** Whether `setProperties` has been called. */
  get ready(): boolean {
    return this.#probs.length > 0;
  }

  /** Takes the byte (pb * 5 + lp) * 9 + lc and resets the state. */
  setProperties(properties: number): void {
    if (properties >= 9 * 5 * 5) throw new PackedDataError("LZMA properties are out of range");
    this.#lc = properties % 9;
    const rest = Math.floor(properties / 9);
    const lp = rest % 5;
    this.#literalPosMask = (1 << lp) - 1;
    this.#posMask = (1 << Math.floor(rest / 5)) - 1;
    const size = LITERAL + (0x300 << (this.#lc + lp));
    if (this.#probs.length !== size) this.#probs = new Uint16Array(size);
    this.resetState();
  }

  resetState(): void {
    this.#probs.fill(PROB_INIT);
    this.#state = 0;
    this.#rep0 =
      this.#rep1 =
      this.#rep2 =
      this.#rep3 =
        0;
  }

  /** Starts the range decoder on input bytes `from` up to `limit`. */
  start(from: number, limit: number): void {
    if (limit > this.#input.length || from + 5 > limit) {
      throw new PackedDataError("the LZMA data are cut off");
    }
    if (this.#input[from] !== 0) throw new PackedDataError("the LZMA data are damaged");
    this.#range = 0xffff_ffff | 0;
    this.#code = 0;
    for (let i = 1; i < 5; i++) this.#code = (this.#code << 8) | this.#input[from + i];
    this.#from = from + 5;
    this.#limit = limit;
  }

  /** Decodes until `end` bytes are written; false when an end marker came before. */
  decode(end: number): boolean {
    const output = this.#output;
    if (end > output.length) throw new PackedDataError("the LZMA data are longer than they claim");
    while (this.written < end) {
      const position = this.written - this.dictionaryStart;
      const posState = position & this.#posMask;
      const state = this.#state;
      if (this.#bit(IS_MATCH + state * POS_STATES_MAX + posState) === 0) {
        this.#literal(position);
        continue;
      }
      let length: number;
      if (this.#bit(IS_REP + state) === 0) {
        this.#rep3 = this.#rep2;
        this.#rep2 = this.#rep1;
        this.#rep1 = this.#rep0;
        length = this.#length(LENGTH, posState);
        this.#state = state < 7 ? 7 : 10;
        this.#rep0 = this.#distance(length);
        if (this.#rep0 === END_MARKER) return false;
      } else if (this.#repeatedMatch(state, posState)) {
        length = this.#length(REP_LENGTH, posState);
        this.#state = state < 7 ? 8 : 11;
      } else {
        length = 1;
        this.#state = state < 7 ? 9 : 11;
      }
      if (this.#rep0 >= position) throw new PackedDataError("an LZMA match reaches too far back");
      if (length > end - this.written) throw new PackedDataError("an LZMA match is too long");
      this.#copy(length);
    }
    return true;
  }

  /** Whether the end marker is what comes next; afterwards nothing can be decoded any more. */
  endMarkerFollows(): boolean {
    const posState = (this.written - this.dictionaryStart) & this.#posMask;
    return this.#bit(IS_MATCH + this.#state * POS_STATES_MAX + posState) === 1 &&
      this.#bit(IS_REP + this.#state) === 0 &&
      this.#distance(this.#length(LENGTH, posState)) === END_MARKER;
  }

  /** Moves the repeated distance that the bits name to the front; false: one byte from rep0. */
  #repeatedMatch(state: number, posState: number): boolean {
    if (this.#bit(IS_REP_G0 + state) === 0) {
      return this.#bit(IS_REP0_LONG + state * POS_STATES_MAX + posState) !== 0;
    }
    let distance = this.#rep1;
    if (this.#bit(IS_REP_G1 + state) !== 0) {
      distance = this.#rep2;
      if (this.#bit(IS_REP_G2 + state) !== 0) {
        distance = this.#rep3;
        this.#rep3 = this.#rep2;
      }
      this.#rep2 = this.#rep1;
    }
    this.#rep1 = this.#rep0;
    this.#rep0 = distance;
    return true;
  }

  #copy(length: number): void {
    const output = this.#output;
    const at = this.written;
    const source = at - this.#rep0 - 1;
    if (length > 32 && source + length <= at) output.copyWithin(at, source, source + length);
    else for (let i = 0; i < length; i++) output[at + i] = output[source + i];
    this.written = at + length;
  }

  #literal(position: number): void {
    const output = this.#output;
    const previous = position > 0 ? output[this.written - 1] : 0;
    const context = ((position & this.#literalPosMask) << this.#lc) +
      (previous >> (8 - this.#lc));
    const probs = LITERAL + 0x300 * context;
    let symbol = 1;
    if (this.#state >= 7) {
      if (this.#rep0 >= position) throw new PackedDataError("an LZMA match reaches too far back");
      let matched = output[this.written - this.#rep0 - 1];
      while (symbol < 0x100) {
        const matchBit = (matched >> 7) & 1;
        matched <<= 1;
        const bit = this.#bit(probs + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (matchBit !== bit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(probs + symbol);
    output[this.written++] = symbol & 0xff;
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  #length(probs: number, posState: number): number {
    if (this.#bit(probs) === 0) return 2 + this.#tree(probs + LENGTH_LOW + posState * 8, 3);
    if (this.#bit(probs + 1) === 0) return 10 + this.#tree(probs + LENGTH_MID + posState * 8, 3);
    return 18 + this.#tree(probs + LENGTH_HIGH, 8);
  }

  #distance(length: number): number {
    const slot = this.#tree(POS_SLOT + Math.min(length - 2, 3) * 64, 6);
    if (slot < 4) return slot;
    const directBits = (slot >> 1) - 1;
    let distance = (2 | (slot & 1)) << directBits;
    if (slot < 14) {
      return distance + this.#reverseTree(POS_SPECIAL + distance - slot, directBits);
    }
    for (let i = directBits - 1; i >= ALIGN_BITS; i--) distance += this.#direct() << i;
    return (distance + this.#reverseTree(ALIGN, ALIGN_BITS)) >>> 0;
  }

  #tree(probs: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.#bit(probs + symbol);
    return symbol - (1 << bits);
  }

  #reverseTree(probs: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(probs + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #normalize(): void {
    if (this.#range >>> 24 !== 0) return;
    if (this.#from >= this.#limit) throw new PackedDataError("the LZMA data are cut off");
    this.#range <<= 8;
    this.#code = (this.#code << 8) | this.#input[this.#from++];
  }

  #bit(index: number): number {
    this.#normalize();
    const probs = this.#probs;
    const prob = probs[index];
    const bound = Math.imul(this.#range >>> 11, prob);
    // Range and code are kept as signed words, which are fast; the comparison is unsigned.
    if ((this.#code ^ 0x8000_0000) < (bound ^ 0x8000_0000)) {
      this.#range = bound;
      probs[index] = prob + ((2048 - prob) >> 5);
      return 0;
    }
    this.#range = (this.#range - bound) | 0;
    this.#code = (this.#code - bound) | 0;
    probs[index] = prob - (prob >> 5);
    return 1;
  }

  #direct(): number {
    this.#normalize();
    this.#range >>>= 1;
    if (this.#code >>> 0 < this.#range) return 0;
    this.#code = (this.#code - this.#range) | 0;
    return 1;
  }
}

/**
 * Unpacks an `.lzma` file (properties, dictionary size, length, data) and returns the bytes
 * written. Throws `PackedDataError`.
 */
export function unpackLzmaAlone(input: Uint8Array, output: Uint8Array): number {
  const header = 13;
  if (input.length < header) throw new PackedDataError("the LZMA header is cut off");
  const decoder = new LzmaDecoder(input, output);
  decoder.setProperties(input[0]);
  decoder.start(header, input.length);
  const unknownLength = input.subarray(5, header).every((byte) => byte === 0xff);
  if (decoder.decode(output.length) && unknownLength && !decoder.endMarkerFollows()) {
    throw new PackedDataError("the LZMA data are longer than they claim");
  }
  const view = new DataView(input.buffer, input.byteOffset, header);
  if (!unknownLength && view.getBigUint64(5, true) !== BigInt(decoder.written)) {
    throw new PackedDataError("the LZMA header claims another length");
  }
  return decoder.written;
}
