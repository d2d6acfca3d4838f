/** Lists of bytes for shuffles of whole lanes. */

/** `count` numbers from `from` on. */
export const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);

/** Bytes of the lanes (of `bytes` each) that `choose` names for each lane of the result. */
export const lanesOf = (bytes: number, choose: (lane: number) => number): number[] =>
  range(0, 16 / bytes).flatMap((i) => range(choose(i) * bytes, bytes));
