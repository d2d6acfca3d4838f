/** What an image is, without claiming it: a machine that runs may have it. */

import { readMap } from "../disk_handle.ts";
import { checkKind, openFile } from "../image_access.ts";
import { checkFormat, formatOf } from "./detect_format.ts";
import { IMAGE_FORMATS, type ImageFormat } from "./image_format.ts";
import { Incompatible, type Qcow2Header, readHeader } from "../qcow2/header.ts";
import { readSnapshots, type Snapshot } from "../qcow2/snapshots.ts";

/** See above. Sizes are in bytes. */
export interface ImageInfo {
  readonly path: string;
  /** By the name that people know it by; not all can be opened. */
  readonly format: string;
  /** Of the disk. */
  readonly sizeBytes: number;
  /** What the file takes on the host. */
  readonly hostBytes: number;
  readonly qcow2?: {
    readonly header: Qcow2Header;
    readonly snapshots: readonly Snapshot[];
    readonly isDirty: boolean;
    readonly isCorrupt: boolean;
  };
}

/**
 * Looks at the image at `path`, at nothing behind it.
 *
 * @throws SysError, DiskError
 */
export function imageInfo(path: string, wanted?: ImageFormat): ImageInfo {
  checkKind(path, false);
  using file = openFile(path, false);
  const format = wanted ?? formatOf(file);
  if (wanted !== undefined) checkFormat(file, wanted);
  const { isFile, blocks } = Deno.statSync(path);
  const hostBytes = isFile && blocks !== null ? blocks * 512 : file.size;
  if (format !== "qcow2") {
    const name = IMAGE_FORMATS.find((known) => known === format);
    const isMapped = name !== undefined && name !== "raw" && name !== "qcow2";
    const sizeBytes = isMapped ? readMap(file, name).sizeBytes : file.size;
    return { path, format, sizeBytes, hostBytes };
  }
  const header = readHeader(file);
  const { snapshots } = readSnapshots(file, header);
  const isDirty = (header.incompatible & Incompatible.dirty) !== 0;
  const isCorrupt = (header.incompatible & Incompatible.corrupt) !== 0;
  const qcow2 = { header, snapshots, isDirty, isCorrupt };
  return { path, format, sizeBytes: header.sizeBytes, hostBytes, qcow2 };
}
