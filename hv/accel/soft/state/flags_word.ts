/** RFLAGS as a whole, for what runs outside of generated code (codegen/flags.ts has the encoding). */

import { AT } from "./state.ts";

export const CF = 1 << 0;
export const PF = 1 << 2;
export const AF = 1 << 4;
export const ZF = 1 << 6;
export const SF = 1 << 7;
export const TF = 1 << 8;
export const IF = 1 << 9;
export const DF = 1 << 10;
export const OF = 1 << 11;
export const IOPL = 3 << 12;
export const NT = 1 << 14;
export const RF = 1 << 16;
export const VM = 1 << 17;
export const AC = 1 << 18;
export const VIF = 1 << 19;
export const VIP = 1 << 20;
export const ID = 1 << 21;
export const ARITHMETIC = CF | PF | AF | ZF | SF | OF;
/** Bits that exist. */
export const ALL_FLAGS = ARITHMETIC | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;

const isOdd = (value: number): boolean => {
  value ^= value >> 4;
  value ^= value >> 2;
  return ((value ^ value >> 1) & 1) !== 0;
};

/** RFLAGS; bit 1 is set. */
export function readFlags(words: Int32Array): number {
  const result = AT.lazyResult >> 2;
  const aux = AT.lazyAux >> 2;
  const low = words[aux];
  const high = words[aux + 1];
  let flags = words[AT.eflags >> 2] | 2;
  if (high < 0) flags |= CF;
  if (!isOdd((words[result] ^ low >> 8) & 0xff)) flags |= PF;
  if ((low & 1) !== 0) flags |= AF;
  if (words[result] === 0 && words[result + 1] === 0) flags |= ZF;
  if ((words[result + 1] ^ low << 15) < 0) flags |= SF;
  if ((high ^ high << 1) < 0) flags |= OF;
  return flags;
}

/** Sets all of RFLAGS; what does not exist is 0. */
export function writeFlags(words: Int32Array, flags: number): void {
  const nonzero = (flags & ZF) === 0 ? 1 : 0;
  const parity = ((flags & PF) === 0 ? 1 : 0) ^ nonzero;
  const carry = (flags & CF) !== 0;
  const overflow = (flags & OF) !== 0;
  words[AT.lazyResult >> 2] = nonzero;
  words[(AT.lazyResult >> 2) + 1] = 0;
  words[AT.lazyAux >> 2] = ((flags & AF) !== 0 ? 1 : 0) | parity << 8 |
    ((flags & SF) !== 0 ? 1 << 16 : 0);
  words[(AT.lazyAux >> 2) + 1] = (carry ? 1 << 31 : 0) | (carry !== overflow ? 1 << 30 : 0);
  words[AT.eflags >> 2] = flags & ALL_FLAGS & ~ARITHMETIC | 2;
}
