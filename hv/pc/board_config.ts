/** What the board is made of, as plain data that crosses threads and goes into snapshots. */

import type { EntryState } from "../boot/mod.ts";
import type { Geometry } from "../core/media/disk_geometry.ts";
import type { Rates } from "../core/time/rate_limit.ts";
import type { BootDevice, DiskInterface, DriveKind } from "../core/media/drive_kind.ts";

/** A drive of the board. */
export interface DriveConfig {
  readonly kind: DriveKind;
  /** What a disk is behind; default: IDE, as all CD-ROM drives are. */
  readonly interface?: DiskInterface;
  /**
   * Floppy: 0 or 1. IDE: the position, 0 primary master to 3 secondary slave. Virtio disks: from 0.
   */
  readonly unit: number;
  /** Size of the medium in bytes; undefined when the drive is empty. */
  readonly sizeBytes: number | undefined;
  /** What INT 13h reports of a hard disk; a diskette's and a drive's own follow from the size. */
  readonly geometry?: Geometry;
  readonly readOnly: boolean;
  /** By which the guest tells a disk from others; default: one made of its place. */
  readonly serial?: string;
  /** What may be done with the medium in a second. */
  readonly rates?: Rates;
}

/** Kinds of network cards. */
export type NetworkModel = "e1000" | "ne2k_isa" | "ne2k_pci" | "virtio";

/** Where a card on the ISA bus is: as its jumpers say. */
export interface IsaPlace {
  /** The first of its ports. */
  readonly port: number;
  /** Interrupt line. */
  readonly irq: number;
}

/** A network card of the board. */
export interface NetworkCardConfig {
  readonly model: NetworkModel;
  /** Its Ethernet address, six bytes. */
  readonly mac: Uint8Array;
  /** Of a card on the ISA bus. */
  readonly isa?: IsaPlace;
  /** Longest packet that its other end takes, which a virtio card tells; default: 1500. */
  readonly mtu?: number;
  /** What it may send, and what it may receive; undefined: everything. */
  readonly bytesPerSecond?: number;
}

/** A shared directory. */
export interface ShareConfig {
  /** ASCII, at most 31 characters, by which the guest finds it. */
  readonly tag: string;
}

/** A virtio socket device. */
export interface VsockConfig {
  /** The guest's address. */
  readonly cid: number;
}

/** See above. */
export interface BoardConfig {
  readonly ramBytes: number;
  readonly cpus: number;
  /** Bytes of the firmware image; at most 4 MiB, a multiple of 64 KiB. */
  readonly romBytes: number;
  /** `builtin`: the firmware's services are ours (bios/); `image`: a ROM that does all by itself. */
  readonly firmware: "builtin" | "image";
  /** The display's ROM, which a firmware image finds in fw_cfg. */
  readonly vgaRom?: Uint8Array;
  /** Processor state with which the built-in firmware enters a kernel that the user gave. */
  readonly kernelEntry?: EntryState;
  readonly drives: readonly DriveConfig[];
  readonly networks: readonly NetworkCardConfig[];
  /** Directories of the host that the guest can mount, in the I/O worker's order. */
  readonly shares?: readonly ShareConfig[];
  /** The virtio socket device, if there is one. */
  readonly vsock?: VsockConfig;
  /** Where the firmware looks for something to start. */
  readonly bootOrder: readonly BootDevice[];
  /** Serial ports, 0 to 4: COM1 3F8h, COM2 2F8h, COM3 3E8h, COM4 2E8h. */
  readonly serialPorts: number;
  /** Has it a virtio console? Default: no. */
  readonly virtioConsole?: boolean;
  /** Names of virtio ports, at most `MAX_PORTS`. Default: none. */
  readonly ports?: readonly string[];
  /** Has it a virtio balloon? Default: no. */
  readonly balloon?: boolean;
  /** Has it a virtio entropy device? Default: no. */
  readonly rng?: boolean;
  /** How the guest reaches virtio devices; default: `"pci"`. */
  readonly virtioTransport?: VirtioTransportKind;
  /** Are packed rings offered to drivers of virtio devices? */
  readonly virtioPacked?: boolean;
  /** The test devices of QEMU: pc-testdev. */
  readonly testDevices: boolean;
  /** What a fw_cfg file or boot banner calls the accelerator. */
  readonly accelerator: "kvm" | "soft";
}

/** How the guest reaches virtio devices. */
export type VirtioTransportKind = "pci" | "mmio";

/** Virtio devices of the board: only where there are any is their code loaded. */
export const virtioCount = (
  {
    drives,
    networks = [],
    rng = false,
    balloon = false,
    virtioConsole = false,
    ports = [],
    shares = [],
    vsock,
  }:
    & Pick<BoardConfig, "rng" | "balloon" | "virtioConsole" | "ports" | "vsock">
    & {
      readonly drives: readonly Pick<DriveConfig, "interface">[];
      readonly networks?: readonly Pick<NetworkCardConfig, "model">[];
      readonly shares?: readonly unknown[];
    },
): number =>
  (rng ? 1 : 0) + (balloon ? 1 : 0) + (virtioConsole ? 1 : 0) + (ports.length > 0 ? 1 : 0) +
  shares.length +
  (vsock === undefined ? 0 : 1) +
  drives.filter((drive) => drive.interface === "virtio").length +
  networks.filter(({ model }) => model === "virtio").length;

/** Name of the virtio console among the machine's consoles, as Linux calls it. */
export const VIRTIO_CONSOLE = "hvc0";

/** Drives of the board in the order in which the I/O worker knows them. */
export const MAX_IDE_DRIVES = 4;
/** Disks on virtio: each has a PCI slot, of which others want some. */
export const MAX_VIRTIO_DISKS = 16;
/** Shared directories: each has a slot, too. */
export const MAX_SHARES = 8;
/** Virtio ports: each has two queues, each of those a vector of MSI-X. */
export const MAX_PORTS = 31;
/** Floppy drives. */
export const MAX_FLOPPY_DRIVES = 2;
/** Network cards: each has a PCI slot, of which others want some. */
export const MAX_NETWORKS = 8;
