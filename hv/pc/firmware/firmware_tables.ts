/** What the board is, for the tables of any firmware. */

import type { BoardDescription } from "../../../bios/tables/board_description.ts";
import { PIRQ_IRQS, PM_PORTS } from "../../../bios/pci_setup.ts";
import { LOW_RAM_LIMIT } from "../../core/memory/guest_memory.ts";
import { VERSION } from "../../version.ts";
import { type BoardConfig, virtioCount } from "../board_config.ts";
import {
  GPE0_PORT,
  HOTPLUG_SLOTS,
  IO_APIC_ADDRESS,
  LOCAL_APIC_ADDRESS,
  PCI_HOTPLUG_PORT,
  SCI_IRQ,
  SERIAL_PORTS,
  SMI_PORT,
  VIRTIO_MMIO,
} from "../layout.ts";

/** The machine's identity in SMBIOS. */
export const IDENTITY = { version: VERSION, uuid: new Uint8Array(16) };

/** What of the board its user chooses. */
export interface BoardOptions {
  readonly cpus: number;
  readonly lowRamBytes: number;
  readonly highRamBytes: number;
  /** Serial ports, 0 to 4. */
  readonly serialPorts?: number;
  readonly hasFloppy?: boolean;
  /** Virtio devices that are on no bus. */
  readonly virtioWindows?: number;
}

/** The i440FX/PIIX3 board. */
export function describeBoard(
  options: BoardOptions,
): BoardDescription {
  const { cpus, lowRamBytes, highRamBytes, serialPorts = 1, hasFloppy = true } = options;
  const { virtioWindows = 0 } = options;
  // Where SeaBIOS lets the hole begin as well.
  const holeBase = lowRamBytes <= 0x8000_0000 ? 0x8000_0000 : 0xc000_0000;
  return {
    cpus,
    cpuSignature: 0x0000_0663,
    cpuFeatures: 0x0783_fbfd,
    lowRamBytes,
    highRamBytes,
    localApicAddress: LOCAL_APIC_ADDRESS,
    ioApic: { id: 0, address: IO_APIC_ADDRESS },
    timerGsi: 2,
    pciIrqs: [5, 10, 11],
    pirqRouting: PIRQ_IRQS,
    pciHole: { base: holeBase, length: IO_APIC_ADDRESS - holeBase },
    pmBase: PM_PORTS,
    gpe0Base: GPE0_PORT,
    pciHotplug: { port: PCI_HOTPLUG_PORT, slots: HOTPLUG_SLOTS },
    virtioMmio: virtioWindows === 0 ? undefined : {
      base: VIRTIO_MMIO.base,
      stride: VIRTIO_MMIO.stride,
      count: virtioWindows,
      irq: VIRTIO_MMIO.irq,
    },
    pmTimerBits: 24,
    sciIrq: SCI_IRQ,
    smiPort: SMI_PORT,
    reset: { port: 0xcf9, value: 0x06 },
    serialPorts: SERIAL_PORTS.slice(0, serialPorts),
    hasFloppy,
  };
}

/** The board of `config`. */
export function boardOf(config: BoardConfig): BoardDescription {
  const lowRamBytes = Math.min(config.ramBytes, LOW_RAM_LIMIT);
  return describeBoard({
    cpus: config.cpus,
    lowRamBytes,
    highRamBytes: config.ramBytes - lowRamBytes,
    serialPorts: config.serialPorts,
    hasFloppy: config.drives.some(({ kind }) => kind === "floppy"),
    virtioWindows: config.virtioTransport === "mmio" ? virtioCount(config) : 0,
  });
}
