/** The checksum of the Internet protocols (RFC 1071). */

/**
 * Sum of the 16-bit big-endian words of `bytes` from `start` up to `end`, added to `sum`; an odd last
 * byte is the high one of a word. Not folded: exact for 2^37 bytes.
 */
export function addToSum(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  const even = end - ((end - start) & 1);
  let i = start;
  // Four words a turn: this loop is most of what a frame costs.
  for (; i + 8 <= even; i += 8) {
    sum += (bytes[i] + bytes[i + 2] + bytes[i + 4] + bytes[i + 6]) * 256 +
      bytes[i + 1] + bytes[i + 3] + bytes[i + 5] + bytes[i + 7];
  }
  for (; i < even; i += 2) sum += bytes[i] * 256 + bytes[i + 1];
  return even < end ? sum + bytes[even] * 256 : sum;
}

/** A sum as 16 bits, with its carries added in. */
export function foldSum(sum: number): number {
  while (sum > 0xffff) sum = sum % 0x1_0000 + Math.floor(sum / 0x1_0000);
  return sum;
}

/** The checksum field for a sum: its ones' complement. */
export const checksumOf = (sum: number): number => ~foldSum(sum) & 0xffff;
