/** Values of options that are one of a few words. */

import { UsageError } from "../../errors.ts";

/**
 * One of the words that an option takes.
 *
 * @throws {UsageError}
 */
export function oneOf<T extends string>(
  option: string,
  value: string | undefined,
  possible: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  if ((possible as readonly string[]).includes(value)) return value as T;
  const given = option.endsWith("=") ? `${option}${value}` : `${option} ${value}`;
  const words = `${possible.slice(0, -1).join(", ")} or ${possible.at(-1)}`;
  throw new UsageError(`Cannot use --${given}: ${words} is possible`);
}
