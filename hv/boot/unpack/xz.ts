/**
 * XZ as Linux kernels are packed in it: one stream, LZMA2 with or without the x86 filter. Kernels
 * are made with the CRC-32 check, which is verified; other checks are skipped.
 *
 * Reference: .xz file format 1.2, chapters 2 and 3; LZMA2 chunk headers as in XZ Utils.
 */

import { crc32 } from "node:zlib";
import { unfilterX86 } from "./bcj_x86.ts";
import { LzmaDecoder } from "./lzma.ts";
import { PackedDataError } from "./packed_data_error.ts";

const STREAM_HEADER = 12;
const CHECK_CRC32 = 1;
/** Bytes of a block's check, by the check's number (2.1.1.2). */
const CHECK_LENGTHS = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;
const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;

const damaged = (what: string) => new PackedDataError(`the XZ data are damaged: ${what}`);

/** Unpacks the first stream of `input` and returns the bytes written. Throws `PackedDataError`. */
export function unpackXz(input: Uint8Array, output: Uint8Array): number {
  if (input.length < STREAM_HEADER) throw damaged("the stream header is cut off");
  const check = input[7] & 0x0f;
  let from = STREAM_HEADER;
  let written = 0;
  // A block header begins with its size; the index, which ends the stream, with 0.
  while (from < input.length && input[from] !== 0) {
    const headerLength = (input[from] + 1) * 4;
    const x86 = readBlockHeader(input, from, headerLength);
    const start = written;
    const decoder = new LzmaDecoder(input, output);
    decoder.written = start;
    from = unpackLzma2(decoder, input, output, from + headerLength);
    written = decoder.written;
    if (x86) unfilterX86(output.subarray(start, written));
    from += (4 - (from & 3)) & 3;
    if (from + CHECK_LENGTHS[check] > input.length) throw damaged("a block's check is cut off");
    if (check === CHECK_CRC32) {
      const view = new DataView(input.buffer, input.byteOffset + from, 4);
      if (crc32(output.subarray(start, written)) !== view.getUint32(0, true)) {
        throw damaged("the checksum is wrong");
      }
    }
    from += CHECK_LENGTHS[check];
  }
  return written;
}

/** Reads the filters of a block (3.1); answers whether the x86 filter is among them. */
function readBlockHeader(input: Uint8Array, start: number, length: number): boolean {
  const end = start + length - 4;
  if (end > input.length) throw damaged("a block header is cut off");
  let at = start + 2;
  const integer = (): number => {
    let value = 0;
    for (let shift = 0; shift < 49; shift += 7) {
      if (at >= end) throw damaged("a block header is too short");
      const byte = input[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw damaged("a number is too long");
  };
  const flags = input[start + 1];
  if (flags & 0x40) integer();
  if (flags & 0x80) integer();
  const filters: number[] = [];
  for (let i = 0; i <= (flags & 3); i++) {
    filters.push(integer());
    const propertiesLength = integer();
    at += propertiesLength;
  }
  if (filters.at(-1) !== FILTER_LZMA2) throw damaged("a block is not packed with LZMA2");
  if (filters.length === 1) return false;
  if (filters.length === 2 && filters[0] === FILTER_X86) return true;
  throw damaged(`unknown filter ${filters[0]}`);
}

/** Decodes LZMA2 chunks from `from` and returns the offset behind the end marker. */
function unpackLzma2(
  decoder: LzmaDecoder,
  input: Uint8Array,
  output: Uint8Array,
  from: number,
): number {
  let hasDictionary = false;
  while (from < input.length) {
    const control = input[from];
    if (control === 0) return from + 1;
    const isPacked = control >= 0x80;
    const resets = isPacked ? (control >> 5) & 3 : control === 1 ? 3 : 0;
    const header = isPacked ? (resets >= 2 ? 6 : 5) : 3;
    if (control > 2 && !isPacked) throw damaged("unknown LZMA2 chunk");
    if (from + header > input.length) throw damaged("an LZMA2 chunk is cut off");
    if (resets === 3) {
      decoder.dictionaryStart = decoder.written;
      hasDictionary = true;
    }
    if (!hasDictionary) throw damaged("the first LZMA2 chunk does not begin a dictionary");
    const word = (offset: number) => (input[from + offset] << 8) | input[from + offset + 1];
    if (isPacked) {
      const unpacked = ((control & 0x1f) << 16) + word(1) + 1;
      const packed = word(3) + 1;
      if (resets >= 2) decoder.setProperties(input[from + 5]);
      else if (!decoder.ready) throw damaged("the first LZMA2 chunk has no properties");
      else if (resets === 1) decoder.resetState();
      from += header;
      decoder.start(from, from + packed);
      if (!decoder.decode(decoder.written + unpacked)) throw damaged("unexpected end marker");
      from += packed;
    } else {
      const length = word(1) + 1;
      from += header;
      if (from + length > input.length) throw damaged("an LZMA2 chunk is cut off");
      if (length > output.length - decoder.written) throw damaged("it is longer than it claims");
      output.set(input.subarray(from, from + length), decoder.written);
      decoder.written += length;
      from += length;
    }
  }
  throw damaged("it is cut off");
}
