/** An open image on its way to the thread that serves it: descriptors, which are the process's. */

import { closeDescriptor } from "../../hv/sys/descriptor.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";
import type { AioKind } from "./engine/aio_kind.ts";
import type { DiskImage } from "./disk_image.ts";
import type { ImageFormat } from "./formats/image_format.ts";
import { type BlockMap, MappedImage } from "./formats/mapped_image.ts";
import { OverlayImage } from "./formats/overlay_image.ts";
import { readHeader } from "./qcow2/header.ts";
import { Qcow2Image } from "./qcow2/qcow2_image.ts";
import { RawImage } from "./formats/raw_image.ts";
import { readVhd } from "./formats/vhd_map.ts";
import { readVhdx } from "./formats/vhdx_map.ts";
import { readVmdk } from "./formats/vmdk_map.ts";

/**
 * The map of an image of a format that is only read.
 *
 * @throws DiskError
 */
export function readMap(file: FileHandle, format: Exclude<ImageFormat, "raw" | "qcow2">): BlockMap {
  switch (format) {
    case "vhd":
      return readVhd(file);
    case "vhdx":
      return readVhdx(file);
    case "vmdk":
      return readVmdk(file);
  }
}

/** Cloneable; made by `openDiskHandle`. */
export interface DiskHandle {
  readonly path: string;
  readonly fd: number;
  readonly writable: boolean;
  readonly format: ImageFormat;
  /** Of the disk. */
  readonly sizeBytes: number;
  /** Was it only guessed to be raw? Then the guest cannot make it look like another format. */
  readonly guarded: boolean;
  /** Read where the image has nothing. */
  readonly backing: DiskHandle | undefined;
  /** Descriptor of the overlay's scratch file. */
  readonly scratch: number | undefined;
  /** How it is transferred from and to, for a device that has many requests under way. */
  readonly aio?: AioKind;
}

/** The image behind a handle, for the one thread that serves it; disposing of it closes the handle. */
export function attachDisk(handle: DiskHandle): DiskImage {
  const { path, scratch } = handle;
  const image = attachImage(handle);
  if (scratch === undefined) return image;
  return new OverlayImage(image, new FileHandle(scratch, `the overlay of ${path}`, true));
}

function attachImage(handle: DiskHandle): DiskImage {
  const { path, fd, writable, format, sizeBytes, guarded, backing } = handle;
  const file = new FileHandle(fd, path, writable);
  switch (format) {
    case "raw":
      return new RawImage(file, sizeBytes, { guarded });
    case "qcow2":
      return new Qcow2Image(file, readHeader(file), sizeBytes, backing && attachImage(backing));
    default:
      return new MappedImage(file, readMap(file, format), sizeBytes);
  }
}

/**
 * The first 512 bytes of an image that nobody serves yet.
 *
 * @throws SysError, DiskError
 */
export function readBootSector(handle: DiskHandle): Uint8Array {
  const sector = new Uint8Array(512);
  attachDisk(handle).read(0, sector);
  return sector;
}

/** Closes a handle, for whoever has not disposed of its image. */
export function closeDiskHandle({ fd, scratch, backing }: DiskHandle): void {
  closeDescriptor(fd);
  if (scratch !== undefined) closeDescriptor(scratch);
  if (backing !== undefined) closeDiskHandle(backing);
}
