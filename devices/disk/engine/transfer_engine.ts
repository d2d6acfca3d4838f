/**
 * What brings bytes between a file and guest memory while its thread does other things: io_uring, or
 * threads of hv's own where the kernel has none to offer.
 */

import type { MemoryRange } from "../../../hv/sys/file/iovecs.ts";

/** Most pieces of memory of one transfer. */
export const MAX_PIECES = 256;

/**
 * For one thread. Requests are told apart by tokens, unsigned 32-bit numbers of the caller's; they end
 * in any order. Memory must stay until they have.
 */
export interface TransferEngine extends Disposable {
  /**
   * A descriptor that can be read (poll) while results wait to be taken. There may be some before
   * `submit` has returned, of which it does not tell.
   */
  readonly fd: number;
  /** Most requests at once. */
  readonly depth: number;
  /** Requests whose results have not been taken. */
  readonly inFlight: number;
  /** Reads from file `fd` at byte `offset` into at most `MAX_PIECES` of memory. */
  read(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void;
  /** Writes at most `MAX_PIECES` of memory to file `fd` at byte `offset`. */
  write(fd: number, offset: number, memory: readonly MemoryRange[], token: number): void;
  /** Brings onto the medium what requests have written whose results are known (fdatasync). */
  dataSync(fd: number, token: number): void;
  /** fallocate(2) of `length` bytes at `offset`. */
  allocate(fd: number, mode: number, offset: number, length: number, token: number): void;
  /** Starts what has been asked for since the last call. */
  submit(): void;
  /**
   * Calls `done(token, result)` for each request that has ended: a number of bytes, 0, or a negated
   * error number. Returns how many there were.
   */
  take(done: (token: number, result: number) => void): number;
  /** Waits until something has ended; at once when nothing is under way. */
  wait(): void;
}
