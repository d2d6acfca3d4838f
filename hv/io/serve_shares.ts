/** Shared directories on the I/O worker's thread: loaded only where there are any. */

import type { SavedSession } from "../../devices/9p/saved_session.ts";
import { NinePServer } from "../../devices/9p/server.ts";
import { HostTree } from "../../devices/share/host_tree.ts";
import type { ShareHandle } from "../../devices/share/open_share.ts";
import type { Virtio9p } from "../../devices/virtio/virtio_9p.ts";
import { MAX_SHARES } from "../pc/board_config.ts";
import { descriptorLimit } from "../sys/file/at.ts";

/** Files that a guest may have open, of all shares of the board; never more than a part of the process's. */
const MAX_OPEN_FILES = 1024;
const PART_OF_PROCESS = 4;

/** Files that a guest may have open of each of so many shares. */
export function openFilesOf(shares: number): number {
  const most = Math.min(MAX_OPEN_FILES, Math.floor(descriptorLimit() / PART_OF_PROCESS));
  return Math.max(1, Math.floor(most / Math.max(1, shares)));
}

/** Files of a share that was attached: as if there were as many as there can be. */
export const attachedOpenFiles = (): number => openFilesOf(MAX_SHARES);

/** A share's end of the host: disposed of, all that the guest has open is closed. */
export class ServedShare implements Disposable {
  readonly #share: Virtio9p;
  readonly #server: NinePServer;
  readonly #tree: HostTree;

  /** @param session What the thread before has left: it is gone on with. */
  constructor(
    share: Virtio9p,
    handle: ShareHandle,
    { openFiles, session }: { readonly openFiles: number; readonly session?: SavedSession },
  ) {
    this.#share = share;
    this.#tree = new HostTree(handle);
    this.#server = share.server = new NinePServer(this.#tree, { openFiles });
    if (session !== undefined) this.#server.restore(session);
  }

  /** What another thread needs to go on, with all that the guest has open. */
  save(): SavedSession | undefined {
    return this.#server.save();
  }

  [Symbol.dispose](): void {
    this.#share.server = undefined;
    this.#server.reset();
    this.#tree[Symbol.dispose]();
  }
}
