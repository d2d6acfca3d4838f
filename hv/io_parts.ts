/**
 * What a machine's I/O worker serves: opened on main, which learns at once of what is wrong, handed to
 * the worker of the moment as plain data, closed by main when the last one has ended.
 */

import type { DiskHandle } from "../devices/disk/disk_handle.ts";
import type { NetworkHandle } from "../devices/net/network_handle.ts";
import type { ResolvedConfig } from "./config.ts";
import { Media } from "./media.ts";
import { Networks } from "./networks.ts";

/** What crosses to the I/O worker. */
export interface IoHandles {
  /** The medium of each drive of the board, in the board's order; undefined: none. */
  readonly media: readonly (DiskHandle | undefined)[];
  /** The host end of each network card, in the board's order. */
  readonly networks: readonly NetworkHandle[];
}

/** Will there be anything to serve, by the user's configuration or the board's? */
export const needsIo = (
  { drives, networks }: {
    readonly drives: readonly unknown[];
    readonly networks: readonly unknown[];
  },
): boolean => drives.length + networks.length > 0;

/** See above. */
export class IoParts implements Disposable {
  readonly media: Media;
  readonly #networks: Networks;

  /**
   * What was opened before one of these is closed.
   *
   * @throws {DiskError} When an image cannot be used.
   * @throws {HostError} When a network cannot be had.
   */
  constructor({ drives, networks }: ResolvedConfig) {
    this.media = new Media(drives);
    try {
      this.#networks = new Networks(networks);
    } catch (error) {
      this.media[Symbol.dispose]();
      throw error;
    }
  }

  /** What to post to the worker. */
  get handles(): IoHandles {
    return { media: this.media.handles, networks: this.#networks.handles };
  }

  [Symbol.dispose](): void {
    this.media[Symbol.dispose]();
    this.#networks[Symbol.dispose]();
  }
}
