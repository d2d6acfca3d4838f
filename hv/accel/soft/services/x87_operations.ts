/** What the x87's register and memory instructions have in common. */

import type { Float80, Real } from "../float/module.ts";
import { Status87, type X87 } from "../state/x87_state.ts";

const { c0, c2, c3 } = Status87;
const FLAGS_SHIFT = 16;

type Binary = (a: Real, b: Real, control: number) => Real;

/** The eight operations of D8, DC, DE and their memory forms; COM and COMP apart. */
const operations = (f: Float80): readonly (Binary | undefined)[] => [
  (a, b, w) => f.add(...a, ...b, w),
  (a, b, w) => f.mul(...a, ...b, w),
  undefined,
  undefined,
  (a, b, w) => f.sub(...a, ...b, w),
  (a, b, w) => f.sub(...b, ...a, w),
  (a, b, w) => f.div(...a, ...b, w),
  (a, b, w) => f.div(...b, ...a, w),
];

/** A result without its flags. */
export const value = ([significand, rest]: Real): Real => [significand, rest & 0xffff];
/** What a result reports, in the status word's layout. */
export const flagsOf = (rest: number): number => rest >>> FLAGS_SHIFT;

/** Stores a result in ST(i), if its exceptions allow it. */
export function finish(x: X87, i: number, result: Real): boolean {
  const stores = x.report(flagsOf(result[1]));
  if (stores) x.write(i, value(result));
  return stores;
}

/** What loading an operand reported and then the operation: an invalid one hides a denormal. */
const together = (loading: number, flags: number): number =>
  flags | ((flags & Status87.invalid) !== 0 ? loading & Status87.invalid : loading);

/**
 * ST0 with `b`; the result goes to ST(i). False: nothing was stored.
 *
 * @param loading What the conversion of an operand from memory reported.
 */
export function arithmetic(
  x: X87,
  f: Float80,
  operation: number,
  i: number,
  b: Real,
  loading = 0,
): boolean {
  const [significand, rest] = operations(f)[operation]!(x.read(0), b, x.control);
  const flags = together(loading, flagsOf(rest));
  return finish(x, i, [significand, rest & 0xffff | flags << FLAGS_SHIFT]);
}

/** A comparison of ST0: the codes are set in any case. See `arithmetic` for `loading`. */
export function compare(x: X87, f: Float80, b: Real, quiet: boolean, loading = 0): boolean {
  const flags = (quiet ? f.compareQuiet : f.compare)(...x.read(0), ...b, x.control);
  x.status &= ~(c0 | c2 | c3);
  return x.report(together(loading, flags));
}

/** An empty operand of a comparison: unordered. */
export function compareEmpty(x: X87): boolean {
  x.status = x.status & ~(c0 | c2 | c3) | c0 | c2 | c3;
  return x.underflow();
}
