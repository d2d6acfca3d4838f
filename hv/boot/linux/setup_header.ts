/**
 * The setup header of a Linux kernel image.
 *
 * Reference: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header", up to
 * protocol 2.15. Fields that the image's protocol does not have read as their documented default.
 */

import type { ImageReader } from "../image_reader.ts";
import type { Placement } from "../placement.ts";

/** Bytes of a setup sector. */
const SECTOR = 512;
export const HEADER_START = 0x1f1;
/** Where later parts of the zero page begin: the header cannot be longer. */
const HEADER_END_MAX = 0x290;
const SETUP_SECTS = 0x1f1;
const SYSSIZE = 0x1f4;
export const BOOT_FLAG = 0x1fe;
const JUMP_LENGTH = 0x201;
export const HEADER_MAGIC = 0x202;
export const VERSION = 0x206;
const KERNEL_VERSION = 0x20e;
export const LOADFLAGS = 0x211;
const INITRD_ADDR_MAX = 0x22c;
const KERNEL_ALIGNMENT = 0x230;
const XLOADFLAGS = 0x236;
const CMDLINE_SIZE = 0x238;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const PREF_ADDRESS = 0x258;
const INIT_SIZE = 0x260;

/** "HdrS", little-endian. */
export const HDRS = 0x5372_6448;
/** Bit of `loadFlags`: the protected-mode part goes to 100000h (a bzImage). */
export const LOADED_HIGH = 1 << 0;
const XLF_KERNEL_64 = 1 << 0;

/** What the loaders want to know of the header. */
export interface SetupHeader {
  /** Protocol version, e.g. 20Fh for 2.15. */
  readonly version: number;
  /** End of the header as a file offset. */
  readonly headerEnd: number;
  /** Bytes of boot sector and setup code: the protected-mode part follows. */
  readonly setupLength: number;
  /** Whether the protected-mode part goes to 100000h rather than 10000h. */
  readonly loadedHigh: boolean;
  /** Whether the protected-mode part has a 64-bit entry at +200h. */
  readonly has64BitEntry: boolean;
  /** Highest address that an initrd may occupy, inclusive. */
  readonly initrdAddressMax: number;
  /** Longest command line in bytes, without its terminating zero. */
  readonly commandLineMax: number;
  /** Packed kernel within the protected-mode part; length 0 when there is none. */
  readonly payloadOffset: number;
  readonly payloadLength: number;
  /** Where the kernel unpacks itself to; 0 when not said. */
  readonly preferredAddress: number;
  /** Bytes that it needs there before it knows the memory map. */
  readonly initSize: number;
  readonly kernelAlignment: number;
  /** Release, as `uname -r` says it; may be empty. */
  readonly kernelVersion: string;
}

/** Whether the file begins as a Linux kernel image does, perhaps cut off behind that. */
export function looksLikeBzImage(file: ImageReader): boolean {
  return file.length >= HEADER_MAGIC + 4 && file.u16(BOOT_FLAG) === 0xaa55 &&
    file.u32(HEADER_MAGIC) === HDRS;
}

/** Reads and checks the header. Throws `BootError`. */
export function parseSetupHeader(file: ImageReader): SetupHeader {
  if (!looksLikeBzImage(file)) throw file.error("it has no Linux setup header");
  const version = file.u16(VERSION);
  if (version < 0x200 || version >= 0x300) {
    throw file.error(`its boot protocol ${version >> 8}.${version & 0xff} is unknown`);
  }
  const headerEnd = Math.min(HEADER_MAGIC + file.u8(JUMP_LENGTH), HEADER_END_MAX);
  const field = (since: number, offset: number, size: 1 | 2 | 4 | 8, fallback: number): number => {
    if (version < since || offset + size > headerEnd) return fallback;
    switch (size) {
      case 1:
        return file.u8(offset);
      case 2:
        return file.u16(offset);
      case 4:
        return file.u32(offset);
      case 8:
        return file.u64(offset);
    }
  };
  const setupSectors = file.u8(SETUP_SECTS) || 4;
  const setupLength = (setupSectors + 1) * SECTOR;
  const loadFlags = file.u8(LOADFLAGS);
  file.slice(0, setupLength, "the setup code");
  // Below 2.04 the size has 16 bits and is not reliable; it is in units of 16 bytes, rounded up.
  const sysLength = version >= 0x204 ? file.u32(SYSSIZE) * 16 : 0;
  if (file.length + 15 < setupLength + sysLength) {
    throw file.error(
      `the file is cut off: its header claims ${setupLength + sysLength} bytes, ` +
        `but it has ${file.length}`,
    );
  }
  if (file.length === setupLength) throw file.error("the file ends behind the setup code");
  const payloadOffset = field(0x208, PAYLOAD_OFFSET, 4, 0);
  const payloadLength = field(0x208, PAYLOAD_LENGTH, 4, 0);
  if (payloadLength > 0) {
    file.slice(setupLength + payloadOffset, payloadLength, "the packed kernel");
  }
  const versionAt = file.u16(KERNEL_VERSION);
  return {
    version,
    headerEnd,
    setupLength,
    loadedHigh: (loadFlags & LOADED_HIGH) !== 0,
    has64BitEntry: (field(0x20c, XLOADFLAGS, 2, 0) & XLF_KERNEL_64) !== 0,
    initrdAddressMax: field(0x203, INITRD_ADDR_MAX, 4, 0x37ff_ffff),
    commandLineMax: field(0x206, CMDLINE_SIZE, 4, 255),
    payloadOffset,
    payloadLength,
    preferredAddress: field(0x20a, PREF_ADDRESS, 8, 0),
    initSize: field(0x20a, INIT_SIZE, 4, 0),
    kernelAlignment: field(0x205, KERNEL_ALIGNMENT, 4, 0),
    kernelVersion: versionAt === 0 ? "" : file.text(versionAt + 0x200, 64).split(" ")[0],
  };
}

/** Keeps the place that the kernel unpacks itself to, behind `from`, free of the initrd. */
export function reserveRunningKernel(
  placement: Placement,
  header: SetupHeader,
  from: number,
): void {
  if (header.preferredAddress === 0) return;
  const start = Math.max(from, header.preferredAddress);
  const end = header.preferredAddress + header.initSize;
  if (end > start) placement.reserve(start, end - start, "the unpacked kernel");
}
