/** A file that is there when it is complete, or not at all. */

import { openClaimed } from "../../../devices/disk/image_access.ts";
import { HostError, UsageError } from "../../errors.ts";
import { fileProblem } from "../../core/file_problem.ts";
import { O_CREAT, O_EXCL, O_RDWR, openDescriptor } from "../../sys/descriptor.ts";
import { SysError } from "../../sys/errors.ts";
import { FileHandle } from "../../sys/file/file.ts";

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
    using file = openNew(partial, path);
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

/** A new file at `partial` that errors call `path`. */
function openNew(partial: string, path: string): FileHandle {
  try {
    return new FileHandle(openDescriptor(partial, O_RDWR | O_CREAT | O_EXCL), path, true);
  } catch (cause) {
    if (!(cause instanceof SysError)) throw cause;
    const why = cause.code === "ENOENT" ? "there is no such directory" : cause.reason;
    const advice = cause.code === "EACCES" ? "; check the permissions of its directory" : "";
    throw new HostError(`Cannot make ${path}: ${why}${advice}`, { cause });
  }
}

function checkTarget(path: string, force: boolean): void {
  if (path === "") throw new UsageError("Cannot make a file without a name");
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new HostError(`Cannot make ${path}: ${fileProblem(cause)}`, { cause });
  }
  if (info.isDirectory) throw new UsageError(`Cannot make ${path}: it is a directory`);
  if (!info.isFile) throw new UsageError(`Cannot make ${path}: there is something that is no file`);
  if (!force) throw new UsageError(`Cannot make ${path}: it is there; --force writes over it`);
  // A machine that has it would go on with a file that nobody sees any more.
  openClaimed(path, true)[Symbol.dispose]();
}
