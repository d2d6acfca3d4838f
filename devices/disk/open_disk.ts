/** Opening the image that a user named, or saying in one line why that cannot be. */

import { alignUp } from "../../hv/core/align.ts";
import { O_CREAT, O_EXCL, O_RDWR, openDescriptor } from "../../hv/sys/descriptor.ts";
import { SysError } from "../../hv/sys/errors.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";
import { DiskError, type DiskImage } from "./disk_image.ts";
import {
  exactFloppyFormat,
  FLOPPY_1440K,
  FLOPPY_SECTOR_BYTES,
  FLOPPY_SIZES,
  floppyBytes,
} from "../../hv/core/media/floppy_formats.ts";
import { checkKind, claim, hostError, hostProblem, openFile } from "./image_access.ts";
import { BackingChain } from "./formats/backing_chain.ts";
import { attachDisk, closeDiskHandle, type DiskHandle, readMap } from "./disk_handle.ts";
import { checkFormat, formatOf } from "./formats/detect_format.ts";
import { IMAGE_FORMATS, type ImageFormat } from "./formats/image_format.ts";
import { repairQcow2 } from "./qcow2/check.ts";
import { createQcow2 } from "./qcow2/create.ts";
import { Incompatible, type Qcow2Header, readHeader } from "./qcow2/header.ts";

/** What to open, and how. */
export interface DiskOptions {
  readonly path: string;
  /** The guest cannot write. */
  readonly readOnly?: boolean;
  /**
   * What the guest writes goes to a scratch file that is gone afterwards, or to the qcow2 image of this
   * path, which is made where there is none.
   */
  readonly overlay?: boolean | string;
  /** Where the scratch file is made; default `TMPDIR`, else `/var/tmp`. */
  readonly scratchDirectory?: string;
  /** Bytes a sector: 512 for disks (the default), 2048 for discs. */
  readonly sectorBytes?: 512 | 2048;
  /** What the image is; default: what it looks like, raw if like nothing else. */
  readonly format?: ImageFormat;
  /** A folder where backing files may be, besides that of the image. */
  readonly backingFolder?: string;
}

/** The largest image, bytes: offsets are exact far beyond, and no file system holds as much. */
const MAX_BYTES = 2 ** 52;

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
  const { path, readOnly = false, overlay = false, format, sectorBytes = 512 } = options;
  if (readOnly && overlay !== false) {
    throw new DiskError(path, "host", "an overlay is there to be written; leave out read-only");
  }
  const write = !readOnly && overlay === false;
  checkKind(path, write);
  const chain = new BackingChain(path, options.backingFolder);
  const image = openImage(path, { write, format, sectorBytes, chain });
  if (overlay === false) return image;
  try {
    if (typeof overlay === "string") return openOverlay(overlay, image, chain);
    return { ...image, scratch: openScratch(path, options.scratchDirectory).fd };
  } catch (error) {
    closeDiskHandle(image);
    throw error;
  }
}

/** The qcow2 image at `path` over `base`, made if it is not there. */
function openOverlay(path: string, base: DiskHandle, chain: BackingChain): DiskHandle {
  let isNew = false;
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw hostProblem(path, error);
    isNew = true;
  }
  if (isNew) makeOverlay(path, base);
  checkKind(path, true);
  chain.enter(path);
  const file = openFile(path, true);
  try {
    claim(file, path);
    const header = readHeader(file);
    mendForWriting(file, header);
    if (header.backingFile === undefined || !chain.isBehind(path, header.backingFile, base.path)) {
      const behind = header.backingFile ?? "nothing";
      throw new DiskError(path, "backing", `it is an overlay of ${behind}, not of ${base.path}`);
    }
    const sizeBytes = alignUp(header.sizeBytes, 512);
    const { fd } = file;
    return { ...base, path, fd, writable: true, format: "qcow2", sizeBytes, backing: base };
  } catch (error) {
    file[Symbol.dispose]();
    throw error instanceof SysError ? hostError(path, error) : error;
  }
}

function makeOverlay(path: string, { path: base, format, sizeBytes }: DiskHandle): void {
  let file: FileHandle;
  try {
    file = FileHandle.open(path, { write: true, create: true, exclusive: true });
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.code !== "ENOENT") throw hostError(path, error);
    throw new DiskError(path, "missing", "there is no such directory", { cause: error });
  }
  try {
    // By its whole path: from wherever the overlay is looked at, it is that file.
    const name = format === "vhd" ? "vpc" : format;
    createQcow2(file, { sizeBytes, backing: { file: Deno.realPathSync(base), format: name } });
  } catch (error) {
    Deno.removeSync(path);
    throw error instanceof SysError ? hostError(path, error) : error;
  } finally {
    file[Symbol.dispose]();
  }
}

/** How an image, or one that is behind it, is opened. */
interface Opening {
  readonly write: boolean;
  readonly format: ImageFormat | undefined;
  readonly sectorBytes: number;
  readonly chain: BackingChain;
}

function openImage(path: string, opening: Opening): DiskHandle {
  const { write, format: wanted, sectorBytes, chain } = opening;
  checkKind(path, write);
  chain.enter(path);
  const file = openFile(path, write);
  let backing: DiskHandle | undefined;
  try {
    claim(file, path);
    const format = wanted ?? guessFormat(file, path);
    if (wanted !== undefined) checkFormat(file, wanted);
    let diskBytes = file.size;
    if (format === "qcow2") {
      const header = readHeader(file);
      if (write) mendForWriting(file, header);
      backing = openBacking(path, header, opening);
      diskBytes = header.sizeBytes;
    } else if (format !== "raw") {
      if (write) refuseWriting(path, format);
      diskBytes = readMap(file, format).sizeBytes;
    }
    const sizeBytes = alignUp(diskBytes, sectorBytes);
    checkSize(path, sizeBytes);
    const guarded = wanted === undefined && format === "raw";
    const { fd } = file;
    return { path, fd, writable: write, format, sizeBytes, guarded, backing, scratch: undefined };
  } catch (error) {
    file[Symbol.dispose]();
    if (backing !== undefined) closeDiskHandle(backing);
    throw error instanceof SysError ? hostError(path, error) : error;
  }
}

function openBacking(
  path: string,
  { backingFile, backingFormat }: Qcow2Header,
  opening: Opening,
): DiskHandle | undefined {
  if (backingFile === undefined) return undefined;
  const refuse = (why: string, cause?: unknown) =>
    new DiskError(path, "backing", `its backing file ${backingFile} ${why}`, { cause });
  // QEMU calls VHD by the program that had it first.
  const plainName = backingFormat === "vpc" ? "vhd" : backingFormat;
  const format = IMAGE_FORMATS.find((name) => name === plainName);
  if (backingFormat !== undefined && format === undefined) {
    throw refuse(`is of format "${backingFormat}", which is not supported`);
  }
  const target = opening.chain.resolve(path, backingFile);
  try {
    return openImage(target, { ...opening, write: false, format });
  } catch (cause) {
    if (!(cause instanceof DiskError)) throw cause;
    if (cause.code === "missing") throw refuse("is not there", cause);
    if (cause.code === "backing") throw cause;
    throw refuse(`cannot be used: ${cause.problem}`, cause);
  }
}

function refuseWriting(path: string, format: ImageFormat): never {
  const problem = `${format} images are only read; attach it read-only or with an overlay, ` +
    "or convert it with hv disk convert";
  throw new DiskError(path, "format", problem);
}

/** Makes sure that an image can be written: what an unclean end has left is mended. */
function mendForWriting(file: FileHandle, { incompatible }: Qcow2Header): void {
  const refuse = (problem: string): never => {
    throw new DiskError(
      file.path,
      "corrupt",
      `${problem}; repair it with hv disk check --repair, or attach it read-only`,
    );
  };
  if (incompatible & Incompatible.corrupt) refuse("it is marked as corrupt");
  if ((incompatible & Incompatible.dirty) === 0) return;
  repairQcow2(file);
  if (readHeader(file).incompatible & Incompatible.dirty) {
    refuse("it was not closed, and has errors");
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

function checkSize(path: string, sizeBytes: number): void {
  if (sizeBytes === 0) {
    throw new DiskError(path, "empty", "it is empty; give it a size, e.g. with truncate -s 10G");
  }
  if (sizeBytes > MAX_BYTES) {
    throw new DiskError(path, "size", `it has ${sizeBytes} bytes, and ${MAX_BYTES} are the most`);
  }
}

function guessFormat(file: FileHandle, path: string): ImageFormat {
  const found = formatOf(file);
  const format = IMAGE_FORMATS.find((name) => name === found);
  if (format !== undefined) return format;
  throw new DiskError(
    path,
    "format",
    `it is a ${found} image, and those of ${IMAGE_FORMATS.join(", ")} are read; ` +
      `convert it with qemu-img convert -O qcow2, or say format=raw if it is raw`,
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
