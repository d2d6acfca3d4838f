/**
 * LZ4 in the "legacy frame" that Linux kernels are packed in: a magic number, then blocks, each
 * preceded by its packed length. Own code, because all it takes is the block format.
 *
 * Reference: LZ4 Frame Format Description, "Legacy frame"; LZ4 Block Format Description.
 */

import { PackedDataError } from "./packed_data_error.ts";

/** With these four bytes, little-endian, a legacy frame begins. */
export const LZ4_LEGACY_MAGIC = 0x184c2102;
const MIN_MATCH = 4;

/**
 * Unpacks a legacy frame (with its magic number) into `output` and returns the bytes written.
 * Throws `PackedDataError` when the data are damaged or do not fit.
 */
export function unpackLz4Legacy(input: Uint8Array, output: Uint8Array): number {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  let from = 0;
  let written = 0;
  while (from + 4 <= input.length) {
    const length = view.getUint32(from, true);
    from += 4;
    // Frames may follow one another.
    if (length === LZ4_LEGACY_MAGIC) continue;
    if (length === 0) break;
    if (from + length > input.length) throw new PackedDataError("an LZ4 block is cut off");
    written = unpackBlock(input, from, from + length, output, written);
    from += length;
  }
  return written;
}

/** Unpacks one block; matches may reach back only as far as the block's own first byte. */
function unpackBlock(
  input: Uint8Array,
  from: number,
  end: number,
  output: Uint8Array,
  start: number,
): number {
  let at = start;
  while (from < end) {
    const token = input[from++];
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (from >= end) throw new PackedDataError("an LZ4 length is cut off");
        more = input[from++];
        literals += more;
      }
    }
    if (literals > end - from) throw new PackedDataError("LZ4 literals are cut off");
    if (literals > output.length - at) throw tooLarge();
    if (literals <= 32) {
      for (let i = 0; i < literals; i++) output[at + i] = input[from + i];
    } else output.set(input.subarray(from, from + literals), at);
    from += literals;
    at += literals;
    // The last sequence of a block is literals alone.
    if (from === end) break;
    if (end - from < 2) throw new PackedDataError("an LZ4 offset is cut off");
    const offset = input[from] | (input[from + 1] << 8);
    from += 2;
    if (offset === 0 || offset > at - start) {
      throw new PackedDataError("an LZ4 match reaches before its block");
    }
    let length = token & 15;
    if (length === 15) {
      let more = 255;
      while (more === 255) {
        if (from >= end) throw new PackedDataError("an LZ4 length is cut off");
        more = input[from++];
        length += more;
      }
    }
    length += MIN_MATCH;
    if (length > output.length - at) throw tooLarge();
    copyMatch(output, at, offset, length);
    at += length;
  }
  return at;
}

/** Source and target may overlap: then the bytes repeat with the period `offset`. */
function copyMatch(output: Uint8Array, at: number, offset: number, length: number): void {
  if (length > 32 && offset >= length) {
    output.copyWithin(at, at - offset, at - offset + length);
  } else {
    for (let i = at; i < at + length; i++) output[i] = output[i - offset];
  }
}

const tooLarge = () => new PackedDataError("the LZ4 data are longer than they claim");
