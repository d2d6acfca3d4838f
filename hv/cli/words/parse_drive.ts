/** The values of --floppy, --disk and --cdrom. */

import { AIO_KINDS } from "../../../devices/disk/engine/aio_kind.ts";
import { IMAGE_FORMATS } from "../../../devices/disk/formats/image_format.ts";
import type { DiskInterface } from "../../core/media/drive_kind.ts";
import type { DriveOptions } from "../../options/drive_options.ts";
import { UsageError } from "../../errors.ts";
import { splitAtCommas } from "./commas.ts";
import { oneOf } from "./one_of.ts";
import { rate } from "./rate.ts";

type Setting = (value: string, where: string) => Partial<DriveOptions>;

/** What any drive may have, and what hard disks alone may. */
const SETTINGS: Record<string, Setting> = {
  overlay: (value) => ({ overlay: value }),
  backing: (value) => ({ backingFolder: value }),
  format: (value, where) => ({ format: oneOf(where, value, IMAGE_FORMATS) }),
  iops: (value, where) => ({ iops: rate(value, where) }),
  bps: (value, where) => ({ bps: rate(value, where) }),
};
const DISK_SETTINGS: Record<string, Setting> = {
  ...SETTINGS,
  if: (value, where) => ({ interface: oneOf<DiskInterface>(where, value, ["ide", "virtio"]) }),
  serial: (value) => ({ serial: value }),
  aio: (value, where) => ({ aio: oneOf(where, value, AIO_KINDS) }),
};

/**
 * `FILE[,readonly][,overlay][,NAME=VALUE]…`; a comma in the file's name is written twice.
 *
 * @throws {UsageError}
 */
export function parseDrive(option: string, text: string): DriveOptions {
  const [path, ...parts] = splitAtCommas(text);
  const settings = option === "disk" ? DISK_SETTINGS : SETTINGS;
  let drive: DriveOptions = { path };
  for (const part of parts) {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(part) ?? [undefined, part, undefined];
    if (part === "readonly") drive = { ...drive, readOnly: true };
    else if (part === "overlay") drive = { ...drive, overlay: true };
    else if (value !== undefined && Object.hasOwn(settings, name)) {
      drive = { ...drive, ...settings[name](value, `${option} ${path},${name}=`) };
    } else {
      const values = Object.keys(settings).filter((key) => key !== "overlay");
      const possible = ["readonly", "overlay", ...values.map((key) => `${key}=`)];
      throw new UsageError(
        `Cannot use "${part}" in --${option} ${text}: ${possible.join(", ")} are possible ` +
          "(write a comma in a file name as two)",
      );
    }
  }
  return drive;
}
