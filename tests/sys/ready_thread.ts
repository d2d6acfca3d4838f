/** A thread that gets ready to be kicked, for the tests of others' kicks. */

import { currentThreadId } from "../../hv/sys/thread.ts";

declare const self: { postMessage(threadId: number): void };

self.postMessage(currentThreadId());
