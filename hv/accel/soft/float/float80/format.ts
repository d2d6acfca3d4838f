/**
 * The numbers of the x87 (Intel SDM volume 1, chapter 8) as generated functions pass them.
 *
 * A value is two parameters: its significand (i64, bit 63 is the integer bit) and its sign and
 * exponent (i32: bit 15 sign, bits 14-0 biased exponent), as in memory. A result is a pair
 * (i64, i32) in two machine registers: the significand, and `packed`: sign and exponent in bits 15-0,
 * and in bits 30-16 what the instruction reports, laid out as in the status word (`Flag`, with C1 and
 * the other condition codes where the instruction sets them).
 *
 * `control` is the control word; its high half must be 0 when a caller from outside passes it, and
 * carries flags that were raised before between the functions here.
 */

/** Bits of the status word (SDM volume 1, 8.1.3). */
export const Flag = {
  IE: 1 << 0,
  DE: 1 << 1,
  ZE: 1 << 2,
  OE: 1 << 3,
  UE: 1 << 4,
  PE: 1 << 5,
  C0: 1 << 8,
  /** Rounded up, or the sign for FXAM. */
  C1: 1 << 9,
  C2: 1 << 10,
  C3: 1 << 14,
} as const;

/** Fields of the control word (8.1.5); the low six bits mask the flags of the same number. */
export const Control = {
  precision: 0x300,
  precision53: 0x200,
  /** Also what the reserved value 01b behaves as. */
  precision64: 0x300,
  rounding: 0xc00,
  nearest: 0,
  down: 0x400,
  up: 0x800,
  toZero: 0xc00,
  /**
   * Not of the x87, and therefore clear in the control words of its instructions: rounding is to
   * single or double precision with their range of exponents, as SSE does it; tiny results become 0.
   */
  toSingle: 0x2000,
  toDouble: 0x4000,
  flushToZero: 0x8000,
} as const;

export const SIGN = 0x8000;
export const EXPONENT_MASK = 0x7fff;
/** Exponent of infinities and NaNs. */
export const EXPONENT_MAX = 0x7fff;
export const BIAS = 0x3fff;
/** What unmasked overflow and underflow take from or add to the exponent (8.5.4, 8.5.5). */
export const WRAP = 24576;

export const INTEGER_BIT: bigint = -(1n << 63n);
/** Bit that is set in a quiet NaN and clear in a signalling one. */
export const QUIET_BIT: bigint = 1n << 62n;
/** The default NaN, "real indefinite": its significand, and with sign. */
export const DEFAULT_NAN: bigint = -(1n << 62n);
export const DEFAULT_NAN_SE = 0xffff;
