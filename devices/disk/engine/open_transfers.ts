/** What transfers between disks' files and guest memory. */

import { IoUring } from "../../../hv/sys/file/io_uring.ts";
import type { AioKind } from "./aio_kind.ts";
import { PromptEngine } from "./prompt_engine.ts";
import { TransferThreads } from "./transfer_threads.ts";
import { Transfers } from "./transfers.ts";

const DEPTH = 128;
const nowMs = () => performance.now();

/**
 * Transfers by `kind`.
 *
 * @throws {Error} When it is to be io_uring, and the host has none.
 */
export function openTransfers(kind: AioKind): Transfers {
  if (kind === "threads") {
    return new Transfers(new PromptEngine(new TransferThreads(), { readsPromptly: false, nowMs }));
  }
  const ring = IoUring.open(DEPTH);
  if (ring === undefined) throw new Error("Cannot use io_uring: this host has none");
  return new Transfers(new PromptEngine(ring, { readsPromptly: true, nowMs }));
}
