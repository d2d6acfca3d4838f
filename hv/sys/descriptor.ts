/** File descriptors. They are the process's: their numbers mean the same in every worker. */

import { cString } from "./address.ts";
import { SysError } from "./errors.ts";
import { errno, libc } from "./libc.ts";

/** Flags of `open` (asm-generic/fcntl.h). */
export const O_RDONLY = 0;
/** Write only. */
export const O_WRONLY = 1;
/** Read and write. */
export const O_RDWR = 2;
/** Create the file if there is none. */
export const O_CREAT = 0o100;
/** Fail if the file is there already. */
export const O_EXCL = 0o200;
/** Empty the file. */
export const O_TRUNC = 0o1000;
/** Reads and writes that would wait fail with EAGAIN instead. */
export const O_NONBLOCK = 0o4000;
/** Not inherited by programs that the process starts. */
export const O_CLOEXEC = 0o2000000;

/** `result` of the C call just made, or a `SysError` that says what `operation` failed. */
export function check(result: number, operation: string, hint?: (errno: number) => string): number {
  if (result >= 0) return result;
  const number = errno();
  throw new SysError(operation, number, hint?.(number) || undefined);
}

/**
 * Opens `path` and returns the descriptor's number, closed on exec.
 *
 * @param hint What the user can do about an error number; "" for nothing.
 * @throws SysError
 */
export function openDescriptor(
  path: string,
  flags: number,
  options: { mode?: number; hint?: (errno: number) => string } = {},
): number {
  const { open } = libc;
  const result = open(cString(path), flags | O_CLOEXEC, options.mode ?? 0o666);
  return check(result, `open ${path}`, options.hint);
}

/** Closes a descriptor; an error of `close` has no remedy and is ignored. */
export function closeDescriptor(fd: number): void {
  libc.close(fd);
}

/** A descriptor that is closed with its owner. */
export class Descriptor {
  #fd: number;

  /** Takes `fd` over. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Its number, or -1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Closes it; again does nothing. */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    closeDescriptor(this.#fd);
    this.#fd = -1;
  }
}
