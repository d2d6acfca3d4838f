/**
 * Linux images through their own 16-bit setup code, as a boot loader on a PC starts them: the
 * firmware must be resident. It suits everything that only dresses as Linux (iPXE, memtest86+).
 *
 * Reference: Linux Documentation/arch/x86/boot.rst, "Memory Layout" to "Running the Kernel".
 */

import { commandLineBytes } from "./boot_params.ts";
import { real16 } from "../entry_state.ts";
import type { ImageReader } from "../image_reader.ts";
import { Placement } from "../placement.ts";
import type { BootPlan, BootRequest } from "../plan.ts";
import { reserveRunningKernel, type SetupHeader } from "./setup_header.ts";
import { StructWriter } from "../struct_writer.ts";

const VID_MODE = 0x1fa;
const TYPE_OF_LOADER = 0x210;
const LOADFLAGS = 0x211;
const SETUP_MOVE_SIZE = 0x212;
const CODE32_START = 0x214;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const HEAP_END_PTR = 0x224;
const CMD_LINE_PTR = 0x228;
const CMD_LINE_MAGIC_OLD = 0x20;
const CMD_LINE_OFFSET_OLD = 0x22;
const CAN_USE_HEAP = 1 << 7;

/** Low enough for any firmware's extended data area; kernels before 2.02 insist on 90000h. */
const SETUP_MODERN = 0x1_0000;
const SETUP_OLD = 0x9_0000;
/** Setup code, heap and stack, from the start of the setup code. */
const HEAP_END_MODERN = 0xe000;
const HEAP_END_OLD = 0x9800;
const HEAP_LEAST = 0x1000;
const PROTECTED_HIGH = 0x10_0000;
const PROTECTED_LOW = 0x1_0000;

/** Plans the entry through setup code. Throws `BootError`. */
export function planLinuxReal16(
  request: BootRequest,
  file: ImageReader,
  header: SetupHeader,
): BootPlan {
  const placement = new Placement(request);
  const modern = header.version >= 0x202 && header.loadedHigh;
  const base = modern ? SETUP_MODERN : SETUP_OLD;
  const heapEnd = modern ? HEAP_END_MODERN : HEAP_END_OLD;
  if (header.setupLength + HEAP_LEAST > heapEnd) {
    throw file.error(`its setup code of ${header.setupLength} bytes leaves no room for a stack`);
  }
  const setup = new StructWriter(heapEnd);
  setup.set(0, file.slice(0, header.setupLength, "the setup code"));
  setup.u16(VID_MODE, 0xffff).u8(TYPE_OF_LOADER, 0xff);

  const commandLine = commandLineBytes(request, header.commandLineMax);
  // The old protocol finds the command line by an offset from the setup code.
  const commandLineAt = base + heapEnd;
  if (header.version >= 0x202) setup.u32(CMD_LINE_PTR, commandLineAt);
  else setup.u16(CMD_LINE_MAGIC_OLD, 0xa33f).u16(CMD_LINE_OFFSET_OLD, heapEnd);
  if (header.version >= 0x201) {
    setup.u16(HEAP_END_PTR, heapEnd - 0x200);
    setup.u8(LOADFLAGS, setup.bytes[LOADFLAGS] | CAN_USE_HEAP);
  }
  if (header.version < 0x202) setup.u16(SETUP_MOVE_SIZE, heapEnd + commandLine.length);

  const kernel = file.bytes.subarray(header.setupLength);
  const kernelAt = header.loadedHigh ? PROTECTED_HIGH : PROTECTED_LOW;
  placement.at(kernelAt, kernel, "the kernel");
  // code32_start is left as it is: what only dresses as Linux may have its own idea of it.
  if (!header.loadedHigh) setup.u32(CODE32_START, kernelAt);
  placement.at(commandLineAt, commandLine, "the command line");
  reserveRunningKernel(placement, header, kernelAt + kernel.length);
  if (request.initrd !== undefined && request.initrd.length > 0) {
    const initrdAt = placement.initrd(request.initrd, header.initrdAddressMax + 1);
    setup.u32(RAMDISK_IMAGE, initrdAt).u32(RAMDISK_SIZE, request.initrd.length);
  }
  placement.at(base, setup.bytes, "the setup code");

  const segment = base >> 4;
  return {
    segments: placement.segments,
    entry: real16(segment + 0x20, segment, { rsp: heapEnd }),
    description: `Linux ${header.kernelVersion || "image"} through its 16-bit setup code`,
  };
}
