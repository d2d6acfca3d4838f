/** Which engine transfers between disks' files and guest memory: the best that the host has. */

import { IoUring } from "../../hv/sys/mod.ts";
import { TransferThreads } from "./transfer_threads.ts";
import { Transfers } from "./transfers.ts";

/** Ways to transfer, by their names on the command line. */
export const AIO_KINDS = ["io_uring", "threads"] as const;
/** One of `AIO_KINDS`. */
export type AioKind = typeof AIO_KINDS[number];

const DEPTH = 128;

/** Transfers by `kind`; without one by io_uring where the host has it, else by threads. */
export function openTransfers(kind?: AioKind): { transfers: Transfers; kind: AioKind } {
  const ring = kind === "threads" ? undefined : IoUring.open(DEPTH);
  if (ring !== undefined) return { transfers: new Transfers(ring), kind: "io_uring" };
  return { transfers: new Transfers(new TransferThreads()), kind: "threads" };
}
