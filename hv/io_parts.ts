/**
 * What a machine's I/O worker serves: opened on main, which learns at once of what is wrong, handed to
 * the worker of the moment as plain data, closed by main when the last one has ended.
 */

import type { DiskHandle } from "../devices/disk/disk_handle.ts";
import type { ResolvedConfig } from "./config.ts";
import { Media } from "./media.ts";

/** What crosses to the I/O worker. */
export interface IoHandles {
  /** The medium of each drive of the board, in the board's order; undefined: none. */
  readonly media: readonly (DiskHandle | undefined)[];
}

/** Will there be anything to serve, by the user's configuration or the board's? */
export const needsIo = ({ drives }: { readonly drives: readonly unknown[] }): boolean =>
  drives.length > 0;

/** See above. */
export class IoParts implements Disposable {
  readonly media: Media;

  /** @throws {DiskError} When an image cannot be used; what was opened before is closed. */
  constructor({ drives }: ResolvedConfig) {
    this.media = new Media(drives);
  }

  /** What to post to the worker. */
  get handles(): IoHandles {
    return { media: this.media.handles };
  }

  [Symbol.dispose](): void {
    this.media[Symbol.dispose]();
  }
}
