/** What the firmware asks of the machine around it. */

import type { RegisterFile } from "../hv/accel/accelerator.ts";
import type { BlockPort } from "../hv/core/media/block.ts";
import type { Clock } from "../hv/core/time/clock.ts";
import type { Geometry } from "../hv/core/media/disk_geometry.ts";
import type { BootDevice, DriveKind } from "../hv/core/media/drive_kind.ts";
import type { MemoryRange } from "../hv/core/memory/e820.ts";
import type { GuestMemory } from "../hv/core/memory/guest_memory.ts";

/** Reads and writes of 1, 2 or 4 bytes, as hv/core/bus/io_bus.ts has them. */
export interface BusAccess {
  read(address: number, size: number): number;
  write(address: number, size: number, value: number): void;
}

/** A drive that INT 13h serves. */
export interface FirmwareDrive {
  readonly kind: DriveKind;
  /**
   * 0 and 1 for floppies, 80h up for disks, E0h up for CD-ROMs. Gaps are closed: the lowest disk is
   * INT 13h's 80h, the lowest CD-ROM its E0h.
   */
  readonly number: number;
  /** A port of the firmware's own to the medium: controllers have theirs. */
  readonly port: BlockPort;
  /** Logical geometry; without it, it follows from the size of the medium. */
  readonly geometry?: Geometry;
  /** Bytes a sector: 512, or 2048 for a CD-ROM. */
  readonly sectorBytes: number;
  /** What the monitor and the banner call it, e.g. the file's name. */
  readonly label?: string;
  /** Where an ATA drive sits, for the EDD device path. */
  readonly ata?: { readonly pci: PciAddress; readonly channel: 0 | 1; readonly slave: boolean };
}

/** A PCI function. */
export interface PciAddress {
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

/** The machine as far as the firmware must be told. */
export interface FirmwareConfig {
  /** Disjoint and in order of address. */
  readonly memoryMap: readonly MemoryRange[];
  readonly bootOrder: readonly BootDevice[];
  readonly cpus: number;
  /** Port bases of COM1 to COM4 that are there, e.g. `[0x3f8]`. */
  readonly serialPorts: readonly number[];
  /** Is there a PS/2 mouse? */
  readonly mouse: boolean;
  /** Is there a VGA? Without one, text goes to the first serial port only. */
  readonly vga: boolean;
  /** For the banner, e.g. `"KVM"`. */
  readonly accelerator: string;
  /** For the banner, e.g. `"hv 0.1.0"`. */
  readonly name: string;
  /** Also write the banner and the monitor to the first serial port, and read its keys. */
  readonly serialConsole: boolean;
  /**
   * Loads a kernel that the user gave and sets the registers for it, CS and IP included.
   *
   * @returns Whether there is one now; a reason otherwise.
   */
  readonly kernel?: () => string | undefined;
}

/** Who is told what became of booting. */
export interface BootWatch {
  /** Is somebody there who could type? Where nobody is, the monitor does not wait for ever. */
  readonly attended: boolean;
  /** Booting begins anew. */
  clear(): void;
  /** Why one thing could not be booted, or did not stay. */
  add(reason: string): void;
}

/** See above. One plain object a vCPU thread: it is copied, so its functions must not use `this`. */
export interface FirmwareHost {
  readonly memory: GuestMemory;
  readonly registers: RegisterFile;
  readonly ports: BusAccess;
  /** Guest-physical memory that is not RAM: the video window, PCI memory. */
  readonly bus: BusAccess;
  /** The 64 KiB at F0000h as the guest sees them. */
  readonly rom: Uint8Array;
  readonly clock: Clock;
  readonly drives: readonly FirmwareDrive[];
  readonly config: FirmwareConfig;
  /** Should this thread leave what it waits for? The guest then asks again. */
  readonly stopped: () => boolean;
  readonly boot: BootWatch;
  /** Nothing can be booted and nobody is there: ends the machine. */
  readonly giveUp: () => void;
  readonly log: (line: string) => void;
}
