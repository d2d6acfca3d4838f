/** Values of options that say how many of something a second. */

import { UsageError } from "../../errors.ts";
import { parseBytes } from "../../options/sizes.ts";

/**
 * A number like 500, 20K or 10M.
 *
 * @param where The option, for the error.
 * @throws {UsageError}
 */
export function rate(value: string, where: string): number {
  const parsed = parseBytes(value);
  if (parsed !== undefined) return parsed;
  throw new UsageError(`Cannot use --${where}${value}: a number like 500, 20K or 10M is needed`);
}
