/** `hv disk resize`. */

import { type ImageFormat } from "../../../devices/disk/formats/image_format.ts";
import { openDisk, openDiskHandle } from "../../../devices/disk/open_disk.ts";
import { attachDisk, closeDiskHandle } from "../../../devices/disk/disk_handle.ts";
import { resizeQcow2 } from "../../../devices/disk/qcow2/resize.ts";
import { UsageError } from "../../errors.ts";
import { parseBytes, showBytes } from "../../options/sizes.ts";
import { FileHandle } from "../../sys/file/file.ts";
import { ExitCode } from "../words/option_table.ts";
import { print } from "../say.ts";

const SECTOR_BYTES = 512;
/** What is made zeros at once of a part that a backing file would show through. */
const PART_BYTES = 2 ** 30;

/** Gives the disk another size: `SIZE`, or `+SIZE` more. */
export function resizeImage(
  path: string,
  size: string,
  { format, shrink, backingFolder }: {
    format: ImageFormat | undefined;
    shrink: boolean;
    backingFolder: string | undefined;
  },
): number {
  const options = {
    path,
    ...(format && { format }),
    ...(backingFolder && { backingFolder }),
  };
  const handle = openDiskHandle(options);
  let from: number;
  let to: number;
  try {
    from = handle.sizeBytes;
    to = newSize(size, from);
    if (to < from && !shrink) {
      throw new UsageError(
        `Cannot make ${path} smaller, from ${showBytes(from)} to ${showBytes(to)}: ` +
          "what is beyond would be lost; --shrink allows it",
      );
    }
    const file = new FileHandle(handle.fd, path, true);
    if (file.kind !== "file") throw new UsageError(`Cannot resize ${path}: it is a device`);
    if (handle.format === "raw") {
      file.resize(to);
    } else {
      if (to < from) {
        // Were the disk made larger again, nothing of it should come back.
        const image = attachDisk(handle);
        image.writeZeroes(to, from - to, true);
        image.flush();
      }
      resizeQcow2(file, to);
    }
  } finally {
    closeDiskHandle(handle);
  }
  if (to > from && handle.backing !== undefined && handle.backing.sizeBytes > from) {
    // The backing file would show through where the smaller disk had nothing.
    using image = openDisk(options);
    const end = Math.min(to, handle.backing.sizeBytes);
    for (let at = from; at < end; at += PART_BYTES) {
      image.writeZeroes(at, Math.min(PART_BYTES, end - at), true);
    }
    image.flush();
  }
  print(`${path}: ${showBytes(to)}, before ${showBytes(from)}`);
  return ExitCode.ok;
}

function newSize(text: string, from: number): number {
  const isMore = text.startsWith("+");
  const bytes = parseBytes(isMore ? text.slice(1) : text);
  const to = bytes === undefined ? NaN : (isMore ? from : 0) + bytes;
  if (!(to >= SECTOR_BYTES && to <= 2 ** 52)) {
    throw new UsageError(
      `Cannot make a disk of "${text}": write a size like 40G, or +10G for more`,
    );
  }
  return Math.ceil(to / SECTOR_BYTES) * SECTOR_BYTES;
}
