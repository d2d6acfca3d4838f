/** Lines for the user: what was asked for on the standard output, the rest on the standard error. */

import { fileProblem } from "../core/file_problem.ts";
import { HostError } from "../errors.ts";

/** Writes a line, or several, to the standard error; its being closed or full is no reason to fail. */
export function say(text: string): void {
  try {
    console.error(text);
  } catch {
    // Nobody can be told.
  }
}

/**
 * Writes a line, or several, to the standard output. Whoever has read enough and closed it is no reason
 * to fail.
 *
 * @throws {HostError} When it cannot be written.
 */
export function print(text: string): void {
  try {
    console.log(text);
  } catch (cause) {
    if (cause instanceof Deno.errors.BrokenPipe) return;
    throw new HostError(`Cannot write to the standard output: ${fileProblem(cause)}`, { cause });
  }
}
