/** `hv disk`: making, looking at, copying, checking and resizing images. */

import { DiskError, type DiskImage } from "../../../devices/disk/disk_image.ts";
import { copyDisk } from "../../../devices/disk/copy_disk.ts";
import {
  IMAGE_FORMATS,
  type ImageFormat,
  WRITABLE_FORMATS,
} from "../../../devices/disk/formats/image_format.ts";
import { closeDiskHandle } from "../../../devices/disk/disk_handle.ts";
import { openDisk, openDiskHandle } from "../../../devices/disk/open_disk.ts";
import {
  createQcow2,
  DEFAULT_CLUSTER_BYTES,
  maxSizeBytes,
} from "../../../devices/disk/qcow2/create.ts";
import { readHeader } from "../../../devices/disk/qcow2/header.ts";
import { Qcow2Image } from "../../../devices/disk/qcow2/qcow2_image.ts";
import { writeCompressed } from "../../../devices/disk/qcow2/write_compressed.ts";
import { RawImage } from "../../../devices/disk/formats/raw_image.ts";
import { UsageError } from "../../errors.ts";
import { parseBytes, showBytes } from "../../options/sizes.ts";
import { FileHandle } from "../../sys/file/file.ts";
import { checkImage } from "./check.ts";
import { showInfo } from "./info.ts";
import { DISK_COMMANDS, diskHelp } from "./options.ts";
import { resizeImage } from "./resize.ts";
import { Interrupted, makeFile } from "./new_file.ts";
import { oneOf } from "../words/one_of.ts";
import { commandHelp, type CommandSpec, ExitCode } from "../words/option_table.ts";
import { nearestName } from "../../core/edit_distance.ts";
import { parseCommand, type ParsedCommand } from "../words/parse.ts";
import { Progress } from "../progress_line.ts";
import { print, say } from "../say.ts";

const SECTOR_BYTES = 512;

/** Carries out `hv disk` with these words; gives the exit code. */
export async function disk([name, ...words]: readonly string[]): Promise<number> {
  if (name === undefined) {
    say(diskHelp());
    return ExitCode.usage;
  }
  if (name === "--help" || name === "-h") {
    print(diskHelp());
    return ExitCode.ok;
  }
  const spec = DISK_COMMANDS.find((command) => command.name === `disk ${name}`);
  if (spec === undefined) {
    const nearest = nearestName(name, DISK_COMMANDS.map((command) => command.name.slice(5)));
    const hint = nearest === undefined
      ? "hv disk --help lists them"
      : `did you mean hv disk ${nearest}?`;
    throw new UsageError(`hv disk has no command "${name}"; ${hint}`);
  }
  const parsed = parseCommand(spec, words);
  if (parsed.values.help === true) {
    print(commandHelp(spec));
    return ExitCode.ok;
  }
  try {
    return await carryOut(spec, parsed);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    say("hv: interrupted; nothing is left of it");
    return ExitCode.interrupted;
  }
}

async function carryOut(spec: CommandSpec, { values, positionals }: ParsedCommand) {
  const text = (option: string) => values[option] as string | undefined;
  const required = spec.positional!.split(" ").filter((word) => !word.startsWith("["));
  if (positionals.length < required.length) {
    throw new UsageError(
      `hv ${spec.name} needs ${required.join(" and ")}: hv ${spec.name} ${spec.positional}`,
    );
  }
  const [first, second] = positionals;
  const backingFolder = text("backing-folder");
  const json = values.json === true;
  switch (spec.name) {
    case "disk create":
      return await create(first, second, values);
    case "disk info":
      return showInfo(first, { format: oneOf("format", text("format"), IMAGE_FORMATS), json });
    case "disk convert":
      return await convert(first, second, values);
    case "disk check":
      return checkImage(first, { repair: values.repair === true, json });
    default: {
      const shrink = values.shrink === true;
      const format = oneOf("format", text("format"), WRITABLE_FORMATS);
      return resizeImage(first, second, { format, shrink, backingFolder });
    }
  }
}

async function create(
  path: string,
  size: string | undefined,
  values: ParsedCommand["values"],
): Promise<number> {
  const options = newImageOptions(path, values);
  const base = values.backing as string | undefined;
  if (base !== undefined && options.format !== "qcow2") {
    throw new UsageError("A raw image has nothing behind it: make a qcow2 image for --backing");
  }
  if (size === undefined && base === undefined) {
    throw new UsageError("hv disk create needs a SIZE, e.g. 20G");
  }
  const format = oneOf("backing-format", values["backing-format"] as string, IMAGE_FORMATS);
  const behind = base === undefined ? undefined : backingOf(path, base, format);
  const sizeBytes = size === undefined ? behind!.sizeBytes : diskSize(size);
  checkLimit(sizeBytes, options);
  await makeFile(path, { force: values.force === true }, function* (file) {
    if (options.format === "raw") file.resize(sizeBytes);
    else createQcow2(file, { ...options, sizeBytes, backing: behind });
    yield;
  });
  const over = base === undefined ? "" : ` over ${base}`;
  print(`${path}: ${options.format}, ${showBytes(sizeBytes)}${over}`);
  if (base !== undefined) warnOfBacking(path);
  return ExitCode.ok;
}

/** What is behind an image may be where it is not looked for without being asked. */
function warnOfBacking(path: string): void {
  try {
    closeDiskHandle(openDiskHandle({ path, readOnly: true }));
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    say(`hv: ${path} was made, but ${error.problem}`);
  }
}

/** The image that is to be behind a new one: it has to be one, and be where it will be looked for. */
function backingOf(path: string, base: string, format: ImageFormat | undefined) {
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : "";
  const target = base.startsWith("/") ? base : `${folder}${base}`;
  const handle = openDiskHandle({ path: target, readOnly: true, ...(format && { format }) });
  closeDiskHandle(handle);
  // The name that QEMU knows it by.
  const name = handle.format === "vhd" ? "vpc" : handle.format;
  return { file: base, format: name, sizeBytes: handle.sizeBytes };
}

async function convert(
  from: string,
  to: string,
  values: ParsedCommand["values"],
): Promise<number> {
  const options = newImageOptions(to, values);
  const format = oneOf("from-format", values["from-format"] as string, IMAGE_FORMATS);
  const backingFolder = values["backing-folder"] as string | undefined;
  if (isSameFile(from, to)) {
    throw new UsageError(`Cannot copy ${from} onto itself: name another file for the copy`);
  }
  using source = openDisk({
    path: from,
    readOnly: true,
    ...(format && { format }),
    ...(backingFolder && { backingFolder }),
  });
  const { sizeBytes } = source;
  checkLimit(sizeBytes, options);
  const progress = new Progress();
  try {
    await makeFile(to, { force: values.force === true }, function* (file) {
      for (const done of copyInto(file, source, options)) {
        progress.show(`${from} to ${to}`, done / sizeBytes);
        yield;
      }
    });
  } finally {
    progress.end();
  }
  print(`${to}: ${options.format}, ${showBytes(sizeBytes)}`);
  return ExitCode.ok;
}

function isSameFile(a: string, b: string): boolean {
  try {
    const [one, other] = [a, b].map((path) => Deno.statSync(path));
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    return false; // one of them is not there
  }
}

/** What a new image is to be. */
interface NewImage {
  readonly format: ImageFormat;
  readonly clusterBytes: number;
  /** How clusters are compressed; undefined: not at all. */
  readonly compression: "zlib" | "zstd" | undefined;
}

function* copyInto(
  file: FileHandle,
  source: DiskImage,
  { format, clusterBytes, compression }: NewImage,
): Generator<number> {
  const { sizeBytes } = source;
  if (format === "raw") {
    file.resize(sizeBytes);
    yield* copyDisk(source, new RawImage(file, sizeBytes));
    return;
  }
  createQcow2(file, { sizeBytes, clusterBytes, ...(compression && { compression }) });
  if (compression !== undefined) return yield* writeCompressed(file, source);
  const target = new Qcow2Image(file, readHeader(file), sizeBytes);
  yield* copyDisk(source, target);
  target.flush();
}

function newImageOptions(path: string, values: ParsedCommand["values"]): NewImage {
  const byName = path.endsWith(".qcow2") ? "qcow2" : "raw";
  const given = oneOf("format", values.format as string | undefined, WRITABLE_FORMATS);
  const other = /\.(vhdx?|vmdk|vdi|qed|qcow)$/i.exec(path)?.[1];
  if (given === undefined && other !== undefined) {
    throw new UsageError(
      `Cannot make a ${other} image: raw and qcow2 are made; --format says which ${path} is to be`,
    );
  }
  const format = given ?? byName;
  const cluster = values.cluster as string | undefined;
  const clusterBytes = cluster === undefined ? DEFAULT_CLUSTER_BYTES : parseBytes(cluster) ?? 0;
  const bits = Math.log2(clusterBytes);
  if (!Number.isInteger(bits) || bits < 9 || bits > 21) {
    throw new UsageError(
      `Cannot use --cluster ${cluster}: a power of two from 512 to 2M is needed`,
    );
  }
  if (cluster !== undefined && format === "raw") {
    throw new UsageError("A raw image has no clusters: leave out --cluster, or say --format qcow2");
  }
  const wanted = values.compress as string | undefined;
  const compression = oneOf<"zlib" | "zstd">("compress", wanted, ["zlib", "zstd"]);
  if (compression !== undefined && format === "raw") {
    throw new UsageError("A raw image cannot be compressed: make a qcow2 image with --compress");
  }
  return { format, clusterBytes, compression };
}

/**
 * The size of a disk from text, in whole sectors.
 *
 * @throws {UsageError}
 */
export function diskSize(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined || !(bytes >= SECTOR_BYTES) || bytes > 2 ** 52) {
    throw new UsageError(`Cannot make a disk of "${text}": write a size like 512M or 20G`);
  }
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}

function checkLimit(sizeBytes: number, { format, clusterBytes }: NewImage): void {
  const most = maxSizeBytes(clusterBytes);
  if (format === "raw" || sizeBytes <= most) return;
  throw new UsageError(
    `Cannot make a disk of ${showBytes(sizeBytes)} with clusters of ${showBytes(clusterBytes)}: ` +
      `${showBytes(most)} is the most; use larger ones`,
  );
}
