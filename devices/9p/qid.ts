/** Qids: what tells a file from all others of the share, over the share's life and after. */

import {
  type FileAttributes,
  type FileIdentity,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from "../../hv/core/media/file_tree.ts";

/** See above (Plan 9 manual, intro(5)). */
export interface Qid {
  /** `QTDIR`, `QTSYMLINK` or 0. */
  readonly type: number;
  /** Another number where the file has been changed. */
  readonly version: number;
  readonly path: bigint;
}

/** A directory. */
export const QTDIR = 0x80;
/** A symbolic link. */
export const QTSYMLINK = 0x02;

const MASK = 0xffff_ffff_ffff_ffffn;
/** An odd number whose multiples are spread over 64 bits (2^64 divided by the golden ratio). */
const SPREAD = 0x9e37_79b9_7f4a_7c15n;

/**
 * The inode number on the root's file system; on others mounted below, spread by the device's number
 * so that they do not meet it.
 */
export function qidPath({ device, inode }: FileIdentity, rootDevice: bigint): bigint {
  return device === rootDevice ? inode : inode ^ ((device + 1n) * SPREAD & MASK);
}

/** The type of what has `mode`. */
export function qidType(mode: number): number {
  const kind = mode & S_IFMT;
  return kind === S_IFDIR ? QTDIR : kind === S_IFLNK ? QTSYMLINK : 0;
}

/** The qid of a file. */
export function qidOf(attributes: FileAttributes, rootDevice: bigint): Qid {
  const { mode, size, modified: { seconds, nanoseconds } } = attributes;
  const version = Number((seconds * 1_000_000_000n + BigInt(nanoseconds)) & 0xffff_ffffn) ^
    Number(size & 0xffff_ffffn);
  return { type: qidType(mode), version: version >>> 0, path: qidPath(attributes, rootDevice) };
}
