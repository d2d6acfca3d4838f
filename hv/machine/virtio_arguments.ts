/** What a kernel is told on its command line of virtio devices that are on no bus. */

import { virtioCount, type VirtioTransportKind } from "../pc/board_config.ts";
import { VIRTIO_MMIO } from "../pc/layout.ts";

/** What of a machine it depends on. */
export type VirtioArgumentsOf = Parameters<typeof virtioCount>[0] & {
  readonly virtioTransport: VirtioTransportKind;
  readonly append: string;
};

/**
 * The user's command line, and behind it, for a kernel that is not to look at ACPI's tables, where the
 * devices are (Linux, drivers/virtio/virtio_mmio.c).
 */
export function commandLineOf(config: VirtioArgumentsOf): string {
  const { append, virtioTransport } = config;
  if (virtioTransport !== "mmio" || !/(^|\s)acpi=off(\s|$)/.test(append)) return append;
  const { base, stride, irq } = VIRTIO_MMIO;
  const devices = Array.from(
    { length: virtioCount(config) },
    (_, n) => `virtio_mmio.device=${stride}@0x${(base + n * stride).toString(16)}:${irq}`,
  );
  return [append, ...devices].join(" ");
}
