/** Unix stream sockets that a machine listens on. */

import { fileProblem } from "../core/file_problem.ts";
import { HostError } from "../errors.ts";
import { Errno } from "../sys/errors.ts";
import { SOCK_STREAM, Socket } from "../sys/net/socket.ts";
import { AF_UNIX } from "../sys/net/socket_address.ts";

/**
 * A socket that listens at `path`. One that nobody listens on any more, left by a process that was
 * killed, is replaced.
 *
 * @param what Completes "Cannot use ".
 * @param backlog Connections that wait to be accepted.
 * @throws {HostError} When the path cannot be looked at.
 * @throws {SysError | RangeError} When the kernel refuses, or the path is too long.
 */
export function listenAt(path: string, what: string, backlog: number): Socket {
  removeStale(path, what);
  const socket = Socket.open(AF_UNIX, SOCK_STREAM);
  try {
    socket.bind({ path });
    socket.listen(backlog);
    return socket;
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

/** Such a socket with its path, which goes with it. */
export class UnixListener implements Disposable {
  readonly path: string;
  readonly #socket: Socket;

  /** As `listenAt`. */
  constructor(path: string, what: string, backlog: number) {
    this.path = path;
    this.#socket = listenAt(path, what, backlog);
  }

  /** Of the listening socket. */
  get fd(): number {
    return this.#socket.fd;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
    try {
      Deno.removeSync(this.path);
    } catch {
      // Somebody else has.
    }
  }
}

function removeStale(path: string, what: string): void {
  const info = (() => {
    try {
      return Deno.lstatSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw new HostError(`Cannot use ${what}: ${fileProblem(error)}`, { cause: error });
    }
  })();
  if (info === undefined || info.isSocket !== true) return;
  using socket = Socket.open(AF_UNIX, SOCK_STREAM);
  if (socket.connect({ path }) === -Errno.ECONNREFUSED) Deno.removeSync(path);
}
