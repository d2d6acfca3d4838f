/**
 * ELF kernels with a PVH entry: 32-bit protected mode, a start-info structure at EBX.
 *
 * References: Xen docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h (version 1).
 */

import { addressText } from "../core/hex.ts";
import type { Elf } from "./elf.ts";
import { findNote, parseElf, physicalEntry, placeElf } from "./elf.ts";
import { protected32 } from "./entry_state.ts";
import type { ImageReader } from "./image_reader.ts";
import { Placement } from "./placement.ts";
import type { BootPlan, BootRequest } from "./plan.ts";
import { commandLineBytes } from "./linux/boot_params.ts";
import { cString, StructWriter } from "./struct_writer.ts";

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const XEN_HVM_START_MAGIC_VALUE = 0x336e_c578;
const START_INFO_LENGTH = 56;
const MODULE_LENGTH = 32;
const MEMMAP_ENTRY_LENGTH = 24;
/** The protocol names no limit; a page is more than any kernel keeps. */
const COMMAND_LINE_MAX = 4095;
const FOUR_GIB = 2 ** 32;

/** The entry of the PVH note, or undefined when there is none. */
export function pvhEntry(file: ImageReader, elf: Elf): number | undefined {
  const note = findNote(file, elf, "Xen", XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || note.length < 4) return undefined;
  const view = new DataView(note.buffer, note.byteOffset, note.byteLength);
  return view.getUint32(0, true);
}

/** Plans the PVH entry. Throws `BootError`. */
export function planPvh(request: BootRequest, file: ImageReader): BootPlan {
  const elf = parseElf(file);
  const noted = pvhEntry(file, elf);
  if (noted === undefined) throw file.error("it has no PVH entry");
  const placement = new Placement(request);
  placeElf(file, elf, placement);
  const rip = physicalEntry(file, elf, BigInt(noted));
  const info = new StructWriter(START_INFO_LENGTH);
  info.u32(0, XEN_HVM_START_MAGIC_VALUE).u32(4, 1);
  const commandLine = commandLineBytes(request, COMMAND_LINE_MAX);
  info.u64(24, placement.low(commandLine, "the command line"));
  info.u64(32, request.rsdpAddress ?? 0);
  const map = new StructWriter(request.memoryMap.length * MEMMAP_ENTRY_LENGTH);
  request.memoryMap.forEach((range, i) => {
    const at = i * MEMMAP_ENTRY_LENGTH;
    map.u64(at, range.base).u64(at + 8, range.length).u32(at + 16, range.type);
  });
  info.u64(40, placement.low(map.bytes, "the memory map")).u32(48, request.memoryMap.length);
  if (request.initrd !== undefined && request.initrd.length > 0) {
    const module = new StructWriter(MODULE_LENGTH);
    module.u64(0, placement.initrd(request.initrd, FOUR_GIB)).u64(8, request.initrd.length);
    const name = cString(request.initrdCommandLine ?? "initrd");
    module.u64(16, placement.low(name, "the module's command line"));
    info.u64(16, placement.low(module.bytes, "the module list")).u32(12, 1);
  }
  const rbx = placement.low(info.bytes, "the PVH start information");
  return {
    segments: placement.segments,
    entry: protected32(placement, { rip, rbx }),
    description: `ELF kernel, PVH entry at ${addressText(rip)}`,
  };
}
