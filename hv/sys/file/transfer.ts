/** Transfers between files and memory at host addresses, done by calls that block. */

import { Errno } from "../errors.ts";
import { errno, libc } from "../libc.ts";

/**
 * What can be asked for. `readCached` reads what the host has in memory: fewer bytes where the rest is
 * not, and EAGAIN where nothing is.
 */
export const TransferOp = { read: 0, write: 1, dataSync: 2, allocate: 3, readCached: 4 } as const;
/** One of `TransferOp`. */
export type TransferOp = typeof TransferOp[keyof typeof TransferOp];

/** A request. */
export interface Transfer {
  readonly op: TransferOp;
  readonly fd: number;
  /** Byte offset in the file; exact to 2^53. */
  readonly offset: number;
  /** For `read`, `write` and `readCached`: host address of `pieces` times `struct iovec`. */
  readonly iovecs: number;
  readonly pieces: number;
  /** For `allocate`: mode of fallocate(2) and bytes. */
  readonly mode: number;
  readonly length: number;
}

const RWF_NOWAIT = 8;

function start({ op, fd, offset, iovecs, pieces, mode, length }: Transfer): number {
  const { preadv, preadv2, pwritev, fdatasync, fallocate } = libc;
  switch (op) {
    case TransferOp.read:
      return preadv(fd, BigInt(iovecs), pieces, BigInt(offset));
    case TransferOp.write:
      return pwritev(fd, BigInt(iovecs), pieces, BigInt(offset));
    case TransferOp.dataSync:
      return fdatasync(fd);
    case TransferOp.allocate:
      return fallocate(fd, mode, BigInt(offset), BigInt(length));
    case TransferOp.readCached:
      return preadv2(fd, BigInt(iovecs), pieces, BigInt(offset), RWF_NOWAIT);
  }
}

/** Carries `transfer` out: a number of bytes, 0, or a negated error number (of `Errno`). */
export function transferNow(transfer: Transfer): number {
  for (;;) {
    const result = start(transfer);
    if (result >= 0) return result;
    const number = errno();
    if (number !== Errno.EINTR) return -number;
  }
}
