/**
 * MXCSR and the formats of SSE (Intel SDM volume 1: 10.2.3, 4.2.2, 11.5).
 */

/** Fields of MXCSR; flags in bits 5-0 as in the x87's status word, their masks in bits 12-7. */
export const Mxcsr = {
  flags: 0x3f,
  denormalsAreZeros: 1 << 6,
  masks: 7,
  rounding: 13,
  flushToZero: 1 << 15,
} as const;

/** A format as the functions need it. */
export interface Format {
  readonly name: "32" | "64";
  /** Bits of the fraction and of the exponent. */
  readonly fraction: number;
  readonly exponent: number;
}

export const FORMATS: readonly Format[] = [
  { name: "32", fraction: 23, exponent: 8 },
  { name: "64", fraction: 52, exponent: 11 },
];
