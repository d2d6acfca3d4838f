/** Which kind of kernel a file is, and what it is otherwise. */

import { BootError } from "./boot_error.ts";
import { elfComplaint, isElf, parseElf } from "./elf.ts";
import { ImageReader } from "./image_reader.ts";
import { findMultibootHeader } from "./multiboot.ts";
import { pvhEntry } from "./pvh.ts";
import { looksLikeBzImage } from "./linux/setup_header.ts";

/** The kernels that can be booted. */
export type KernelKind = "bzimage" | "elf-pvh" | "elf-linux" | "multiboot";

/** What kind of kernel a file is, by its content; undefined: `describeFile` says what it is. */
export function detectKernel(bytes: Uint8Array): KernelKind | undefined {
  const file = new ImageReader(bytes, "the file");
  if (looksLikeBzImage(file)) return "bzimage";
  if (!isElf(bytes)) return findMultibootHeader(file) === undefined ? undefined : "multiboot";
  if (elfComplaint(file) !== undefined) return undefined;
  if (hasPvhEntry(file)) return "elf-pvh";
  return findMultibootHeader(file) === undefined ? "elf-linux" : "multiboot";
}

/** A damaged ELF file still is one: whoever loads it says what is wrong with it. */
function hasPvhEntry(file: ImageReader): boolean {
  try {
    return pvhEntry(file, parseElf(file)) !== undefined;
  } catch (error) {
    if (error instanceof BootError) return false;
    throw error;
  }
}

interface Signature {
  readonly offset: number;
  /** Latin-1. */
  readonly magic: string;
  readonly is: string;
}

const SIGNATURES: readonly Signature[] = [
  { offset: 0, magic: "\x1f\x8b", is: "gzip-packed data: unpack it first (an initrd?)" },
  { offset: 0, magic: "\xfd7zXZ\0", is: "XZ-packed data: unpack it first" },
  { offset: 0, magic: "\x28\xb5\x2f\xfd", is: "Zstandard-packed data: unpack it first" },
  { offset: 0, magic: "070701", is: "a cpio archive: give it with --initrd" },
  { offset: 0, magic: "QFI\xfb", is: "a qcow2 disk image: give it with --disk" },
  { offset: 0, magic: "KDMV", is: "a VMDK disk image: give it with --disk" },
  { offset: 0, magic: "vhdxfile", is: "a VHDX disk image: give it with --disk" },
  { offset: 0x8001, magic: "CD001", is: "a CD image: give it with --cdrom" },
  { offset: 0x38, magic: "ARM\x64", is: "a Linux kernel for 64-bit ARM, not for a PC" },
  { offset: 0, magic: "\x27\x05\x19\x56", is: "a U-Boot image, not for a PC" },
  { offset: 0, magic: "!<arch>\n", is: "an archive (a library or a Debian package)" },
  { offset: 0, magic: "PK\x03\x04", is: "a ZIP archive" },
  { offset: 0, magic: "#!", is: "a script" },
  { offset: 0, magic: "MZ", is: "an EFI or DOS program, which needs firmware to start it" },
  { offset: 510, magic: "\x55\xaa", is: "a disk image or boot sector: give it with --disk" },
];

/** What a file that is no kernel looks like, as a phrase that follows "it is". */
export function describeFile(bytes: Uint8Array): string {
  if (bytes.length === 0) return "empty";
  if (isElf(bytes)) {
    return elfComplaint(new ImageReader(bytes, "the file")) ?? "an ELF executable";
  }
  const found = SIGNATURES.find(({ offset, magic }) =>
    [...magic].every((char, i) => bytes[offset + i] === char.charCodeAt(0))
  );
  if (found !== undefined) return found.is;
  if (bytes.length < 1024) return `only ${bytes.length} bytes long`;
  return "no kernel that is known here (Linux bzImage, ELF, Multiboot)";
}
