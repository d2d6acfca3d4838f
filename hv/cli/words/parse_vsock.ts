/** The value of --vsock. */

import { UsageError } from "../../errors.ts";
import type { VsockOptions } from "../../options/vsock_options.ts";
import { splitAtCommas } from "./commas.ts";

/**
 * `PATH[,cid=N]`; a comma in the path is written twice.
 *
 * @throws {UsageError}
 */
export function parseVsock(value: string | undefined): VsockOptions | undefined {
  if (value === undefined) return undefined;
  const [path, ...parts] = splitAtCommas(value);
  let cid: number | undefined;
  for (const part of parts) {
    const digits = /^cid=(\d+)$/.exec(part)?.[1];
    if (digits === undefined || cid !== undefined) {
      throw new UsageError(`Cannot use "${part}" in --vsock ${value}: cid=N is possible, once`);
    }
    cid = Number(digits);
  }
  return { path, cid };
}
