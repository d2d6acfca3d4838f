import { Random } from "../support/random.ts";

/**
 * What the packed files in tests/data/boot unpack to: text that repeats itself, and bytes thick
 * with what the x86 branch filter looks at. They were made with:
 *
 *     xz --check=crc32 --x86 --lzma2=dict=64KiB; lzma; lz4 -l -9
 */
export function sample(): Uint8Array {
  const random = new Random(20260101);
  const words = Array.from(
    { length: 40 },
    () => Array.from({ length: 3 + random.below(9) }, () => 0x61 + random.below(26)),
  );
  const bytes: number[] = [];
  while (bytes.length < 24_000) bytes.push(...random.pick(words), 0x20);
  const opcodes = [0xe8, 0xe9, 0x00, 0xff, 0x01, 0xe8, 0x90, 0x0f];
  for (let i = 0; i < 8000; i++) bytes.push(random.pick(opcodes));
  // A long run, whose matches overlap themselves.
  for (let i = 0; i < 5000; i++) bytes.push(0x42);
  return Uint8Array.from(bytes);
}
