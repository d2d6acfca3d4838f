/** Formats of disk images, told apart by how a file begins. */

import { DiskError } from "../disk_image.ts";
import type { ImageFile } from "../image_file.ts";
import type { ImageFormat } from "./image_format.ts";
import { isVhd } from "./vhd_map.ts";

/** As much of a file's beginning as is looked at, bytes. */
export const MAGIC_BYTES = 32;

/** The first that fits; what fits none is raw. */
const MAGICS: readonly (readonly [format: string, magic: string])[] = [
  ["qcow2", "QFI\xfb"],
  ["vmdk", "KDMV"],
  ["vmdk", "COWD"],
  ["vmdk", "# Disk DescriptorFile"],
  ["vhdx", "vhdxfile"],
  // Of dynamic images; a fixed one has it at its end only, and has to be called one.
  ["vhd", "conectix"],
  ["VDI", "<<< "],
  ["QED", "QED\0"],
  ["LUKS", "LUKS\xba\xbe"],
  ["Parallels", "WithoutFreeSpace"],
  ["Parallels", "WithouFreSpacExt"],
];

/** What an image is whose file begins with `head`, by the name that people know it by. */
export function detectFormat(head: Uint8Array): string {
  const text = String.fromCharCode(...head.subarray(0, MAGIC_BYTES));
  return MAGICS.find(([, magic]) => text.startsWith(magic))?.[0] ?? "raw";
}

/** What a file begins as, by the name that people know it by. */
export function formatOf(file: ImageFile): string {
  const head = new Uint8Array(MAGIC_BYTES);
  file.read(head, 0);
  return detectFormat(head);
}

/**
 * Makes sure that a file is what somebody has said that it is; anything can be raw.
 *
 * @throws DiskError
 */
export function checkFormat(file: ImageFile, wanted: ImageFormat): void {
  if (wanted === "raw") return;
  const found = formatOf(file);
  // A fixed VHD image has its mark at its end only, and before it whatever a guest has written.
  if (found === wanted || wanted === "vhd" && isVhd(file)) return;
  const problem = found === "raw"
    ? `it is no ${wanted} image`
    : `it is a ${found} image, not ${wanted}`;
  throw new DiskError(file.path, "format", problem);
}
