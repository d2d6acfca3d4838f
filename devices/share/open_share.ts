/** Opening the directory that a user wants to share, or saying in one line why that cannot be. */

import { FilesBehind, O_DIRECTORY, O_PATH } from "../../hv/sys/file/at.ts";
import { closeDescriptor, openDescriptor } from "../../hv/sys/descriptor.ts";
import { Errno, SysError } from "../../hv/sys/errors.ts";

/** What to share. */
export interface ShareOptions {
  /** A directory of the host. */
  readonly path: string;
  /** The guest can change nothing. */
  readonly readOnly?: boolean;
}

/** What another thread needs to see the same directory. */
export interface ShareHandle {
  /** As the user named it. */
  readonly path: string;
  /** Open on the directory, with `O_PATH`. */
  readonly fd: number;
  readonly readOnly: boolean;
}

/** A directory that the user named cannot be shared: one line that says what, why and what to do. */
export class ShareError extends Error {
  override readonly name = "ShareError";
  readonly path: string;

  /** @param problem Follows "Cannot share PATH: ". */
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`Cannot share ${path}: ${problem}`, options);
    this.path = path;
  }
}

const PROBLEMS: Readonly<Record<number, string>> = {
  [Errno.ENOENT]: "there is no such directory; create it first",
  [Errno.ENOTDIR]: "it is not a directory; name the directory that the file is in",
  [Errno.EACCES]: "permission denied on the way to it",
};

/**
 * Opens a directory for `HostTree`, on whatever thread. Whoever opens it closes it in the end with
 * `closeShare`. A symbolic link is followed: it is the user's, not the guest's.
 *
 * @throws ShareError
 */
export function openShare({ path, readOnly = false }: ShareOptions): ShareHandle {
  try {
    const fd = openDescriptor(path, O_PATH | O_DIRECTORY);
    try {
      // It opens also what may not be looked into.
      Deno.readDirSync(path)[Symbol.iterator]().next();
      // Without it nothing could be opened later.
      new FilesBehind()[Symbol.dispose]();
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
    return { path, fd, readOnly };
  } catch (cause) {
    if (cause instanceof Deno.errors.PermissionDenied) {
      throw new ShareError(path, "permission denied; check its permissions", { cause });
    }
    if (!(cause instanceof SysError)) throw cause;
    throw new ShareError(path, PROBLEMS[cause.errno] ?? cause.message, { cause });
  }
}

/** Closes what `openShare` has opened, when no thread uses it any more. */
export function closeShare({ fd }: ShareHandle): void {
  closeDescriptor(fd);
}
