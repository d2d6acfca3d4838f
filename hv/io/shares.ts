/** The shared directories of a machine, opened on main, served by the I/O worker. */

import { NO_SESSIONS, type ShareSessions } from "./share_sessions.ts";
import { closeShare, openShare, type ShareHandle } from "../../devices/share/open_share.ts";
import { closeDescriptor } from "../sys/descriptor.ts";
import type { ResolvedShare } from "../options/share_options.ts";

/** See above. */
export class Shares implements Disposable {
  #sessions = NO_SESSIONS;
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
  keep(sessions: ShareSessions): void {
    this.#sessions = sessions;
  }

  /** Gives it to the next one. */
  takeSessions(): ShareSessions {
    const sessions = this.#sessions;
    this.#sessions = NO_SESSIONS;
    return sessions;
  }

  [Symbol.dispose](): void {
    const { board, slots } = this.takeSessions();
    for (const session of [...board, ...slots.values()]) {
      for (const { file } of session?.fids ?? []) if (file) closeDescriptor(file.descriptor);
    }
    this.handles.forEach(closeShare);
  }
}
