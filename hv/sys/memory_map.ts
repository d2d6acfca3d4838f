/** Mapped memory: a device's or a file's bytes at an address. */

import { addressOf, bytesAt } from "./address.ts";
import { Errno, SysError } from "./errors.ts";
import { errno, libc } from "./libc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;

/** The host's page size that addresses, lengths and offsets here must be multiples of. */
export const PAGE_BYTES = 4096;

function map(address: number, length: number, flags: number, fd: number, offset: number): number {
  const { mmap } = libc;
  const result = mmap(
    BigInt(address),
    BigInt(length),
    PROT_READ | PROT_WRITE,
    flags,
    fd,
    BigInt(offset),
  );
  if (result === -1n) throw new SysError(`map ${length} bytes`, errno());
  return Number(result);
}

/** Bytes of a descriptor, shared with the kernel; unmapped with its owner. */
export class SharedMapping {
  readonly #address: number;
  readonly #length: number;
  #buffer: ArrayBuffer | undefined;

  /**
   * Maps `length` bytes of `fd` from `offset` on, a multiple of `PAGE_BYTES`.
   *
   * @throws SysError
   */
  constructor(fd: number, length: number, offset = 0) {
    this.#length = length;
    this.#address = map(0, length, MAP_SHARED, fd, offset);
    this.#buffer = bytesAt(this.#address, length);
  }

  /**
   * The bytes. Every view of them must be dropped before the mapping is disposed of.
   *
   * @throws Error once it is disposed of.
   */
  get buffer(): ArrayBuffer {
    if (this.#buffer === undefined) throw new Error("Cannot use a mapping after its end");
    return this.#buffer;
  }

  /** Unmaps; again does nothing. */
  [Symbol.dispose](): void {
    if (this.#buffer === undefined) return;
    this.#buffer = undefined;
    libc.munmap(BigInt(this.#address), BigInt(this.#length));
  }
}

function checkPages(view: ArrayBufferView): number {
  const address = addressOf(view);
  if (address % PAGE_BYTES !== 0 || view.byteLength % PAGE_BYTES !== 0) {
    throw new RangeError(
      `Cannot map ${view.byteLength} bytes at 0x${address.toString(16)}: whole pages are required`,
    );
  }
  return address;
}

/**
 * Lays `view.byteLength` bytes of file `fd` from `offset` over `view` (whole pages of WebAssembly
 * memory), private: read as they are touched, and writes stay in this process. For snapshots, which
 * there are none of so far.
 *
 * @throws SysError, RangeError
 */
export function mapFileOver(view: ArrayBufferView, fd: number, offset: number): void {
  if (view.byteLength === 0) return;
  map(checkPages(view), view.byteLength, MAP_PRIVATE | MAP_FIXED, fd, offset);
}

/** Asks for huge pages under `view`; returns whether the kernel has them. */
export function adviseHugePages(view: ArrayBufferView): boolean {
  return advise(view, MADV_HUGEPAGE);
}

/** Gives the pages under `view` back to the host: anonymous memory reads as zeros afterwards. */
export function discardPages(view: ArrayBufferView): void {
  advise(view, MADV_DONTNEED);
}

function advise(view: ArrayBufferView, advice: number): boolean {
  const address = checkPages(view);
  const { madvise } = libc;
  if (madvise(BigInt(address), BigInt(view.byteLength), advice) === 0) return true;
  const number = errno();
  if (number === Errno.EINVAL) return false;
  throw new SysError(`advise the kernel on ${view.byteLength} bytes of memory`, number);
}
