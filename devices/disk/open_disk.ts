/** Opening the image that a user named, or saying in one line why that cannot be. */

import { alignUp } from "../../hv/core/align.ts";
import { FileHandle, O_CREAT, O_EXCL, O_RDWR, openDescriptor, SysError } from "../../hv/sys/mod.ts";
import { fileProblem } from "../../hv/core/file_problem.ts";
import { DiskError, type DiskErrorCode, type DiskImage } from "./disk_image.ts";
import {
  exactFloppyFormat,
  FLOPPY_1440K,
  FLOPPY_SECTOR_BYTES,
  FLOPPY_SIZES,
  floppyBytes,
} from "../../hv/core/floppy_formats.ts";
import { imageHolders } from "./image_holders.ts";
import { detectFormat, type ImageFormat, MAGIC_BYTES } from "./image_format.ts";
import { attachDisk, type DiskHandle } from "./disk_handle.ts";

/** What to open, and how. */
export interface DiskOptions {
  readonly path: string;
  /** The guest cannot write. */
  readonly readOnly?: boolean;
  /** What the guest writes goes to a scratch file that is gone afterwards. */
  readonly overlay?: boolean;
  /** Where the scratch file is made; default `TMPDIR`, else `/var/tmp`. */
  readonly scratchDirectory?: string;
  /** Bytes a sector: 512 for disks (the default), 2048 for discs. */
  readonly sectorBytes?: 512 | 2048;
  /** What the image is; default: what it looks like, raw if like nothing else. */
  readonly format?: ImageFormat;
}

/** The largest image, bytes: offsets are exact far beyond, and no file system holds as much. */
const MAX_BYTES = 2 ** 52;

const CODES: Record<string, DiskErrorCode> = {
  ENOENT: "missing",
  ENOTDIR: "missing",
  EACCES: "permission",
  EPERM: "permission",
  EROFS: "permission",
};

/**
 * Opens an image and claims it, so that nobody else writes to it meanwhile.
 *
 * @throws DiskError
 */
export function openDisk(options: DiskOptions): DiskImage {
  return attachDisk(openDiskHandle(options));
}

/**
 * As `openDisk`, for another thread to attach: whoever opens it learns at once of what is wrong, and
 * closes it in the end with `closeDiskHandle`.
 *
 * @throws DiskError
 */
export function openDiskHandle(options: DiskOptions): DiskHandle {
  const { path, readOnly = false, overlay = false, sectorBytes = 512 } = options;
  if (readOnly && overlay) {
    throw new DiskError(path, "host", "an overlay is there to be written; leave out read-only");
  }
  checkKind(path);
  const write = !readOnly && !overlay;
  const file = openFile(path, write);
  try {
    claim(file, path);
    const sizeBytes = alignUp(file.size, sectorBytes);
    checkSize(path, sizeBytes);
    const guarded = options.format === undefined;
    if (guarded) checkFormat(file, path);
    const scratch = overlay ? openScratch(path, options.scratchDirectory).fd : undefined;
    return { path, fd: file.fd, writable: write, sizeBytes, guarded, scratch };
  } catch (error) {
    file[Symbol.dispose]();
    throw error instanceof SysError ? hostError(path, error) : error;
  }
}

/**
 * Bytes of the diskette whose image has `sizeBytes`. Some tools write only as much as they use (GRUB's
 * rescue floppy is one): up to 1440K, whole sectors count as the beginning of a 1440K diskette.
 *
 * @throws DiskError for a size that no floppy disk has
 */
export function floppyImageBytes(path: string, sizeBytes: number): number {
  if (exactFloppyFormat(sizeBytes) !== undefined) return sizeBytes;
  const usual = floppyBytes(FLOPPY_1440K);
  if (sizeBytes < usual && sizeBytes % FLOPPY_SECTOR_BYTES === 0) return usual;
  throw new DiskError(
    path,
    "size",
    `it has ${sizeBytes} bytes, and a floppy disk one of ${FLOPPY_SIZES}; attach it as a hard disk`,
  );
}

/** Opening a FIFO would wait for a writer: what it is must be known before. */
function checkKind(path: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      const problem = "there is no such file; create it first, e.g. with truncate -s 10G";
      throw new DiskError(path, "missing", problem, { cause });
    }
    if (cause instanceof Deno.errors.PermissionDenied) {
      throw new DiskError(path, "permission", "permission denied on the way to it", { cause });
    }
    if (cause instanceof Deno.errors.NotADirectory) {
      throw new DiskError(path, "missing", "a part of the path is not a directory", { cause });
    }
    throw new DiskError(path, "host", fileProblem(cause), { cause });
  }
  if (info.isDirectory) {
    throw new DiskError(path, "not a disk", "it is a directory; name an image in it");
  }
  if (!info.isFile && !info.isBlockDevice) {
    throw new DiskError(path, "not a disk", "it is neither a regular file nor a block device");
  }
}

function openFile(path: string, write: boolean): FileHandle {
  try {
    return FileHandle.open(path, { write });
  } catch (error) {
    throw error instanceof SysError ? hostError(path, error) : error;
  }
}

function claim(file: FileHandle, path: string): void {
  try {
    file.lock();
  } catch (cause) {
    if (cause instanceof SysError) throw cause;
    // Our own descriptor must not be counted among them.
    file[Symbol.dispose]();
    const who = imageHolders(path).join(", ") || "another machine";
    const problem = file.writable
      ? `${who} has it open; stop that, or attach it read-only if that one only reads`
      : `${who} writes to it; stop that, or use a copy`;
    throw new DiskError(path, "in use", problem, { cause });
  }
}

function checkSize(path: string, sizeBytes: number): void {
  if (sizeBytes === 0) {
    throw new DiskError(path, "empty", "it is empty; give it a size, e.g. with truncate -s 10G");
  }
  if (sizeBytes > MAX_BYTES) {
    throw new DiskError(path, "size", `it has ${sizeBytes} bytes, and ${MAX_BYTES} are the most`);
  }
}

function checkFormat(file: FileHandle, path: string): void {
  const head = new Uint8Array(MAGIC_BYTES);
  file.read(head, 0);
  const found = detectFormat(head);
  if (found === "raw") return;
  throw new DiskError(
    path,
    "format",
    `it is a ${found} image, and raw ones are read; ` +
      `convert it with qemu-img convert -O raw, or say format=raw if it is one`,
  );
}

/** A scratch file without a name, so that nothing is left when hv is killed. */
function openScratch(path: string, directory?: string): FileHandle {
  const where = directory ?? Deno.env.get("TMPDIR") ?? "/var/tmp";
  const scratch = `${where}/hv-overlay-${crypto.randomUUID()}`;
  try {
    const fd = openDescriptor(scratch, O_RDWR | O_CREAT | O_EXCL, { mode: 0o600 });
    Deno.removeSync(scratch);
    return new FileHandle(fd, scratch, true);
  } catch (cause) {
    const reason = cause instanceof SysError ? cause.code : (cause as Error).message;
    const problem = `no scratch file can be made in ${where} (${reason}); ` +
      "set TMPDIR to a directory with room";
    throw new DiskError(path, "scratch", problem, { cause });
  }
}

function hostError(path: string, cause: SysError): DiskError {
  const code = CODES[cause.code] ?? "host";
  const advice = code === "permission"
    ? "; check its permissions, or attach it read-only or with an overlay"
    : "";
  return new DiskError(path, code, `${cause.operation} failed (${cause.code})${advice}`, { cause });
}
