/**
 * Multiboot (version 1) kernels: a header in the first 8 KiB, loaded as ELF or by the addresses in
 * the header, entered in 32-bit protected mode with the boot information at EBX.
 *
 * Reference: Multiboot Specification 0.6.96, chapter 3. Left out: drives, APM, boot device.
 */

import { E820Type } from "../core/memory/e820.ts";
import { addressText } from "../core/hex.ts";
import { commandLineBytes } from "./linux/boot_params.ts";
import { isElf, parseElf, physicalEntry, placeElf } from "./elf.ts";
import { protected32 } from "./entry_state.ts";
import type { ImageReader } from "./image_reader.ts";
import { Placement } from "./placement.ts";
import type { BootPlan, BootRequest } from "./plan.ts";
import { cString, StructWriter } from "./struct_writer.ts";

const HEADER_SEARCH = 8192;
const HEADER_MAGIC = 0x1bad_b002;
const BOOTLOADER_MAGIC = 0x2bad_b002;
// Flags of the header (3.1.1).
const WANTS_VIDEO = 1 << 2;
const UNKNOWN_REQUIREMENTS = 0xfff8;
const HAS_ADDRESSES = 1 << 16;
// Flags of the boot information (3.3).
const INFO_MEMORY = 1 << 0;
const INFO_CMDLINE = 1 << 2;
const INFO_MODS = 1 << 3;
const INFO_MMAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;
const INFO_FRAMEBUFFER = 1 << 12;
const INFO_LENGTH = 116;
const MODULE_LENGTH = 16;
const MMAP_ENTRY_LENGTH = 24;
const FRAMEBUFFER_EGA_TEXT = 2;

const COMMAND_LINE_MAX = 4095;
const FOUR_GIB = 2 ** 32;
const ONE_MIB = 0x10_0000;

/** Offset of the Multiboot header in the file, or undefined. */
export function findMultibootHeader(file: ImageReader): number | undefined {
  const end = Math.min(file.length, HEADER_SEARCH) - 12;
  for (let at = 0; at <= end; at += 4) {
    if (file.u32(at) !== HEADER_MAGIC) continue;
    if ((HEADER_MAGIC + file.u32(at + 4) + file.u32(at + 8)) % FOUR_GIB === 0) return at;
  }
  return undefined;
}

/** Plans a Multiboot entry. Throws `BootError`. */
export function planMultiboot(request: BootRequest, file: ImageReader): BootPlan {
  const header = findMultibootHeader(file);
  if (header === undefined) throw file.error("it has no Multiboot header");
  const flags = file.u32(header + 4);
  if ((flags & UNKNOWN_REQUIREMENTS) !== 0) {
    throw file.error(
      `its Multiboot header requires what is not known here (flags ${addressText(flags)})`,
    );
  }
  const placement = new Placement(request);
  const rip = (flags & HAS_ADDRESSES) !== 0
    ? placeByAddresses(file, header, placement)
    : placeAsElf(file, placement);
  const rbx = placeInformation(request, placement, (flags & WANTS_VIDEO) !== 0);
  return {
    segments: placement.segments,
    entry: protected32(placement, { rip, rax: BOOTLOADER_MAGIC, rbx }),
    description: `Multiboot kernel, entry at ${addressText(rip)}`,
  };
}

function placeAsElf(file: ImageReader, placement: Placement): number {
  if (!isElf(file.bytes)) {
    throw file.error("its Multiboot header gives no addresses, and it is not an ELF file");
  }
  const elf = parseElf(file);
  placeElf(file, elf, placement);
  return physicalEntry(file, elf);
}

/** Loads one piece as the header says (3.1.3) and answers the entry's address. */
function placeByAddresses(file: ImageReader, header: number, placement: Placement): number {
  const headerAddress = file.u32(header + 12);
  const loadAddress = file.u32(header + 16);
  const loadEnd = file.u32(header + 20);
  const bssEnd = file.u32(header + 24);
  const entry = file.u32(header + 28);
  const offset = header - (headerAddress - loadAddress);
  if (headerAddress < loadAddress || offset < 0) {
    throw file.error("the addresses in its Multiboot header contradict each other");
  }
  const length = loadEnd === 0 ? file.length - offset : loadEnd - loadAddress;
  if (length <= 0) throw file.error("its Multiboot header asks to load nothing");
  const bytes = file.slice(offset, length, "the Multiboot kernel");
  const memoryLength = Math.max(length, bssEnd - loadAddress);
  if (entry < loadAddress || entry >= loadAddress + memoryLength) {
    throw file.error(`its entry point ${addressText(entry)} lies outside of what is loaded`);
  }
  placement.at(loadAddress, bytes, "the kernel", memoryLength);
  return entry;
}

/** Places the boot information and all that it points to; answers its address. */
function placeInformation(request: BootRequest, placement: Placement, video: boolean): number {
  const info = new StructWriter(INFO_LENGTH);
  let flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME;
  info.u32(4, ramFrom(request, 0) / 1024).u32(8, ramFrom(request, ONE_MIB) / 1024);

  // By custom the first word is the kernel's name.
  const name = request.kernelName.replace(/^.*\//s, "").replace(/\s/g, "_");
  const commandLine = { ...request, commandLine: `${name} ${request.commandLine}`.trimEnd() };
  info.u32(16, placement.low(commandLineBytes(commandLine, COMMAND_LINE_MAX), "the command line"));
  info.u32(64, placement.low(cString("hv"), "the loader's name"));

  if (request.initrd !== undefined && request.initrd.length > 0) {
    const start = placement.initrd(request.initrd, FOUR_GIB);
    const moduleLine = cString(request.initrdCommandLine ?? "initrd");
    const module = new StructWriter(MODULE_LENGTH);
    module.u32(0, start).u32(4, start + request.initrd.length);
    module.u32(8, placement.low(moduleLine, "the module's command line"));
    info.u32(20, 1).u32(24, placement.low(module.bytes, "the module list"));
    flags |= INFO_MODS;
  }
  const map = new StructWriter(request.memoryMap.length * MMAP_ENTRY_LENGTH);
  request.memoryMap.forEach((range, i) => {
    // The size field does not count itself.
    const at = i * MMAP_ENTRY_LENGTH;
    map.u32(at, MMAP_ENTRY_LENGTH - 4).u64(at + 4, range.base).u64(at + 12, range.length);
    map.u32(at + 20, range.type);
  });
  info.u32(44, map.bytes.length).u32(48, placement.low(map.bytes, "the memory map"));
  if (video && (request.textScreen ?? true)) {
    // Text mode 3 is what there is, whatever was wished for.
    info.u64(88, 0xb8000).u32(96, 160).u32(100, 80).u32(104, 25).u8(108, 16);
    info.u8(109, FRAMEBUFFER_EGA_TEXT);
    flags |= INFO_FRAMEBUFFER;
  }
  info.u32(0, flags);
  return placement.low(info.bytes, "the Multiboot information");
}

/** Bytes of RAM that are there without a hole from `start`, below 4 GiB, in whole KiB. */
function ramFrom(request: BootRequest, start: number): number {
  const range = request.memoryMap.find((r) =>
    r.type === E820Type.ram && r.base <= start && start < r.base + r.length
  );
  if (range === undefined) return 0;
  const length = Math.min(range.base + range.length, FOUR_GIB) - start;
  return length - (length % 1024);
}
