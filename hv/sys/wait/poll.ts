/** Waiting for one descriptor with a limit in nanoseconds, and such limits. */

import { Errno, SysError } from "../errors.ts";
import { errno, libc } from "../libc.ts";

const POLLIN = 1;
/** struct pollfd: fd (32 bits), events (16 bits), revents (16 bits). */
const pollfd = new Int32Array(2);
/** struct timespec: seconds and nanoseconds, 64 bits each, of which the low words are used. */
const timespec = new Uint32Array(4);

/**
 * A time limit as system calls take it, a `struct timespec`: null is none, for Infinity. Until the next
 * call.
 */
export function timeLimit(timeoutNs: number): Uint32Array<ArrayBuffer> | null {
  if (timeoutNs >= 4e18) return null;
  const ns = Math.max(0, timeoutNs);
  timespec[0] = Math.floor(ns / 1e9);
  timespec[2] = Math.floor(ns % 1e9);
  return timespec;
}

/**
 * Waits until `fd` can be read, at most `timeoutNs`; Infinity waits without limit. A signal ends the
 * wait early.
 *
 * @returns Whether it can be read.
 * @throws SysError
 */
export function waitReadable(fd: number, timeoutNs: number): boolean {
  pollfd[0] = fd;
  pollfd[1] = POLLIN;
  const { ppoll } = libc;
  const count = ppoll(pollfd, 1n, timeLimit(timeoutNs), null);
  if (count >= 0) return count > 0;
  const number = errno();
  if (number === Errno.EINTR) return false;
  throw new SysError(`wait for descriptor ${fd}`, number);
}
