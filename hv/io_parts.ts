/**
 * What a machine's I/O worker serves: opened on main, which learns at once of what is wrong, handed to
 * the worker of the moment as plain data, closed by main when the last one has ended.
 */

import type { DiskHandle } from "../devices/disk/disk_handle.ts";
import type { NetworkHandle } from "../devices/net/network_handle.ts";
import type { ShareHandle } from "../devices/share/open_share.ts";
import type { ResolvedConfig } from "./config.ts";
import { Media } from "./media.ts";
import { Networks } from "./networks.ts";
import { Shares } from "./shares.ts";

/** What crosses to the I/O worker. */
export interface IoHandles {
  /** The medium of each drive of the board, in the board's order; undefined: none. */
  readonly media: readonly (DiskHandle | undefined)[];
  /** The host end of each network card, in the board's order. */
  readonly networks: readonly NetworkHandle[];
  /** The shared directories, in the board's order. */
  readonly shares: readonly ShareHandle[];
}

/** Will there be anything to serve, by the user's configuration or the board's? */
export const needsIo = (
  { drives, networks, shares = [] }: {
    readonly drives: readonly unknown[];
    readonly networks: readonly unknown[];
    readonly shares?: readonly unknown[];
  },
): boolean => drives.length + networks.length + shares.length > 0;

/** See above. */
export class IoParts implements Disposable {
  readonly media: Media;
  readonly networks: Networks;
  readonly #shares: Shares;
  readonly #opened: DisposableStack;

  /**
   * What was opened before one of these is closed.
   *
   * @throws {DiskError} When an image cannot be used.
   * @throws {HostError} When a network cannot be had.
   * @throws {ShareError} When a directory cannot be shared.
   */
  constructor({ drives, networks, shares }: ResolvedConfig) {
    using opened = new DisposableStack();
    this.media = opened.use(new Media(drives));
    this.networks = opened.use(new Networks(networks));
    this.#shares = opened.use(new Shares(shares));
    this.#opened = opened.move();
  }

  /** What to post to the worker. */
  get handles(): IoHandles {
    const [media, networks] = [this.media.handles, this.networks.handles];
    return { media, networks, shares: this.#shares.handles };
  }

  [Symbol.dispose](): void {
    this.#opened[Symbol.dispose]();
  }
}
