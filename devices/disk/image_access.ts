/** The file of an image: what it is, opened and claimed, or in one line why that cannot be. */

import { fileProblem } from "../../hv/core/file_problem.ts";
import { SysError } from "../../hv/sys/errors.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";
import { DiskError, type DiskErrorCode } from "./disk_image.ts";
import { imageHolders } from "./image_holders.ts";

const CODES: Record<string, DiskErrorCode> = {
  ENOENT: "missing",
  ENOTDIR: "missing",
  EACCES: "permission",
  EPERM: "permission",
  EROFS: "permission",
};

/**
 * Opening a FIFO would wait for a writer: what it is must be known before.
 *
 * @param write Whether it is to be written.
 * @throws DiskError
 */
export function checkKind(path: string, write: boolean): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      const advice = write ? "; make one with hv disk create" : "";
      const problem = name === "" ? "its file name is empty" : `there is no such file${advice}`;
      throw new DiskError(path, "missing", problem, { cause });
    }
    if (cause instanceof Deno.errors.PermissionDenied) {
      throw new DiskError(path, "permission", "permission denied on the way to it", { cause });
    }
    if (cause instanceof Deno.errors.NotADirectory) {
      throw new DiskError(path, "missing", "a part of the path is not a directory", { cause });
    }
    throw hostProblem(path, cause);
  }
  if (info.isDirectory) {
    throw new DiskError(path, "not a disk", "it is a directory; name an image in it");
  }
  if (!info.isFile && !info.isBlockDevice) {
    throw new DiskError(path, "not a disk", "it is neither a regular file nor a block device");
  }
}

/**
 * Opens the file of an image as it is, and claims it.
 *
 * @throws DiskError
 */
export function openClaimed(path: string, write: boolean): FileHandle {
  checkKind(path, write);
  const file = openFile(path, write);
  try {
    claim(file, path);
  } catch (error) {
    file[Symbol.dispose]();
    throw error instanceof SysError ? hostError(path, error) : error;
  }
  return file;
}

/**
 * Opens the file of an image as it is, without claiming it.
 *
 * @throws DiskError
 */
export function openFile(path: string, write: boolean): FileHandle {
  try {
    return FileHandle.open(path, { write });
  } catch (error) {
    throw error instanceof SysError ? hostError(path, error, write) : error;
  }
}

/**
 * Keeps others from writing to an image, or from using one that is to be written; see `FileHandle.lock`.
 *
 * @throws DiskError naming who has it, SysError
 */
export function claim(file: FileHandle, path: string): void {
  try {
    file.lock();
  } catch (cause) {
    if (cause instanceof SysError) throw cause;
    // Our own descriptor must not be counted among them.
    file[Symbol.dispose]();
    throw new DiskError(path, "in use", whyInUse(path, file.writable), { cause });
  }
}

function whyInUse(path: string, write: boolean): string {
  const { own, others } = imageHolders(path);
  // Whoever has claimed it keeps others from claiming it: those merely look.
  if (own) {
    return `this hv ${write ? "has it open" : "writes to it"} already; ` +
      "attach both read-only or with overlays, or use a copy";
  }
  const who = others.join(", ") || "another machine";
  return write
    ? `${who} has it open; stop that, or attach it read-only if that one only reads`
    : `${who} writes to it; stop that, or use a copy`;
}

/** A problem with `path` as the host says it. */
export function hostProblem(path: string, cause: unknown): DiskError {
  return new DiskError(path, "host", fileProblem(cause), { cause });
}

/**
 * What went wrong with the image at `path`.
 *
 * @param write Whether it was opened to be written.
 */
export function hostError(path: string, cause: SysError, write = false): DiskError {
  const { operation, reason } = cause;
  const code = CODES[cause.code] ?? "host";
  if (operation !== `open ${path}`) {
    return new DiskError(path, code, `cannot ${operation}: ${reason}`, { cause });
  }
  const advice = [
    ...(cause.code === "EROFS" || code !== "permission" ? [] : ["check its permissions"]),
    ...(code === "permission" && write ? ["attach it read-only or with an overlay"] : []),
  ].join(", or ");
  return new DiskError(path, code, advice === "" ? reason : `${reason}; ${advice}`, { cause });
}
