/**
 * What a machine's I/O worker serves: opened on main, which learns at once of what is wrong, handed to
 * the worker of the moment as plain data, closed by main when the last one has ended.
 */

import type { DiskHandle } from "../../devices/disk/disk_handle.ts";
import type { NetworkHandle } from "../../devices/net/network_handle.ts";
import type { ShareHandle } from "../../devices/share/open_share.ts";
import type { VsockHandle } from "../../devices/vsock/unix_vsock.ts";
import type { ResolvedConfig } from "../options/config.ts";
import type { AioKind } from "../../devices/disk/engine/aio_kind.ts";
import type { PortForward } from "../options/network_options.ts";
import type { DriveConfig } from "../pc/board_config.ts";
import type { Media } from "./media.ts";
import type { Networks } from "./networks.ts";
import type { Shares } from "./shares.ts";
import { KeptSessions, type ShareSessions } from "./share_sessions.ts";

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

/** What is open of each kind; undefined where the machine has none, whose code is not loaded then. */
interface Opened {
  readonly media?: Media;
  readonly networks?: Networks;
  readonly shares?: Shares;
  readonly vsock?: VsockHandle;
}

/** See above. */
export class IoParts implements Disposable {
  readonly #parts: Opened;
  readonly #opened: DisposableStack;
  /** Also of directories that came while the machine ran. */
  readonly #sessions: KeptSessions;

  private constructor(parts: Opened, opened: DisposableStack) {
    this.#parts = parts;
    this.#opened = opened;
    this.#sessions = opened.use(new KeptSessions());
  }

  /**
   * What was opened before one of these is closed.
   *
   * @throws {DiskError} When an image cannot be used.
   * @throws {HostError} When a network or the vsock's socket cannot be had.
   * @throws {ShareError} When a directory cannot be shared.
   */
  static async open(
    { drives, networks, shares, vsock, onWarning }: ResolvedConfig,
  ): Promise<IoParts> {
    using opened = new DisposableStack();
    const parts: { -readonly [name in keyof Opened]: Opened[name] } = {};
    if (drives.length > 0) {
      const { Media } = await import("./media.ts");
      parts.media = opened.use(new Media(drives));
    }
    if (networks.length > 0) {
      const { Networks } = await import("./networks.ts");
      parts.networks = opened.use(new Networks(networks, onWarning));
    }
    if (shares.length > 0) {
      const { Shares } = await import("./shares.ts");
      parts.shares = opened.use(new Shares(shares));
    }
    if (vsock !== undefined) {
      const { listenForVsock } = await import("./vsock_listener.ts");
      const { path, fd } = opened.use(listenForVsock(vsock));
      parts.vsock = { path, fd };
    }
    return new IoParts(parts, opened.move());
  }

  /** The drives of the board with what is in them. */
  get drives(): readonly DriveConfig[] {
    return this.#parts.media?.drives ?? [];
  }

  /** How virtio disks transfer. */
  get diskEngines(): readonly (AioKind | undefined)[] {
    return this.#parts.media?.handles.map((handle) => handle?.aio) ?? [];
  }

  /** The host's ports that lead to the guest, with their numbers where the kernel has chosen them. */
  get forwards(): readonly PortForward[] {
    return this.#parts.networks?.forwards ?? [];
  }

  /** Has the board shares, whose sessions outlive a worker? */
  get hasSessions(): boolean {
    return this.#parts.shares !== undefined;
  }

  /** Keeps what a worker has left for the next. */
  keep(sessions: ShareSessions): void {
    this.#sessions.keep(sessions);
  }

  /** What to post to a worker: once each, for what the one before has left goes along. */
  handOut(): IoHandles {
    const { media, networks, shares, vsock } = this.#parts;
    return {
      media: media?.handles ?? [],
      networks: networks?.handles ?? [],
      shares: shares?.handles ?? [],
      shareSessions: this.#sessions.take(),
      vsock,
    };
  }

  [Symbol.dispose](): void {
    this.#opened[Symbol.dispose]();
  }
}
