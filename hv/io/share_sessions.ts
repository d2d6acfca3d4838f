/** What the guests of an I/O worker have open of shared directories, for the next one. */

import type { SavedSession } from "../../devices/9p/saved_session.ts";

/** What a worker leaves for the next one of what guests have open. */
export interface ShareSessions {
  /** In the board's order. */
  readonly board: readonly (SavedSession | undefined)[];
  /** Of those that were attached, by their slots. */
  readonly slots: ReadonlyMap<number, SavedSession>;
}

/** None at all. */
export const NO_SESSIONS: ShareSessions = { board: [], slots: new Map() };
