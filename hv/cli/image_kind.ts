/** What kind of image a file is, by looking into it, so that `hv run FILE` does what is meant. */

import { detectKernel } from "../boot/mod.ts";
import type { MachineOptions } from "../options/config.ts";
import { exactFloppyFormat } from "../core/media/floppy_formats.ts";
import { fileProblem } from "../core/file_problem.ts";
import { HostError, UsageError } from "../errors.ts";

/** The primary volume descriptor of ISO 9660 stands in sector 16 and says CD001 (ECMA-119, 8.1). */
const ISO_OFFSET = 16 * 2048 + 1;
const HEAD_BYTES = 64 * 1024;

/**
 * Options with the image attached as what it is: floppy, CD-ROM, kernel or disk.
 *
 * @throws {UsageError} When the file is not there or no image.
 */
export function withImage(options: MachineOptions, path: string): MachineOptions {
  const { head, size, isBlock } = readHead(path);
  const text = (offset: number, length: number) =>
    String.fromCharCode(...head.subarray(offset, offset + length));
  const kernel = detectKernel(head);
  if (kernel !== undefined && options.kernel === undefined) return { ...options, kernel: path };
  if (text(ISO_OFFSET, 5) === "CD001") return { ...options, cdrom: add(options.cdrom, path) };
  if (!isBlock && exactFloppyFormat(size) !== undefined) {
    return { ...options, floppy: add(options.floppy, path) };
  }
  return { ...options, disk: add(options.disk, path) };
}

function add(drives: MachineOptions["disk"], path: string): MachineOptions["disk"] {
  const others = drives === undefined ? [] : Array.isArray(drives) ? drives : [drives];
  return [path, ...others];
}

function readHead(path: string): { head: Uint8Array; size: number; isBlock: boolean } {
  if (path === "") throw new UsageError("Cannot run an image: its file name is empty");
  try {
    const { size, isFile, isDirectory, isBlockDevice } = Deno.statSync(path);
    if (isDirectory) throw new UsageError(`Cannot run ${path}: it is a directory, not an image`);
    // Opening a FIFO would wait for a writer.
    if (!isFile && !isBlockDevice) {
      throw new UsageError(`Cannot run ${path}: it is neither a regular file nor a block device`);
    }
    using file = Deno.openSync(path);
    const head = new Uint8Array(HEAD_BYTES);
    let length = 0;
    for (let got = 0; length < head.length; length += got) {
      got = file.readSync(head.subarray(length)) ?? 0;
      if (got === 0) break;
    }
    return { head: head.subarray(0, length), size, isBlock: isBlockDevice === true };
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    if (cause instanceof Deno.errors.PermissionDenied) {
      throw new HostError(`Cannot run ${path}: permission denied; check its permissions`, {
        cause,
      });
    }
    throw new UsageError(`Cannot run ${path}: ${fileProblem(cause)}`, { cause });
  }
}
