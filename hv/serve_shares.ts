/** Shared directories on the I/O worker's thread: loaded only where there are any. */

import type { SavedSession } from "../devices/9p/saved_session.ts";
import { NinePServer } from "../devices/9p/server.ts";
import { HostTree } from "../devices/share/host_tree.ts";
import { descriptorLimit } from "./sys/at.ts";
import type { IoHandles } from "./io_parts.ts";
import type { Pc } from "./pc.ts";

/** Files that a guest may have open, of all its shares; never more than a part of the process's. */
const MAX_OPEN_FILES = 1024;
const PART_OF_PROCESS = 4;

/** See above. */
export class ServedShares implements Disposable {
  readonly #servers: NinePServer[] = [];
  readonly #opened = new DisposableStack();

  /** Gives the board's shares their servers, which go on where the thread before has left off. */
  constructor({ shares, shareSessions }: IoHandles, pc: Pc) {
    const most = Math.min(MAX_OPEN_FILES, Math.floor(descriptorLimit() / PART_OF_PROCESS));
    const openFiles = Math.max(1, Math.floor(most / Math.max(1, shares.length)));
    for (const [i, share] of (pc.virtio?.shares ?? []).entries()) {
      const tree = this.#opened.use(new HostTree(shares[i]));
      const server = share.server = new NinePServer(tree, { openFiles });
      this.#servers.push(server);
      this.#opened.defer(() => server.reset());
      const session = shareSessions[i];
      if (session !== undefined) server.restore(session);
    }
  }

  /** What another thread needs to go on, with all that guests have open. */
  save(): (SavedSession | undefined)[] {
    return this.#servers.map((server) => server.save());
  }

  /** Closes all that guests have opened. */
  [Symbol.dispose](): void {
    this.#opened.dispose();
  }
}
