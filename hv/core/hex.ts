/** Numbers as people read them. */

/** Hexadecimal digits, at least `digits` of them: `hex(10, 2)` is `0a`. */
export const hex = (value: number | bigint, digits = 1): string =>
  value.toString(16).padStart(digits, "0");

/** An address as data sheets write it: `FEC00000h`. */
export const addressText = (address: number | bigint): string => `${hex(address).toUpperCase()}h`;
