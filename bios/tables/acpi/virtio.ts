/**
 * Virtio devices that are on no bus, for the definition block: what they are called is agreed on between
 * virtual machines and systems ("LNRO0005", as on QEMU's ARM and microvm boards).
 *
 * Reference: ACPI 6.4, 6.1.5 "_HID", 6.2.2 "_CRS"; VIRTIO 1.3, 4.2.1 "MMIO Device Discovery".
 */

import { type Aml, device, integer, named, string } from "./aml.ts";
import { levelInterrupts, memory32, resources } from "./aml_resources.ts";
import type { BoardDescription } from "../board_description.ts";

/** A device for each window. */
export function virtioDevices({ virtioMmio }: BoardDescription): Aml[] {
  if (virtioMmio === undefined) return [];
  const { base, stride, count, irq } = virtioMmio;
  return Array.from({ length: count }, (_, n) =>
    device(
      `VR${n.toString(16).toUpperCase().padStart(2, "0")}`,
      named("_HID", string("LNRO0005")),
      named("_UID", integer(n)),
      named("_CRS", resources(memory32(base + n * stride, stride), levelInterrupts([irq]))),
    ));
}
