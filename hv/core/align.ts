/** Rounding to boundaries. */

/** The first multiple of `alignment` from `value` on; both are whole numbers, exact to 2^53. */
export const alignUp = (value: number, alignment: number): number =>
  Math.ceil(value / alignment) * alignment;
