/**
 * Messages of 9P2000.L: size[4] type[1] tag[2] and fields, little-endian; a string is its length[2]
 * and bytes, a qid type[1] version[4] path[8].
 *
 * References: Plan 9 manual, section 5 (intro, and a page a message); "9P2000.L Protocol" (diod,
 * protocol.md), of which Linux's net/9p and fs/9p are the client.
 */

import { FileError } from "../../hv/core/media/file_tree.ts";
import { EMSGSIZE, EPROTO } from "./errno.ts";
import type { Qid } from "./qid.ts";

/** Types of requests (T); the reply's (R) is the next number. */
export const MessageType = {
  lerror: 6,
  statfs: 8,
  lopen: 12,
  lcreate: 14,
  symlink: 16,
  mknod: 18,
  rename: 20,
  readlink: 22,
  getattr: 24,
  setattr: 26,
  xattrwalk: 30,
  xattrcreate: 32,
  readdir: 40,
  fsync: 50,
  lock: 52,
  getlock: 54,
  link: 70,
  mkdir: 72,
  renameat: 74,
  unlinkat: 76,
  version: 100,
  auth: 102,
  attach: 104,
  flush: 108,
  walk: 110,
  read: 116,
  write: 118,
  clunk: 120,
  remove: 122,
} as const;

/** Bytes before the fields. */
export const HEADER_BYTES = 7;
/** The largest message: what Linux's virtio transport sends at most (500 KiB) fits. */
export const MAX_MSIZE = 512 * 1024;
/** Bytes of a qid. */
export const QID_BYTES = 13;
/** Of `Tversion`: no tag. */
export const NOTAG = 0xffff;
/** No fid. */
export const NOFID = 0xffff_ffff;

/** Reads the fields of a request. Whatever lies beyond its end is a `FileError` EPROTO. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = HEADER_BYTES;

  /** @param bytes The whole message. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Whether there are further fields. */
  get more(): boolean {
    return this.#at < this.#bytes.length;
  }

  u8(): number {
    return this.#bytes[this.#skip(1)];
  }

  u16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#skip(8), true);
  }

  /** A string, a character a byte. */
  string(): string {
    return String.fromCharCode(...this.bytes(this.u16()));
  }

  /** The next `length` bytes, in place. */
  bytes(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  #skip(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw new FileError(EPROTO);
    this.#at = start + length;
    return start;
  }
}

/** Writes a reply. What does not fit is a `FileError` EMSGSIZE. */
export class MessageWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = HEADER_BYTES;

  /** @param bytes Room for the reply. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes that still fit. */
  get room(): number {
    return this.#bytes.length - this.#at;
  }

  /** Where the next field goes. */
  get position(): number {
    return this.#at;
  }

  u8(value: number): void {
    this.#bytes[this.#skip(1)] = value;
  }

  u16(value: number): void {
    this.#view.setUint16(this.#skip(2), value, true);
  }

  u32(value: number): void {
    this.#view.setUint32(this.#skip(4), value, true);
  }

  u64(value: bigint): void {
    this.#view.setBigUint64(this.#skip(8), value, true);
  }

  /** A string of at most 65535 characters, one a byte. */
  string(value: string): void {
    this.u16(value.length);
    const start = this.#skip(value.length);
    for (let i = 0; i < value.length; i++) this.#bytes[start + i] = value.charCodeAt(i);
  }

  qid({ type, version, path }: Qid): void {
    this.u8(type);
    this.u32(version);
    this.u64(path);
  }

  /** Room for data of `length` bytes behind a count[4] that `counted` sets. */
  data(length: number): Uint8Array {
    const start = this.#at + 4;
    if (start + length > this.#bytes.length) throw new FileError(EMSGSIZE);
    return this.#bytes.subarray(start, start + length);
  }

  /** Ends data of which `length` bytes are there. */
  counted(length: number): void {
    this.u32(length);
    this.#skip(length);
  }

  /** Sets a field that is there already. */
  u32At(position: number, value: number): void {
    this.#view.setUint32(position, value, true);
  }

  /** Forgets all fields. */
  restart(): void {
    this.#at = HEADER_BYTES;
  }

  /** Completes the header. @returns Bytes of the message. */
  finish(type: number, tag: number): number {
    this.#view.setUint32(0, this.#at, true);
    this.#bytes[4] = type;
    this.#view.setUint16(5, tag, true);
    return this.#at;
  }

  #skip(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw new FileError(EMSGSIZE);
    this.#at = start + length;
    return start;
  }
}
