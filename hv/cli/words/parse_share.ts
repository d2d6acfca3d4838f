/** The values of --share. */

import { UsageError } from "../../errors.ts";
import type { ShareOptions } from "../../options/share_options.ts";
import { splitAtCommas } from "./commas.ts";

/**
 * `DIR:TAG[,readonly]`; a comma in the directory's name is written twice.
 *
 * @throws {UsageError}
 */
export function parseShare(value: string): ShareOptions {
  const [place, ...flags] = splitAtCommas(value);
  const [, path, tag] = /^(.+):([^:]*)$/s.exec(place) ?? [];
  if (path === undefined) {
    throw new UsageError(`Cannot use --share ${value}: DIR:TAG is needed, e.g. ./src:src`);
  }
  const unknown = flags.find((flag) => flag !== "readonly");
  if (unknown !== undefined) {
    throw new UsageError(`Cannot use "${unknown}" in --share ${value}: readonly is possible`);
  }
  return { path, tag, readOnly: flags.includes("readonly") };
}
