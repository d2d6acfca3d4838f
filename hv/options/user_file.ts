/** Files that the user names and that are read whole: firmware, kernels, initrds. */

import { fileProblem } from "../core/file_problem.ts";
import { HostError, UsageError } from "../errors.ts";

/**
 * Reads a file.
 *
 * @param use What it is to be, for errors: `firmware`, `kernel`.
 * @param checkSize Says what is wrong with a size in bytes, or undefined.
 * @throws {UsageError} When there is no such file, or it cannot be one for this use.
 * @throws {HostError} When it cannot be read.
 */
export function readUserFile(
  path: string,
  use: string,
  checkSize: (size: number) => string | undefined,
): Uint8Array {
  const refuse = (why: string, cause?: unknown) =>
    new UsageError(`Cannot use ${path} as ${use}: ${why}`, { cause });
  try {
    const { size, isFile, isDirectory, isBlockDevice } = Deno.statSync(path);
    if (isDirectory) throw refuse("it is a directory");
    // Opening a FIFO would wait for a writer.
    if (!isFile && !isBlockDevice) throw refuse("it is neither a regular file nor a block device");
    const problem = checkSize(size);
    if (problem !== undefined) throw refuse(problem);
    return Deno.readFileSync(path);
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    if (cause instanceof Deno.errors.PermissionDenied) {
      throw new HostError(`Cannot read ${path}: permission denied; check its permissions`, {
        cause,
      });
    }
    throw refuse(fileProblem(cause), cause);
  }
}
