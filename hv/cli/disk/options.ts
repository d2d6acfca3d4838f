/** The options of `hv disk`, a table as that of the other commands. */

import type { CommandSpec, OptionSpec } from "../words/option_table.ts";

const HELP: OptionSpec = { name: "help", short: "h", help: "show this help" };
const FORMAT: OptionSpec = {
  name: "format",
  short: "f",
  value: "FORMAT",
  help: "of the image: raw, qcow2, vhd, vhdx or vmdk (default: what it looks like)",
};
const NEW_FORMAT: OptionSpec = {
  name: "format",
  short: "f",
  value: "raw|qcow2",
  help: "of the new image (default: qcow2 where the name ends so, else raw)",
};
const CLUSTER: OptionSpec = {
  name: "cluster",
  value: "SIZE",
  help: "cluster size of qcow2, 512 to 2M (default 64K)",
};
const FORCE: OptionSpec = { name: "force", help: "write over a file that is there" };
const BACKING_FOLDER: OptionSpec = {
  name: "backing-folder",
  value: "DIR",
  help: "a folder where backing files may be, besides the image's own",
};

/** Every command of `hv disk`. */
export const DISK_COMMANDS: readonly CommandSpec[] = [
  {
    name: "disk create",
    summary: "make an empty image",
    positional: "FILE [SIZE]",
    options: [
      NEW_FORMAT,
      {
        name: "backing",
        short: "b",
        value: "FILE",
        help: "read where the new image has nothing; named as seen from its folder",
      },
      { name: "backing-format", value: "FORMAT", help: "of that (default: what it looks like)" },
      CLUSTER,
      FORCE,
      HELP,
    ],
    examples: [
      "hv disk create system.qcow2 20G",
      "hv disk create try.qcow2 --backing system.qcow2",
    ],
  },
  {
    name: "disk info",
    summary: "what an image is, and what is behind it",
    positional: "FILE",
    options: [
      FORMAT,
      { name: "json", help: "for programs, with the names that qemu-img gives" },
      HELP,
    ],
    examples: ["hv disk info system.qcow2"],
  },
  {
    name: "disk convert",
    summary: "copy a disk into a new image, without what is behind it",
    positional: "FROM TO",
    options: [
      NEW_FORMAT,
      {
        name: "from-format",
        value: "FORMAT",
        help: "of FROM, as above or vhd, vhdx, vmdk (default: what it looks like)",
      },
      CLUSTER,
      { name: "compress", value: "zlib|zstd", help: "compress the clusters of a qcow2 image" },
      BACKING_FOLDER,
      FORCE,
      HELP,
    ],
    examples: [
      "hv disk convert system.img system.qcow2",
      "hv disk convert system.qcow2 archive.qcow2 --compress zstd",
    ],
  },
  {
    name: "disk check",
    summary: "look for what is wrong in a qcow2 image",
    positional: "FILE",
    options: [
      { name: "repair", help: "mend refcounts and marks, and give lost room free" },
      { name: "json", help: "for programs" },
      HELP,
    ],
    examples: ["hv disk check system.qcow2 --repair"],
  },
  {
    name: "disk resize",
    summary: "make a disk larger, or smaller",
    positional: "FILE SIZE",
    options: [
      FORMAT,
      { name: "shrink", help: "allow a smaller size: what is beyond it is lost" },
      BACKING_FOLDER,
      HELP,
    ],
    examples: ["hv disk resize system.qcow2 40G", "hv disk resize system.qcow2 +10G"],
  },
];

/** `hv disk` alone. */
export function diskHelp(): string {
  return [
    "hv disk: images of disks",
    "",
    "Usage: hv disk COMMAND [OPTIONS]",
    "",
    ...DISK_COMMANDS.map(({ name, summary }) => `  ${name.slice(5).padEnd(10)}${summary}`),
    "",
    "  hv disk COMMAND --help   the options of a command",
    "",
    "Sizes: bytes, or with K, M, G or T (of 1024), e.g. 20G.",
    "hv disk check: exit code 10 when there are errors, 12 when room is lost and nothing else.",
  ].join("\n");
}
