/** The images of a machine, opened and claimed on main, served by the I/O worker. */

import { bestAio } from "../../devices/disk/engine/aio_kind.ts";
import { DiskError } from "../../devices/disk/disk_image.ts";
import {
  closeDiskHandle,
  type DiskHandle,
  readBootSector,
} from "../../devices/disk/disk_handle.ts";
import { floppyImageBytes, openDiskHandle } from "../../devices/disk/open_disk.ts";
import type { DriveConfig } from "../pc/board_config.ts";
import type { ResolvedDrive } from "../options/drive_options.ts";
import type { DriveKind } from "../core/media/drive_kind.ts";
import { diskGeometry } from "../core/media/disk_geometry.ts";

/** See above. */
export class Media implements Disposable {
  /** The drives of the board with what is in them, in the I/O worker's order. */
  readonly drives: readonly DriveConfig[];
  /** The media in the same order. */
  readonly handles: readonly (DiskHandle | undefined)[];

  /** @throws {DiskError} When an image cannot be used; those opened before are closed. */
  constructor(drives: readonly ResolvedDrive[]) {
    const handles: DiskHandle[] = [];
    try {
      for (const drive of drives) handles.push(openMedium(drive));
      this.drives = drives.map((drive, i) => describeDrive(drive, handles[i]));
    } catch (error) {
      handles.forEach(closeDiskHandle);
      throw error;
    }
    this.handles = handles;
  }

  [Symbol.dispose](): void {
    for (const handle of this.handles) if (handle !== undefined) closeDiskHandle(handle);
  }
}

/** The drive as the board knows it. */
export function describeDrive(
  { kind, unit, interface: behind, serial, rates }: ResolvedDrive,
  handle: DiskHandle,
): DriveConfig {
  const { sizeBytes, writable, scratch } = handle;
  const readOnly = !writable && scratch === undefined;
  const common = { unit, sizeBytes, readOnly, ...(rates === undefined ? {} : { rates }) };
  if (kind !== "disk") return { kind, ...common };
  // A disk partitioned under another firmware keeps the geometry that it has there.
  const geometry = diskGeometry(sizeBytes, readBootSector(handle));
  const name = serial === undefined ? {} : { serial };
  return { kind, interface: behind, ...common, geometry, ...name };
}

/**
 * Opens and claims what is in a drive.
 *
 * @throws {DiskError} When it cannot be used.
 */
export function openMedium(
  { kind, path, interface: behind, aio, ...drive }: ResolvedDrive,
): DiskHandle {
  if (aio === "io_uring" && bestAio() !== aio) {
    throw new DiskError(
      path,
      "host",
      "this host has no io_uring (a kernel before 5.6, or forbidden); leave aio out for threads",
    );
  }
  const handle = openDrive(kind, path, drive);
  return behind === "virtio" ? { ...handle, aio: aio ?? bestAio() } : handle;
}

function openDrive(
  kind: DriveKind,
  path: string,
  drive: Pick<ResolvedDrive, "readOnly" | "overlay" | "format" | "backingFolder">,
): DiskHandle {
  const handle = openDiskHandle({
    path,
    ...drive,
    sectorBytes: kind === "cdrom" ? 2048 : 512,
  });
  try {
    if (kind !== "floppy") return handle;
    const { isFile, size } = Deno.statSync(path);
    return {
      ...handle,
      sizeBytes: floppyImageBytes(
        path,
        isFile && handle.format === "raw" ? size : handle.sizeBytes,
      ),
    };
  } catch (error) {
    closeDiskHandle(handle);
    throw error;
  }
}
