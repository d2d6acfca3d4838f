/** `--screenshot FILE`: a picture of the guest's screen, as it is when the machine ends. */

import { fileProblem } from "../core/file_problem.ts";
import { HostError, UsageError } from "../errors.ts";
import type { Machine } from "../machine/machine.ts";

/**
 * Looks whether a file can be made there, before the guest runs for hours.
 *
 * @throws {UsageError} When it cannot.
 */
export function checkScreenshot(path: string): void {
  const partial = partialOf(path);
  try {
    if (isDirectory(path)) {
      throw new UsageError(`Cannot save a screenshot as ${path}: it is a directory`);
    }
    Deno.openSync(partial, { write: true, create: true }).close();
    Deno.removeSync(partial);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const why = error instanceof Deno.errors.NotFound
      ? `there is no directory ${folderOf(path)}`
      : fileProblem(error);
    throw new UsageError(`Cannot save a screenshot as ${path}: ${why}`, { cause: error });
  }
}

/**
 * Saves it as PNG; the file is there when it is complete.
 *
 * @throws {HostError} When it cannot be.
 */
export async function saveScreenshot({ screen }: Machine, path: string): Promise<void> {
  const partial = partialOf(path);
  try {
    await Deno.writeFile(partial, await screen.png());
    await Deno.rename(partial, path);
  } catch (error) {
    await Deno.remove(partial).catch(() => {});
    throw new HostError(`Cannot save a screenshot as ${path}: ${fileProblem(error)}`, {
      cause: error,
    });
  }
}

const partialOf = (path: string) => `${path}.${Deno.pid}.part`;

const folderOf = (path: string) => path.includes("/") ? path.replace(/[^/]*$/, "") : ".";

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
