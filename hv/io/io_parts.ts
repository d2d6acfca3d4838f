/**
 * What a machine's I/O worker serves: opened on main, which learns at once of what is wrong, handed to
 * the worker of the moment as plain data, closed by main when the last one has ended.
 */

import type { DiskHandle } from "../../devices/disk/disk_handle.ts";
import type { NetworkHandle } from "../../devices/net/network_handle.ts";
import type { ShareHandle } from "../../devices/share/open_share.ts";
import type { VsockHandle } from "../../devices/vsock/unix_vsock.ts";
import type { ResolvedConfig } from "../options/config.ts";
import { Media } from "./media.ts";
import { Networks } from "./networks.ts";
import { Shares, type ShareSessions } from "./shares.ts";
import { listenForVsock } from "./vsock_listener.ts";

/** What crosses to the I/O worker. */
export interface IoHandles {
  /** The medium of each drive of the board, in the board's order; undefined: none. */
  readonly media: readonly (DiskHandle | undefined)[];
  /** The host end of each network card, in the board's order. */
  readonly networks: readonly NetworkHandle[];
  /** The shared directories, in the board's order. */
  readonly shares: readonly ShareHandle[];
  /** What the worker before has left of them. */
  readonly shareSessions: ShareSessions;
  readonly vsock: VsockHandle | undefined;
}

/** Will there be anything to serve, by the user's configuration or the board's? */
export const needsIo = (
  { drives, networks, shares = [], vsock }: {
    readonly drives: readonly unknown[];
    readonly networks: readonly unknown[];
    readonly shares?: readonly unknown[];
    readonly vsock?: unknown;
  },
): boolean => drives.length + networks.length + shares.length > 0 || vsock !== undefined;

/** See above. */
export class IoParts implements Disposable {
  readonly media: Media;
  readonly networks: Networks;
  readonly #shares: Shares;
  readonly #vsock: VsockHandle | undefined;
  readonly #opened: DisposableStack;

  /**
   * What was opened before one of these is closed.
   *
   * @throws {DiskError} When an image cannot be used.
   * @throws {HostError} When a network or the vsock's socket cannot be had.
   * @throws {ShareError} When a directory cannot be shared.
   */
  constructor({ drives, networks, shares, vsock, onWarning }: ResolvedConfig) {
    using opened = new DisposableStack();
    this.media = opened.use(new Media(drives));
    this.networks = opened.use(new Networks(networks, onWarning));
    this.#shares = opened.use(new Shares(shares));
    if (vsock !== undefined) {
      const { path, fd } = opened.use(listenForVsock(vsock));
      this.#vsock = { path, fd };
    }
    this.#opened = opened.move();
  }

  /** Has the board shares, whose sessions outlive a worker? */
  get hasSessions(): boolean {
    return this.#shares.handles.length > 0;
  }

  /** Keeps what a worker has left for the next. */
  keep(sessions: ShareSessions): void {
    this.#shares.keep(sessions);
  }

  /** What to post to a worker: once each, for what the one before has left goes along. */
  handOut(): IoHandles {
    return {
      media: this.media.handles,
      networks: this.networks.handles,
      shares: this.#shares.handles,
      shareSessions: this.#shares.takeSessions(),
      vsock: this.#vsock,
    };
  }

  [Symbol.dispose](): void {
    this.#opened[Symbol.dispose]();
  }
}
