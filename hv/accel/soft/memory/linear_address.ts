/** Linear addresses: in two halves of 32 bits, as generated code has them, and as a whole. */

import { CR0_PG } from "../state/control_bits.ts";
import { AT } from "../state/state.ts";

/** A linear address of two halves. */
export const wide = (high: number, low: number): bigint =>
  BigInt(high >>> 0) << 32n | BigInt(low >>> 0);

/** The upper half that counts: without paging, linear addresses have 32 bits. */
export const upperHalf = (words: Int32Array, high: number): number =>
  (words[AT.cr0 >> 2] & CR0_PG) === 0 ? 0 : high;

/** Are bits 63 to 48 of an address copies of bit 47, as those of every address of 4-level paging? */
export const isCanonical = (address: bigint): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
