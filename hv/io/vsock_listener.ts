/** The socket of a guest's vsock, opened on main, served by the I/O worker. */

import type { VsockHandle } from "../../devices/vsock/unix_vsock.ts";
import { HostError, UsageError } from "../errors.ts";
import { UnixListener } from "./unix_listener.ts";
import { Errno, SysError } from "../sys/errors.ts";
import type { ResolvedVsock } from "../options/vsock_options.ts";

/** Programs that wait to be connected. */
const BACKLOG = 64;

const PROBLEMS: Readonly<Record<number, string>> = {
  [Errno.EADDRINUSE]: "something is there already; name another, or remove it",
  [Errno.ENOENT]: "there is no such directory",
};

/** @throws {HostError | UsageError} When the path cannot be used. */
export function listenForVsock({ path }: ResolvedVsock): VsockHandle & Disposable {
  try {
    const listener = new UnixListener(path, `the vsock ${path}`, BACKLOG);
    return { path, fd: listener.fd, [Symbol.dispose]: () => listener[Symbol.dispose]() };
  } catch (error) {
    if (error instanceof SysError) {
      const why = PROBLEMS[error.errno] ?? error.reason;
      throw new HostError(`Cannot use the vsock ${path}: ${why}`, { cause: error });
    }
    if (error instanceof RangeError || error instanceof TypeError) {
      throw new UsageError(error.message, { cause: error });
    }
    throw error;
  }
}
