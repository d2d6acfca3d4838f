/** From a kernel and wishes to the plan by which a machine starts it. */

import { describeFile, detectKernel } from "./detect.ts";
import { ImageReader } from "./image_reader.ts";
import {
  payloadPacking,
  planLinuxSelfUnpacking,
  planLinuxUnpacked,
  planVmlinux,
} from "./linux/direct.ts";
import { planLinuxReal16 } from "./linux/real16.ts";
import { planMultiboot } from "./multiboot.ts";
import { Placement } from "./placement.ts";
import type { BootPlan, BootRequest } from "./plan.ts";
import { planPvh } from "./pvh.ts";
import { parseSetupHeader } from "./linux/setup_header.ts";
import { canUnpack } from "./unpack/unpack.ts";

/** COMMAND_LINE_SIZE of Linux on x86, with the terminating zero 2048. */
const VMLINUX_COMMAND_LINE_MAX = 2047;
const VMLINUX_INITRD_MAX = 0x7fff_ffff;

/**
 * Plans how to start a kernel. Asynchronous because unpackers are loaded when they are needed.
 *
 * @throws BootError when the kernel cannot be booted as asked; its message is one line.
 */
export async function planBoot(request: BootRequest): Promise<BootPlan> {
  const file = new ImageReader(request.kernel, request.kernelName);
  const entry = request.entry ?? "auto";
  const kind = detectKernel(request.kernel);
  if (kind === undefined) throw file.error(`it is ${describeFile(request.kernel)}`);
  if (kind === "bzimage") return await planBzImage(request, file);
  if (entry === "real16") throw file.error("it has no 16-bit entry");
  const forced = entry === "long64" || (entry === "protected32" && kind === "elf-linux");
  if (kind === "elf-linux" || (forced && kind === "elf-pvh")) {
    const plan = planVmlinux(request, file, new Placement(request), {
      initrdAddressMax: VMLINUX_INITRD_MAX,
      commandLineMax: VMLINUX_COMMAND_LINE_MAX,
      name: "ELF kernel",
    });
    if (forced && plan.entry.mode !== entry) throw file.error(`it has no ${entry} entry`);
    return plan;
  }
  if (forced) throw file.error(`it has no ${entry} entry`);
  return kind === "elf-pvh" ? planPvh(request, file) : planMultiboot(request, file);
}

async function planBzImage(request: BootRequest, file: ImageReader): Promise<BootPlan> {
  const header = parseSetupHeader(file);
  const entry = request.entry ?? "auto";
  if (entry === "real16") return planLinuxReal16(request, file, header);
  if (entry === "protected32") return planLinuxSelfUnpacking(request, file, header, entry);
  // Only Linux itself has a packed kernel: others that dress as Linux have just the entries.
  if (canUnpack(payloadPacking(file, header))) {
    const plan = await planLinuxUnpacked(request, file, header);
    if (entry === "auto" || plan.entry.mode === entry) return plan;
  }
  if (entry === "long64" || header.has64BitEntry) {
    return planLinuxSelfUnpacking(request, file, header, "long64");
  }
  return planLinuxReal16(request, file, header);
}
