/**
 * Bit vectors of 256 interrupts, shared between threads: IRR, ISR and TMR of a local APIC.
 *
 * Everybody changes them by `Atomics` and nobody holds a lock. Who requests an interrupt sets its
 * trigger mode first and its request second, then wakes the processor; the processor's own thread
 * alone takes requests away. So a request is never lost, and one that is already there is one, as in
 * the chip.
 */

const WORDS = 8;

/** Sets the bit of `vector`; was it clear? */
export function setBit(words: Int32Array, vector: number): boolean {
  const bit = 1 << (vector & 31);
  return (Atomics.or(words, vector >> 5, bit) & bit) === 0;
}

/** Clears the bit of `vector`; was it set? */
export function clearBit(words: Int32Array, vector: number): boolean {
  const bit = 1 << (vector & 31);
  return (Atomics.and(words, vector >> 5, ~bit) & bit) !== 0;
}

/** Is the bit of `vector` set? */
export function testBit(words: Int32Array, vector: number): boolean {
  return (Atomics.load(words, vector >> 5) & (1 << (vector & 31))) !== 0;
}

/** The highest vector whose bit is set, or -1. */
export function highestBit(words: Int32Array): number {
  for (let i = WORDS - 1; i >= 0; i--) {
    const word = Atomics.load(words, i);
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

/** Clears every bit. */
export function clearBits(words: Int32Array): void {
  for (let i = 0; i < WORDS; i++) Atomics.store(words, i, 0);
}
