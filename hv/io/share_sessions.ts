/** What the guests of an I/O worker have open of shared directories, for the next one. */

import { closeDescriptor } from "../sys/descriptor.ts";
import type { SavedSession } from "../../devices/9p/saved_session.ts";

/** What a worker leaves for the next one of what guests have open. */
export interface ShareSessions {
  /** In the board's order. */
  readonly board: readonly (SavedSession | undefined)[];
  /** Of those that were attached, by their slots. */
  readonly slots: ReadonlyMap<number, SavedSession>;
}

const NO_SESSIONS: ShareSessions = { board: [], slots: new Map() };

/** What one worker has left, between its end and the beginning of the next. */
export class KeptSessions implements Disposable {
  #sessions = NO_SESSIONS;

  /** Keeps them. */
  keep(sessions: ShareSessions): void {
    this.#sessions = sessions;
  }

  /** Gives them to the next one. */
  take(): ShareSessions {
    const sessions = this.#sessions;
    this.#sessions = NO_SESSIONS;
    return sessions;
  }

  [Symbol.dispose](): void {
    const { board, slots } = this.take();
    for (const session of [...board, ...slots.values()]) {
      for (const { file } of session?.fids ?? []) if (file) closeDescriptor(file.descriptor);
    }
  }
}
