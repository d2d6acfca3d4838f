/**
 * Options as a script gives them: `deno run` checks no types, so a name that is wrong would be left out in
 * silence, and a value of another kind fail somewhere else.
 */

import { nearestName } from "../core/edit_distance.ts";
import { UsageError } from "../errors.ts";

/** Every name of the options `T`, for `checkNames`: the compiler sees to it that none is missing. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/**
 * Checks that `options` is an object without names that are not known.
 *
 * @param what The subject of the error's sentence: `A disk`.
 * @throws {UsageError} Naming the nearest.
 */
export function checkNames<T extends object>(
  what: string,
  options: T,
  names: OptionNames<Required<T>>,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new UsageError(`${what} needs an object of options, not ${Deno.inspect(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name));
  if (unknown === undefined) return;
  const nearest = nearestName(unknown, Object.keys(names));
  const hint = nearest === undefined
    ? `there are ${Object.keys(names).join(", ")}`
    : `did you mean "${nearest}"?`;
  throw new UsageError(`${what} has no option "${unknown}"; ${hint}`);
}

/**
 * Checks that an option is one of a few words, or is not said.
 *
 * @throws {UsageError}
 */
export function checkWord(name: string, value: unknown, words: readonly string[]): void {
  if (value === undefined || (words as readonly unknown[]).includes(value)) return;
  const possible = words.map((word) => `"${word}"`).join(" or ");
  throw new UsageError(`Cannot use ${name}: ${Deno.inspect(value)}; ${possible} is possible`);
}
