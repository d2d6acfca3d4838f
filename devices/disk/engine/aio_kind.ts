/** Ways of transferring between a disk's file and guest memory while other things are done. */

import { ioUringIsThere } from "../../../hv/sys/file/io_uring.ts";

/** By its name on the command line. */
export type AioKind = "io_uring" | "threads";
/** All of them. */
export const AIO_KINDS: readonly AioKind[] = ["io_uring", "threads"];

/** The best that this host has. */
export function bestAio(): AioKind {
  return ioUringIsThere() ? "io_uring" : "threads";
}
