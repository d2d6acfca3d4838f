/**
 * An initial RAM file system for Linux: a cpio archive in the "newc" form, built from a list of files.
 *
 * Reference: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */

import { alignUp } from "../core/align.ts";

/** A file of the archive. Its folders come before it. */
export interface CpioEntry {
  /** Without a slash in front, e.g. `bin/busybox`. */
  readonly name: string;
  readonly kind: "file" | "folder" | "link" | "character device";
  /** Permission bits; default 755 octal. */
  readonly permissions?: number;
  /** Contents of a file, or where a link leads. */
  readonly data?: Uint8Array | string;
  /** Major and minor number of a device. */
  readonly device?: readonly [major: number, minor: number];
}

const TYPE_BITS = {
  file: 0o100000,
  folder: 0o040000,
  link: 0o120000,
  "character device": 0o020000,
} as const;
const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const ALIGNMENT = 4;

/** The archive's bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  const add = (bytes: Uint8Array) => {
    const padded = new Uint8Array(alignUp(bytes.length, ALIGNMENT));
    padded.set(bytes);
    parts.push(padded);
    length += padded.length;
  };
  for (const [index, entry] of entries.entries()) {
    const data = bytesOf(entry.data ?? "");
    add(header(entry, index + 1, data.length));
    add(data);
  }
  add(header({ name: TRAILER, kind: "file", permissions: 0 }, 0, 0));
  const archive = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

/** Header and name: together they are aligned, whence the name's length does not matter. */
function header(
  { name, kind, permissions = 0o755, device = [0, 0] }: CpioEntry,
  inode: number,
  size: number,
): Uint8Array {
  const isTrailer = name === TRAILER;
  const fields = [
    inode,
    isTrailer ? 0 : TYPE_BITS[kind] | permissions,
    0, // user
    0, // group
    1, // links
    0, // time
    size,
    0, // device that holds the file
    0,
    device[0],
    device[1],
    bytesOf(name).length + 1,
    0, // checksum: none in this form
  ];
  const text = fields.map((field) => field.toString(16).padStart(8, "0").toUpperCase()).join("");
  return bytesOf(`${MAGIC}${text}${name}\0`);
}

const bytesOf = (data: Uint8Array | string): Uint8Array =>
  typeof data === "string" ? new TextEncoder().encode(data) : data;
