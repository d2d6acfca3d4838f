/** What a machine is to be, as a user says it, checked and filled in. */

import { MAX_CPUS } from "./control.ts";
import type { AcceleratorChoice } from "./accel/choose.ts";
import type { ImageFormat } from "../devices/disk/image_format.ts";
import type { BootDevice, DiskInterface, DriveKind } from "./core/drive_kind.ts";
import { UsageError } from "./errors.ts";
import { MAX_FLOPPY_DRIVES, MAX_IDE_DRIVES, MAX_VIRTIO_DISKS } from "./pc/board_config.ts";
import { parseMemory } from "./sizes.ts";

/** A disk, floppy or CD-ROM image. */
export interface DriveOptions {
  /** The image file or block device. */
  readonly path: string;
  /** Refuse the guest's writes. Default: false; CD-ROMs always are. */
  readonly readOnly?: boolean;
  /** Keep the guest's writes in a scratch file that goes with the machine. Default: false. */
  readonly overlay?: boolean;
  /** What a hard disk is behind; default: `"ide"`, which every system knows. Not for other drives. */
  readonly interface?: DiskInterface;
  /**
   * What the image is. Default: what it looks like; but then a guest cannot write to a raw image what
   * would make it look like another format the next time.
   */
  readonly format?: ImageFormat;
}

/** What a machine is to be. Everything has a default; an empty object boots to the ROM monitor. */
export interface MachineOptions {
  /** RAM: `"256M"`, `"2G"`, or bytes as a number. Default 256M. */
  readonly memory?: string | number;
  /** Virtual processors, 1 to 64. Default 1. */
  readonly cpus?: number;
  /** Default `"auto"`. */
  readonly accelerator?: AcceleratorChoice;
  /** CPU model and features, e.g. `"host,-xsave,+x2apic"`. Default `"host"`. */
  readonly cpu?: string;
  /** Floppy images, at most 2. */
  readonly floppy?: string | DriveOptions | readonly (string | DriveOptions)[];
  /** Hard-disk images; with CD-ROMs at most 4 on IDE, and 16 on virtio. */
  readonly disk?: string | DriveOptions | readonly (string | DriveOptions)[];
  /** CD-ROM images. */
  readonly cdrom?: string | DriveOptions | readonly (string | DriveOptions)[];
  /** Order in which the firmware tries to boot. Default: kernel, floppy, disk, cdrom. */
  readonly boot?: readonly BootDevice[];
  /** `"builtin"` or the file of a firmware image such as SeaBIOS. Default `"builtin"`. */
  readonly bios?: string;
  /** A Linux bzImage, ELF kernel (PVH) or multiboot kernel to start directly. */
  readonly kernel?: string;
  /** Initial RAM disk for `kernel`. */
  readonly initrd?: string;
  /** Command line for `kernel`. */
  readonly append?: string;
  /** How to enter a Linux kernel: through its 16-bit set-up code and the firmware, or directly. */
  readonly kernelEntry?: "auto" | "real16" | "long64";
  /** Serial ports, 0 to 4. Default 1. */
  readonly serialPorts?: number;
  /**
   * A virtio entropy device, filled by the host. Default false, for direct kernels, too: both
   * accelerators have RDRAND, and the device costs a thread.
   */
  readonly rng?: boolean;
  /** QEMU's pc-testdev, for kvm-unit-tests. Default false. */
  readonly testDevices?: boolean;
  /** End the machine when the guest asks for a reset. Default false. */
  readonly noReboot?: boolean;
  /**
   * Text on the console that means that the guest is dead and ends every wait. Default: a Linux
   * kernel's panic.
   */
  readonly panicPatterns?: readonly RegExp[];
  /**
   * Told, in one line, what fails on the host while the guest goes on, such as a disk that is full;
   * default: nobody.
   */
  readonly onWarning?: (line: string) => void;
}

type CheckedDrive = Required<Omit<DriveOptions, "format">> & Pick<DriveOptions, "format">;

/** A drive with its place on the board. */
export interface ResolvedDrive extends CheckedDrive {
  readonly kind: DriveKind;
  readonly unit: number;
}

/** `MachineOptions` with everything decided that does not need the host. */
export interface ResolvedConfig {
  readonly ramBytes: number;
  readonly cpus: number;
  readonly accelerator: AcceleratorChoice;
  readonly cpu: string;
  readonly drives: readonly ResolvedDrive[];
  readonly bootOrder: readonly BootDevice[];
  readonly bios: string;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string;
  readonly kernelEntry: "auto" | "real16" | "long64";
  readonly serialPorts: number;
  readonly rng: boolean;
  readonly testDevices: boolean;
  readonly noReboot: boolean;
  readonly panicPatterns: readonly RegExp[];
  readonly onWarning: (line: string) => void;
}

/** RAM of a machine whose user says nothing about it. */
export const DEFAULT_MEMORY = "256M";

/** CD-ROMs take these IDE positions first, as users of other machines expect. */
const CDROM_UNITS = [2, 3, 1, 0];
const DISK_UNITS = [0, 1, 3, 2];
const BOOT_DEVICES: readonly BootDevice[] = ["kernel", "floppy", "disk", "cdrom"];

/**
 * Checks options and fills in the defaults.
 *
 * @throws {UsageError} When something cannot be; files are looked at later.
 */
export function resolveConfig(options: MachineOptions): ResolvedConfig {
  const floppies = driveList(options.floppy);
  const allDisks = driveList(options.disk);
  const disks = allDisks.filter((disk) => disk.interface === "ide");
  const virtioDisks = allDisks.filter((disk) => disk.interface === "virtio");
  const cdroms = driveList(options.cdrom);
  if (floppies.length > MAX_FLOPPY_DRIVES) {
    throw new UsageError(
      `Cannot attach ${floppies.length} floppy drives: the board has room for 2`,
    );
  }
  if (floppies.concat(cdroms).some((drive) => drive.interface !== "ide")) {
    throw new UsageError("Cannot attach a floppy or a CD-ROM drive to virtio: hard disks only");
  }
  if (virtioDisks.length > MAX_VIRTIO_DISKS) {
    throw new UsageError(
      `Cannot attach ${virtioDisks.length} disks to virtio: the board has room for ` +
        `${MAX_VIRTIO_DISKS}`,
    );
  }
  if (disks.length + cdroms.length > MAX_IDE_DRIVES) {
    throw new UsageError(
      `Cannot attach ${disks.length} disks and ${cdroms.length} CD-ROM drives: ` +
        `the board has room for ${MAX_IDE_DRIVES} of them together; more disks go on virtio`,
    );
  }
  if (options.kernel === undefined && options.initrd !== undefined) {
    throw new UsageError("Cannot use an initrd without a kernel: give one with --kernel");
  }
  if (options.kernel === undefined && options.append !== undefined) {
    throw new UsageError("Cannot use a command line without a kernel: give one with --kernel");
  }
  const drives: ResolvedDrive[] = floppies.map((drive, unit) => ({
    ...drive,
    kind: "floppy",
    unit,
  }));
  const taken = new Set<number>();
  const place = (kind: "disk" | "cdrom", list: CheckedDrive[], units: number[]) => {
    for (const drive of list) {
      const unit = units.find((u) => !taken.has(u))!;
      taken.add(unit);
      drives.push({ ...drive, kind, unit, readOnly: drive.readOnly || kind === "cdrom" });
    }
  };
  place("cdrom", cdroms, CDROM_UNITS);
  place("disk", disks, DISK_UNITS);
  for (const [unit, drive] of virtioDisks.entries()) drives.push({ ...drive, kind: "disk", unit });
  return {
    ramBytes: parseMemory(options.memory ?? DEFAULT_MEMORY),
    cpus: wholeNumber("processors", options.cpus ?? 1, 1, MAX_CPUS),
    accelerator: options.accelerator ?? "auto",
    cpu: options.cpu ?? "host",
    drives,
    bootOrder: bootOrder(options.boot),
    bios: options.bios ?? "builtin",
    kernel: options.kernel,
    initrd: options.initrd,
    append: options.append ?? "",
    kernelEntry: options.kernelEntry ?? "auto",
    serialPorts: wholeNumber("serial ports", options.serialPorts ?? 1, 0, 4),
    rng: options.rng ?? false,
    testDevices: options.testDevices ?? false,
    noReboot: options.noReboot ?? false,
    onWarning: options.onWarning ?? (() => {}),
    panicPatterns: options.panicPatterns ?? [/Kernel panic - not syncing[^\n]*\n/],
  };
}

function driveList(drives: MachineOptions["disk"]): CheckedDrive[] {
  const list = drives === undefined ? [] : Array.isArray(drives) ? drives : [drives];
  return list.map((drive: string | DriveOptions) => {
    const { path, readOnly = false, overlay = false, interface: behind = "ide", format } =
      typeof drive === "string" ? { path: drive } as DriveOptions : drive;
    if (path === "") throw new UsageError("Cannot attach an image: its file name is empty");
    return {
      path,
      readOnly,
      overlay,
      interface: behind,
      ...(format === undefined ? {} : { format }),
    };
  });
}

function wholeNumber(what: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new UsageError(
      `Cannot have ${value} ${what}: a whole number from ${low} to ${high} is needed`,
    );
  }
  return value;
}

function bootOrder(order: readonly BootDevice[] | undefined): readonly BootDevice[] {
  for (const device of order ?? []) {
    if (!BOOT_DEVICES.includes(device)) {
      throw new UsageError(`Cannot boot from "${device}": floppy, disk or cdrom is possible`);
    }
  }
  return order === undefined || order.length === 0 ? BOOT_DEVICES : [...new Set(order)];
}
