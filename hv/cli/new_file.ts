/** A file that is there when it is complete, or not at all. */

import { HostError, UsageError } from "../errors.ts";
import { fileProblem } from "../core/file_problem.ts";
import { FileHandle } from "../sys/mod.ts";

const SIGNALS: readonly Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The user has stopped it. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/**
 * Makes the file `path` by `fill`, which is given a file beside it: that one gets the name when it is
 * complete, and goes when `fill` fails or the user interrupts it.
 *
 * @param fill Yields now and then, so that signals are heard.
 * @throws {UsageError} When the file is there and must not be written over.
 * @throws {Interrupted}
 */
export async function makeFile(
  path: string,
  { force }: { force: boolean },
  fill: (file: FileHandle) => Iterable<unknown>,
): Promise<void> {
  checkTarget(path, force);
  const partial = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  let interrupted = false;
  const interrupt = () => void (interrupted = true);
  for (const signal of SIGNALS) Deno.addSignalListener(signal, interrupt);
  let made = false;
  try {
    using file = FileHandle.open(partial, { write: true, create: true, exclusive: true });
    made = true;
    let heardAtMs = performance.now();
    for (const _ of fill(file)) {
      if (performance.now() - heardAtMs < 20) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (interrupted) throw new Interrupted();
      heardAtMs = performance.now();
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (interrupted) throw new Interrupted();
    file.sync();
    checkTarget(path, force);
    Deno.renameSync(partial, path);
    made = false;
  } finally {
    if (made) Deno.removeSync(partial);
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupt);
  }
}

function checkTarget(path: string, force: boolean): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new HostError(`Cannot make ${path}: ${fileProblem(cause)}`, { cause });
  }
  if (!info.isFile) throw new UsageError(`Cannot make ${path}: there is something that is no file`);
  if (!force) throw new UsageError(`Cannot make ${path}: it is there; --force writes over it`);
  // A machine that has it would go on with a file that nobody sees any more.
  using old = FileHandle.open(path, { write: true });
  try {
    old.lock();
  } catch (cause) {
    throw new UsageError(`Cannot write over ${path}: ${(cause as Error).message}`, { cause });
  }
}
