/** An open image on its way to the thread that serves it: descriptors, which are the process's. */

import { closeDescriptor, FileHandle } from "../../hv/sys/mod.ts";
import type { DiskImage } from "./disk_image.ts";
import { OverlayImage } from "./overlay_image.ts";
import { RawImage } from "./raw_image.ts";

/** Cloneable; made by `openDiskHandle`. */
export interface DiskHandle {
  readonly path: string;
  readonly fd: number;
  readonly writable: boolean;
  readonly sizeBytes: number;
  /** Was it only guessed to be raw? Then the guest cannot make it look like another format. */
  readonly guarded: boolean;
  /** Descriptor of the overlay's scratch file. */
  readonly scratch: number | undefined;
}

/** The image behind a handle, for the one thread that serves it; disposing of it closes the handle. */
export function attachDisk(
  { path, fd, writable, sizeBytes, guarded, scratch }: DiskHandle,
): DiskImage {
  const image = new RawImage(new FileHandle(fd, path, writable), sizeBytes, { guarded });
  if (scratch === undefined) return image;
  return new OverlayImage(image, new FileHandle(scratch, `the overlay of ${path}`, true));
}

/**
 * The first 512 bytes of an image that nobody serves yet.
 *
 * @throws SysError
 */
export function readBootSector({ path, fd, writable }: DiskHandle): Uint8Array {
  const sector = new Uint8Array(512);
  new FileHandle(fd, path, writable).read(sector, 0);
  return sector;
}

/** Closes a handle, for whoever has not disposed of its image. */
export function closeDiskHandle({ fd, scratch }: DiskHandle): void {
  closeDescriptor(fd);
  if (scratch !== undefined) closeDescriptor(scratch);
}
