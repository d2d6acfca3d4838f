/**
 * The "zero page" that a Linux kernel finds at ESI or RSI when it is entered in protected or long
 * mode.
 *
 * References: Linux Documentation/arch/x86/zero-page.rst; struct screen_info, boot_e820_entry.
 */

import { E820Type } from "../../core/memory/e820.ts";
import { BootError } from "../boot_error.ts";
import type { Placement } from "../placement.ts";
import type { BootRequest } from "../plan.ts";
import {
  BOOT_FLAG,
  HDRS,
  HEADER_MAGIC,
  HEADER_START,
  LOADED_HIGH,
  LOADFLAGS,
  VERSION,
} from "./setup_header.ts";
import { cString, StructWriter } from "../struct_writer.ts";

const PAGE = 4096;
// struct screen_info, at the start.
const ORIG_VIDEO_MODE = 0x06;
const ORIG_VIDEO_COLS = 0x07;
const ORIG_VIDEO_EGA_BX = 0x0a;
const ORIG_VIDEO_LINES = 0x0e;
const ORIG_VIDEO_IS_VGA = 0x0f;
const ORIG_VIDEO_POINTS = 0x10;
const EXT_MEM_K = 0x02;
const ACPI_RSDP_ADDR = 0x70;
const ALT_MEM_K = 0x1e0;
const E820_ENTRIES = 0x1e8;
const VID_MODE = 0x1fa;
const TYPE_OF_LOADER = 0x210;
const CODE32_START = 0x214;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const CMD_LINE_PTR = 0x228;
const KERNEL_ALIGNMENT = 0x230;
const E820_TABLE = 0x2d0;
const E820_ENTRY = 20;
const E820_MAX = 128;

const LOADER_UNKNOWN = 0xff;
const VIDEO_MODE_NORMAL = 0xffff;
/** Set by the kernel's unpacker when it chose a random address, which nobody did here. */
const KASLR_FLAG = 1 << 1;
const ONE_MIB = 0x10_0000;

/** What differs between kernels. */
export interface BootParamsOptions {
  /** The image's own header, from file offset 1F1h, or undefined for a bare vmlinux. */
  readonly header?: Uint8Array;
  /** Where the protected-mode part is, when there is one. */
  readonly code32Start?: number;
  /** Highest address that an initrd may occupy, inclusive. */
  readonly initrdAddressMax: number;
  /** Longest command line in bytes, without its terminating zero. */
  readonly commandLineMax: number;
}

/** The command line as the guest gets it. Throws `BootError` when it is too long. */
export function commandLineBytes(request: BootRequest, max: number): Uint8Array {
  const bytes = cString(request.commandLine);
  if (bytes.length - 1 > max) {
    throw new BootError(
      request.kernelName,
      `the command line has ${bytes.length - 1} bytes, but this kernel takes at most ${max}`,
    );
  }
  if (bytes.indexOf(0) !== bytes.length - 1) {
    throw new BootError(request.kernelName, "the command line contains a zero byte");
  }
  return bytes;
}

/** Places command line, initrd and the zero page itself; answers the zero page's address. */
export function placeBootParams(
  request: BootRequest,
  placement: Placement,
  options: BootParamsOptions,
): number {
  const page = new StructWriter(PAGE);
  if (options.header !== undefined) page.set(HEADER_START, options.header);
  else bareHeader(page);
  page.u8(TYPE_OF_LOADER, LOADER_UNKNOWN).u16(VID_MODE, VIDEO_MODE_NORMAL);
  page.u8(LOADFLAGS, page.bytes[LOADFLAGS] & ~KASLR_FLAG);
  if (options.code32Start !== undefined) page.u32(CODE32_START, options.code32Start);

  const commandLine = commandLineBytes(request, options.commandLineMax);
  page.u32(CMD_LINE_PTR, placement.low(commandLine, "the command line"));
  page.u32(RAMDISK_IMAGE, 0).u32(RAMDISK_SIZE, 0);
  if (request.initrd !== undefined && request.initrd.length > 0) {
    page.u32(RAMDISK_IMAGE, placement.initrd(request.initrd, options.initrdAddressMax + 1));
    page.u32(RAMDISK_SIZE, request.initrd.length);
  }
  if (request.textScreen ?? true) textMode3(page);
  page.u64(ACPI_RSDP_ADDR, request.rsdpAddress ?? 0);
  memoryMap(request, page);
  return placement.low(page.bytes, "the boot parameters", PAGE);
}

/** A vmlinux brings no header: this is the least that the kernel looks at. */
function bareHeader(page: StructWriter): void {
  page.u16(BOOT_FLAG, 0xaa55).u32(HEADER_MAGIC, HDRS).u16(VERSION, 0x20f);
  page.u8(LOADFLAGS, LOADED_HIGH).u32(KERNEL_ALIGNMENT, 0x100_0000);
}

/** VGA, 80 by 25 characters of 16 lines, colour, 256 KiB. */
function textMode3(page: StructWriter): void {
  page.u8(ORIG_VIDEO_MODE, 3).u8(ORIG_VIDEO_COLS, 80).u8(ORIG_VIDEO_LINES, 25);
  page.u16(ORIG_VIDEO_EGA_BX, 3).u8(ORIG_VIDEO_IS_VGA, 1).u16(ORIG_VIDEO_POINTS, 16);
}

function memoryMap(request: BootRequest, page: StructWriter): void {
  const map = request.memoryMap;
  if (map.length > E820_MAX) {
    throw new BootError(
      request.kernelName,
      `the memory map has ${map.length} ranges, but Linux takes ${E820_MAX}`,
    );
  }
  page.u8(E820_ENTRIES, map.length);
  map.forEach((range, i) => {
    const at = E820_TABLE + i * E820_ENTRY;
    page.u64(at, range.base).u64(at + 8, range.length).u32(at + 16, range.type);
  });
  const high = map.find((r) =>
    r.type === E820Type.ram && r.base <= ONE_MIB && r.base + r.length > ONE_MIB &&
    r.base + r.length <= 2 ** 32
  );
  const kib = high === undefined ? 0 : Math.floor((high.base + high.length - ONE_MIB) / 1024);
  page.u32(ALT_MEM_K, kib).u16(EXT_MEM_K, Math.min(kib, 0xffff));
}
