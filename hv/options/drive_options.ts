/** The drives of a machine as a user says them, checked and put in their places. */

import type { DiskInterface, DriveKind } from "../core/media/drive_kind.ts";
import type { Rates } from "../core/time/rate_limit.ts";
import { UsageError } from "../errors.ts";
import { MAX_FLOPPY_DRIVES, MAX_IDE_DRIVES, MAX_VIRTIO_DISKS } from "../pc/board_config.ts";
import { AIO_KINDS, type AioKind } from "../../devices/disk/engine/aio_kind.ts";
import { IMAGE_FORMATS, type ImageFormat } from "../../devices/disk/formats/image_format.ts";
import { checkNames, checkWord, type OptionNames } from "./option_names.ts";

/** A disk, floppy or CD-ROM image. */
export interface DriveOptions {
  /** The image file or block device. */
  readonly path: string;
  /** Refuse the guest's writes. Default: false; CD-ROMs always are. */
  readonly readOnly?: boolean;
  /**
   * Keep the guest's writes in a scratch file that goes with the machine, or in the qcow2 image that is
   * named, which is made where it is not there yet. Default: false.
   */
  readonly overlay?: boolean | string;
  /** What a hard disk is behind; default: `"ide"`, which every system knows. Not for other drives. */
  readonly interface?: DiskInterface;
  /** What a hard disk calls itself, 1 to 20 characters of ASCII; default: one made of its place. */
  readonly serial?: string;
  /** Requests in a second; default: any number. */
  readonly iops?: number;
  /** Bytes in a second; default: any number. */
  readonly bps?: number;
  /**
   * What the image is. Default: what it looks like; but then a guest cannot write to a raw image what
   * would make it look like another format the next time.
   */
  readonly format?: ImageFormat;
  /** A folder where backing files of the image may be, besides its own. */
  readonly backingFolder?: string;
  /** How a virtio disk's image is read and written; default: by io_uring where the host has it. */
  readonly aio?: AioKind;
}

/** A drive whose options have been checked. */
export interface CheckedDrive {
  readonly path: string;
  readonly readOnly: boolean;
  readonly overlay: boolean | string;
  readonly interface: DiskInterface;
  readonly format?: ImageFormat;
  readonly backingFolder?: string;
  readonly serial?: string;
  readonly rates?: Rates;
  readonly aio?: AioKind;
}

/** A drive with its place on the board. */
export interface ResolvedDrive extends CheckedDrive {
  readonly kind: DriveKind;
  readonly unit: number;
}

/** The drives of a machine, by kind. */
export interface DriveLists {
  /** Floppy images, at most 2. */
  readonly floppy?: string | DriveOptions | readonly (string | DriveOptions)[];
  /** Hard-disk images; with CD-ROMs at most 4 on IDE, and 16 on virtio. */
  readonly disk?: string | DriveOptions | readonly (string | DriveOptions)[];
  /** CD-ROM images. */
  readonly cdrom?: string | DriveOptions | readonly (string | DriveOptions)[];
}

/** CD-ROMs take these IDE positions first, as users of other machines expect. */
const CDROM_UNITS = [2, 3, 1, 0];
const DISK_UNITS = [0, 1, 3, 2];
/** Names of disks in their identification (VIRTIO 1.3, 5.2.6; ATA has room for as much). */
const SERIAL = /^[\x21-\x7e]{1,20}$/;

/**
 * Checks drives and gives each its place on the board.
 *
 * @throws {UsageError} When one cannot be; files are looked at later.
 */
export function resolveDrives(options: DriveLists): ResolvedDrive[] {
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
  const written = cdroms.find(({ overlay }) => overlay !== false);
  if (written !== undefined) {
    throw new UsageError(`Cannot attach ${written.path} with an overlay: no CD-ROM is written to`);
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
  return drives;
}

function driveList(drives: DriveLists["disk"]): CheckedDrive[] {
  const list = drives === undefined ? [] : Array.isArray(drives) ? drives : [drives];
  return list.map((drive: string | DriveOptions) =>
    checkDrive(typeof drive === "string" ? { path: drive } : drive)
  );
}

const NAMES: OptionNames<Required<DriveOptions>> = {
  path: true,
  readOnly: true,
  overlay: true,
  interface: true,
  serial: true,
  iops: true,
  bps: true,
  format: true,
  backingFolder: true,
  aio: true,
};

/** @throws {UsageError} When something cannot be. */
export function checkDrive(drive: DriveOptions): CheckedDrive {
  checkNames("A drive", drive, NAMES);
  checkWord("interface", drive.interface, ["ide", "virtio"]);
  checkWord("format", drive.format, IMAGE_FORMATS);
  const { path, readOnly = false, overlay = false, format, serial, iops, bps, aio, backingFolder } =
    drive;
  if (typeof path !== "string") {
    throw new UsageError(`Cannot attach an image: its path is ${Deno.inspect(path)}, not a string`);
  }
  if (path === "") throw new UsageError("Cannot attach an image: its file name is empty");
  if (overlay === "") {
    throw new UsageError(`Cannot attach ${path} with an overlay: the overlay's file name is empty`);
  }
  if (serial !== undefined && !SERIAL.test(serial)) {
    throw new UsageError(
      `Cannot call a disk "${serial}": 1 to 20 letters, digits or signs without spaces are possible`,
    );
  }
  for (const [what, rate] of [["requests", iops], ["bytes", bps]] as const) {
    if (rate !== undefined && !(Number.isFinite(rate) && rate >= 1)) {
      throw new UsageError(`Cannot limit a drive to ${rate} ${what} a second: 1 or more is needed`);
    }
  }
  if (aio !== undefined && (drive.interface !== "virtio" || !AIO_KINDS.includes(aio))) {
    throw new UsageError(
      `Cannot use aio=${aio} for ${path}: ${AIO_KINDS.join(" or ")}, for a disk on virtio`,
    );
  }
  const rates = iops === undefined && bps === undefined
    ? undefined
    : { requestsPerSecond: iops, bytesPerSecond: bps };
  return {
    path,
    readOnly,
    overlay,
    interface: drive.interface ?? "ide",
    ...(format === undefined ? {} : { format }),
    ...(backingFolder === undefined ? {} : { backingFolder }),
    ...(serial === undefined ? {} : { serial }),
    ...(rates === undefined ? {} : { rates }),
    ...(aio === undefined ? {} : { aio }),
  };
}
