/** Shared directories, as a user says them, checked. */

import { UsageError } from "../errors.ts";
import { checkNames, type OptionNames } from "./option_names.ts";
import { MAX_SHARES } from "../pc/board_config.ts";

/** A directory of the host that the guest can mount (9P over virtio). */
export interface ShareOptions {
  /** The directory. The guest does not get out of it. */
  readonly path: string;
  /** By which the guest mounts it: 1 to 31 printable ASCII characters without blanks and commas. */
  readonly tag: string;
  /** Refuse whatever would change it. Default: false. */
  readonly readOnly?: boolean;
}

/** See above, with everything decided. */
export type ResolvedShare = Required<ShareOptions>;

const NAMES: OptionNames<Required<ShareOptions>> = { path: true, tag: true, readOnly: true };

/** @throws {UsageError} When they cannot be; directories are looked at later. */
export function resolveShares(
  shares: ShareOptions | readonly ShareOptions[] = [],
): readonly ResolvedShare[] {
  const list: readonly ShareOptions[] = Array.isArray(shares) ? shares : [shares];
  if (list.length > MAX_SHARES) {
    throw new UsageError(
      `Cannot share ${list.length} directories: the board has room for ${MAX_SHARES}`,
    );
  }
  for (const share of list) checkNames("A shared directory", share, NAMES);
  for (const [i, { path, tag }] of list.entries()) {
    if (path === "") throw new UsageError("Cannot share a directory: its name is empty");
    if (!/^[!-+\--~]{1,31}$/.test(tag)) {
      throw new UsageError(
        `Cannot share ${path} as "${tag}": a tag of 1 to 31 ASCII characters is needed, ` +
          "without blanks and commas",
      );
    }
    if (list.findIndex((other) => other.tag === tag) !== i) {
      throw new UsageError(`Cannot share ${path} as "${tag}": another directory has that tag`);
    }
  }
  return list.map(({ path, tag, readOnly = false }) => ({ path, tag, readOnly }));
}
