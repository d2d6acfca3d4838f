/** The shared directories of a machine, opened on main, served by the I/O worker. */

import type { SavedSession } from "../devices/9p/saved_session.ts";
import { closeShare, openShare, type ShareHandle } from "../devices/share/open_share.ts";
import { closeDescriptor } from "./sys/mod.ts";
import type { ResolvedShare } from "./share_options.ts";

/** See above. */
export class Shares implements Disposable {
  /** What a worker has left for the next one, in the board's order. */
  #sessions: readonly (SavedSession | undefined)[] = [];
  /** In the board's order. */
  readonly handles: readonly ShareHandle[];

  /** @throws {ShareError} When a directory cannot be shared; those opened before are closed. */
  constructor(shares: readonly ResolvedShare[]) {
    const handles: ShareHandle[] = [];
    try {
      for (const share of shares) handles.push(openShare(share));
    } catch (error) {
      handles.forEach(closeShare);
      throw error;
    }
    this.handles = handles;
  }

  /** Keeps what a worker has left. */
  keep(sessions: readonly (SavedSession | undefined)[]): void {
    this.#sessions = sessions;
  }

  /** Gives it to the next one. */
  takeSessions(): readonly (SavedSession | undefined)[] {
    const sessions = this.#sessions;
    this.#sessions = [];
    return sessions;
  }

  [Symbol.dispose](): void {
    for (const session of this.takeSessions()) {
      for (const { file } of session?.fids ?? []) if (file) closeDescriptor(file.descriptor);
    }
    this.handles.forEach(closeShare);
  }
}
