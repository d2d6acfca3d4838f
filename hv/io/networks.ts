/** The host ends of a machine's networks, opened on main, served by the I/O worker. */

import { closeNetworkHandle, type NetworkHandle } from "../../devices/net/network_handle.ts";
import { pcapHeader } from "../../devices/net/pcap_end.ts";
import type { Forward } from "../../devices/net/user/user_end.ts";
import { parseAddress } from "../core/net/ip_address.ts";
import { HostError, UsageError } from "../errors.ts";
import type { PortForward, ResolvedEnd, ResolvedNetwork } from "../options/network_options.ts";
import { type Passt, startPasst } from "./passt.ts";
import { closeDescriptor } from "../sys/descriptor.ts";
import { Errno, SysError } from "../sys/errors.ts";
import { FileHandle } from "../sys/file/file.ts";
import { showAddress, SOCK_DGRAM, SOCK_STREAM, Socket, socketError } from "../sys/net/socket.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "../sys/net/socket_address.ts";
import { openTap } from "../sys/net/tap.ts";
import { listenAt } from "./unix_listener.ts";

/** See above. */
export class Networks implements Disposable {
  /** In the order of the configuration. */
  readonly handles: readonly NetworkHandle[];
  readonly #forwards: PortForward[] = [];
  readonly #paths: string[] = [];
  readonly #passts: Passt[] = [];
  readonly #warn: (line: string) => void;

  /**
   * @param warn Told, in one line, what goes wrong later.
   * @throws {HostError} When one cannot be had; those opened before are closed.
   */
  constructor(networks: readonly ResolvedNetwork[], warn: (line: string) => void = () => {}) {
    this.#warn = warn;
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

  /** The ports that lead to the guest, with their numbers where the kernel has chosen them. */
  get forwards(): readonly PortForward[] {
    return this.#forwards;
  }

  [Symbol.dispose](): void {
    this.handles.forEach(closeNetworkHandle);
    for (const passt of this.#passts) passt[Symbol.dispose]();
    for (const path of this.#paths) {
      try {
        Deno.removeSync(path);
      } catch {
        // Somebody else has.
      }
    }
    this.#paths.length = 0;
  }

  #open({ end, mac, pcap }: ResolvedNetwork): NetworkHandle {
    const handle: NetworkHandle = { end: this.#openEnd(end, mac) };
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

  #openEnd(end: ResolvedEnd, mac: Uint8Array): NetworkHandle["end"] {
    switch (end.kind) {
      case "tap":
        return { kind: "tap", fd: openTap(end.name) };
      case "socket": {
        const { path, listens } = end;
        const { fd } = listens ? this.#listen(path) : connectTo(path);
        return { kind: "stream", fd, listens, name: path };
      }
      case "user": {
        if (end.via === "passt") return this.#startPasst(end.forwards);
        const forwards = this.#openForwards(end.forwards);
        return { kind: "user", restrict: end.restrict, dns: hostNameServer(), forwards, mac };
      }
    }
  }

  #startPasst(forwards: readonly PortForward[]): NetworkHandle["end"] {
    const passt = startPasst(forwards, this.#warn);
    this.#passts.push(passt);
    this.#forwards.push(...forwards);
    return { kind: "stream", fd: passt.socket.fd, listens: false, name: "passt" };
  }

  #openForwards(ports: readonly PortForward[]): Forward[] {
    const forwards: Forward[] = [];
    try {
      for (const port of ports) {
        const socket = openPort(port);
        forwards.push({ protocol: port.protocol, fd: socket.fd, guestPort: port.guestPort });
        this.#forwards.push({ ...port, hostPort: socket.localAddress()!.port });
      }
      return forwards;
    } catch (error) {
      for (const { fd } of forwards) closeDescriptor(fd);
      throw error;
    }
  }

  #listen(path: string): Socket {
    const socket = listenAt(path, `the network ${path}`, 1);
    this.#paths.push(path);
    return socket;
  }
}

function openPort({ protocol, address, hostPort }: PortForward): Socket {
  const family = address.length === 4 ? AF_INET : AF_INET6;
  const socket = Socket.open(family, protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM);
  try {
    socket.bind({ address, port: hostPort });
    if (protocol === "tcp") socket.listen();
    return socket;
  } catch (error) {
    socket[Symbol.dispose]();
    if (!(error instanceof SysError)) throw error;
    const shown = `${protocol}:${showAddress({ address, port: hostPort })}`;
    const advice = PORT_ADVICE[error.errno];
    const why = advice === undefined ? error.reason : `${error.reason}; ${advice}`;
    throw new HostError(`Cannot forward ${shown} to the guest: ${why}`, { cause: error });
  }
}

/** What to do when a port of the host cannot be had. */
const PORT_ADVICE: Readonly<Record<number, string>> = {
  [Errno.EADDRINUSE]: "choose another port, or 0 for any that is free",
  [Errno.EACCES]: "choose a port from 1024 on, lower ones need privileges",
};

/** The first name server of the host's, if it says one (resolv.conf(5)). */
function hostNameServer(): Uint8Array | undefined {
  try {
    const text = Deno.readTextFileSync("/etc/resolv.conf");
    for (const [, address] of text.matchAll(/^\s*nameserver\s+(\S+)/gm)) {
      const bytes = parseAddress(address);
      if (bytes !== undefined) return bytes;
    }
  } catch {
    // Then it has none.
  }
  return undefined;
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
