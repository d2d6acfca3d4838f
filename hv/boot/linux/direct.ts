/**
 * Linux images entered past their setup code: the packed kernel is unpacked here and entered at
 * its own first instruction, or, where that is not possible, its unpacker is entered.
 *
 * Reference: Linux Documentation/arch/x86/boot.rst, "32-bit" and "64-bit boot protocol".
 */

import { addressText } from "../../core/hex.ts";
import type { BootParamsOptions } from "./boot_params.ts";
import { placeBootParams } from "./boot_params.ts";
import { elfEnd, parseElf, physicalEntry, placeElf } from "../elf.ts";
import { long64, protected32 } from "../entry_state.ts";
import { ImageReader } from "../image_reader.ts";
import { PackedDataError } from "../unpack/packed_data_error.ts";
import { Placement } from "../placement.ts";
import type { BootPlan, BootRequest } from "../plan.ts";
import { HEADER_START, reserveRunningKernel } from "./setup_header.ts";
import type { SetupHeader } from "./setup_header.ts";
import type { Packing } from "../unpack/unpack.ts";
import { canUnpack, packingOf, unpack } from "../unpack/unpack.ts";

const PROTECTED_HIGH = 0x10_0000;
/** Offset of the 64-bit entry in the protected-mode part. */
const ENTRY_64 = 0x200;

/** How the packed kernel is packed; undefined when there is none or its packing is unknown. */
export function payloadPacking(file: ImageReader, header: SetupHeader): Packing | undefined {
  return header.payloadLength === 0 ? undefined : packingOf(payloadOf(file, header));
}

/** Unpacks the kernel on the host and plans the entry at its first instruction. */
export async function planLinuxUnpacked(
  request: BootRequest,
  file: ImageReader,
  header: SetupHeader,
): Promise<BootPlan> {
  const packing = payloadPacking(file, header);
  if (packing === undefined || !canUnpack(packing)) {
    throw file.error("its packed kernel is in a form that is not known here");
  }
  const placement = new Placement(request);
  let unpacked: Uint8Array;
  try {
    unpacked = await unpack(payloadOf(file, header), packing, placement.largestRam);
  } catch (cause) {
    if (!(cause instanceof PackedDataError)) throw cause;
    throw file.error(`its packed kernel (${packing}) cannot be unpacked: ${cause.message}`, cause);
  }
  return planVmlinux(request, new ImageReader(unpacked, file.name), placement, {
    ...imageOptions(file, header),
    runningEnd: header.preferredAddress + header.initSize,
    name: `${header.kernelVersion || "kernel"} (${packing}, unpacked here)`,
  });
}

/** Plans the entry of a bare vmlinux: 64-bit or 32-bit as its ELF header says. */
export function planVmlinux(
  request: BootRequest,
  file: ImageReader,
  placement: Placement,
  options: BootParamsOptions & { readonly runningEnd?: number; readonly name: string },
): BootPlan {
  const elf = parseElf(file);
  placeElf(file, elf, placement);
  // init_size counts more than the segments: what the kernel takes behind them before it
  // knows the memory map.
  const end = elfEnd(elf);
  const runningEnd = options.runningEnd ?? 0;
  if (runningEnd > end) placement.reserve(end, runningEnd - end, "the kernel's early memory");
  const rip = physicalEntry(file, elf);
  const rsi = placeBootParams(request, placement, options);
  return {
    segments: placement.segments,
    entry: elf.bits === 64 ? long64(placement, { rip, rsi }) : protected32(placement, { rip, rsi }),
    description: `Linux ${options.name}, ${elf.bits}-bit entry at ${addressText(rip)}`,
  };
}

/** Plans the entry of the image's own unpacker, in 32-bit or 64-bit mode. */
export function planLinuxSelfUnpacking(
  request: BootRequest,
  file: ImageReader,
  header: SetupHeader,
  mode: "protected32" | "long64",
): BootPlan {
  if (!header.loadedHigh) {
    throw file.error("it is a zImage, which has only the 16-bit entry");
  }
  if (mode === "long64" && !header.has64BitEntry) {
    throw file.error("it has no 64-bit entry: use the 16-bit or the 32-bit one");
  }
  const placement = new Placement(request);
  const kernel = file.bytes.subarray(header.setupLength);
  const rip = PROTECTED_HIGH + (mode === "long64" ? ENTRY_64 : 0);
  if (rip >= PROTECTED_HIGH + kernel.length) throw file.error("its entry point is cut off");
  placement.at(PROTECTED_HIGH, kernel, "the kernel");
  reserveRunningKernel(placement, header, PROTECTED_HIGH + kernel.length);
  const rsi = placeBootParams(request, placement, {
    ...imageOptions(file, header),
    code32Start: PROTECTED_HIGH,
  });
  const registers = { rip, rsi };
  return {
    segments: placement.segments,
    entry: mode === "long64" ? long64(placement, registers) : protected32(placement, registers),
    description: `Linux ${header.kernelVersion || "image"}, ${mode === "long64" ? 64 : 32}-bit ` +
      `entry at ${addressText(rip)}`,
  };
}

const payloadOf = (file: ImageReader, header: SetupHeader): Uint8Array =>
  file.slice(header.setupLength + header.payloadOffset, header.payloadLength, "the packed kernel");

const imageOptions = (file: ImageReader, header: SetupHeader): BootParamsOptions => ({
  header: file.slice(HEADER_START, header.headerEnd - HEADER_START, "the setup header"),
  initrdAddressMax: header.initrdAddressMax,
  commandLineMax: header.commandLineMax,
});
