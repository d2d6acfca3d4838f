/** A thread that carries out transfers for `TransferThreads`, by calls that may block. */

import { transferNow } from "../../../hv/sys/file/transfer.ts";
import { EventFd } from "../../../hv/sys/wait/event_fd.ts";
import { TransferQueue } from "./transfer_queue.ts";

/** What starts the thread. */
export interface TransferWorkerStart {
  readonly buffer: SharedArrayBuffer;
  /** The eventfd that tells of results. */
  readonly eventFd: number;
}

declare const self: {
  onmessage: ((event: MessageEvent<TransferWorkerStart>) => void) | null;
  close(): void;
};

self.onmessage = ({ data }) => {
  const queue = new TransferQueue(data.buffer);
  const results = new EventFd(data.eventFd);
  for (let slot = queue.claim(); slot >= 0; slot = queue.claim()) {
    queue.end(slot, transferNow(queue.transfer(slot)));
    results.signal();
  }
  queue.threadEnded();
  self.close();
};
