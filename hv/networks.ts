/** The host ends of a machine's networks, opened on main, served by the I/O worker. */

import { closeNetworkHandle, type NetworkHandle } from "../devices/net/network_handle.ts";
import { pcapHeader } from "../devices/net/pcap_end.ts";
import { fileProblem } from "./core/file_problem.ts";
import { HostError, UsageError } from "./errors.ts";
import type { ResolvedNetwork } from "./network_options.ts";
import {
  AF_UNIX,
  Errno,
  FileHandle,
  openTap,
  SOCK_STREAM,
  Socket,
  socketError,
  SysError,
} from "./sys/mod.ts";

/** See above. */
export class Networks implements Disposable {
  /** In the order of the configuration. */
  readonly handles: readonly NetworkHandle[];
  readonly #paths: string[] = [];

  /** @throws {HostError} When one cannot be had; those opened before are closed. */
  constructor(networks: readonly ResolvedNetwork[]) {
    const handles: NetworkHandle[] = this.handles = [];
    try {
      for (const network of networks) handles.push(this.#open(network));
    } catch (error) {
      this[Symbol.dispose]();
      if (error instanceof SysError) throw new HostError(error.message, { cause: error });
      if (error instanceof TypeError || error instanceof RangeError) {
        throw new UsageError(error.message, { cause: error });
      }
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.handles.forEach(closeNetworkHandle);
    for (const path of this.#paths) {
      try {
        Deno.removeSync(path);
      } catch {
        // Somebody else has.
      }
    }
    this.#paths.length = 0;
  }

  #open({ end, pcap }: ResolvedNetwork): NetworkHandle {
    const handle: NetworkHandle = { end: this.#openEnd(end) };
    if (pcap === undefined) return handle;
    try {
      const file = FileHandle.open(pcap, { write: true, create: true, truncate: true });
      file.write(pcapHeader(), 0);
      return { ...handle, pcap: { fd: file.fd, path: pcap } };
    } catch (error) {
      closeNetworkHandle(handle);
      throw error;
    }
  }

  #openEnd(end: ResolvedNetwork["end"]): NetworkHandle["end"] {
    if ("tap" in end) return { kind: "tap", fd: openTap(end.tap) };
    const { socket: path, listen = false } = end;
    const { fd } = listen ? this.#listen(path) : connectTo(path);
    return { kind: "stream", fd, listens: listen, name: path };
  }

  #listen(path: string): Socket {
    removeStale(path);
    const socket = Socket.open(AF_UNIX, SOCK_STREAM);
    try {
      socket.bind({ path });
      this.#paths.push(path);
      socket.listen(1);
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }
}

function connectTo(path: string): Socket {
  const socket = Socket.open(AF_UNIX, SOCK_STREAM);
  try {
    const result = socket.connect({ path });
    if (result === 0) return socket;
    const isMissing = result === -Errno.ENOENT || result === -Errno.ECONNREFUSED;
    throw socketError(
      `connect to the network ${path}`,
      result,
      isMissing ? "start its other end first, or let hv wait for it with ,listen" : undefined,
    );
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

/** A socket that nobody listens on any more was left by a process that was killed. */
function removeStale(path: string): void {
  const info = (() => {
    try {
      return Deno.lstatSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw new HostError(`Cannot use the network ${path}: ${fileProblem(error)}`);
    }
  })();
  if (info === undefined || info.isSocket !== true) return;
  using socket = Socket.open(AF_UNIX, SOCK_STREAM);
  if (socket.connect({ path }) === -Errno.ECONNREFUSED) Deno.removeSync(path);
}
