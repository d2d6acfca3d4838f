/**
 * passt as a user network's other end: a program that many hosts have installed, in C and confined by
 * seccomp. It is given one end of a pair of stream sockets and told the addresses that hv's own network
 * has, so that guests find the same.
 *
 * Reference: passt(1).
 */

import { HostError, UsageError } from "../errors.ts";
import type { PortForward } from "../options/network_options.ts";
import { type Socket, socketPair } from "../sys/net/socket.ts";

/** The addresses of devices/net/user/addresses.ts. */
const ADDRESSES = ["--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2"];
const DNS = ["--dns", "10.0.2.3", "--dns-forward", "10.0.2.3"];

/** A running passt; disposing of it ends it and leaves the socket open. */
export interface Passt extends Disposable {
  /** The network's end of the socket. */
  readonly socket: Socket;
}

/**
 * Starts passt.
 *
 * @param warn Told, in one line, if it ends by itself.
 * @throws {HostError} When it is not there.
 * @throws {UsageError} When it cannot do a forward.
 */
export function startPasst(forwards: readonly PortForward[], warn: (line: string) => void): Passt {
  const { ours, theirs } = socketPair();
  try {
    const args = [...ADDRESSES, ...DNS, ...forwards.flatMap(forwardArguments)];
    const child = new Deno.Command("passt", {
      args: ["--foreground", "--stderr", "--quiet", "--fd", String(theirs.fd), ...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    child.unref();
    let isOver = false;
    void child.output().then(({ code, stderr }) => {
      if (isOver || code === 0) return;
      const lines = new TextDecoder().decode(stderr).split("\n");
      const why = lines.findLast((line) => line !== "" && !line.includes("syslog"));
      warn(`passt has ended with code ${code}: ${why ?? "it does not say why"}`);
    });
    return {
      socket: ours,
      [Symbol.dispose]() {
        if (isOver) return;
        isOver = true;
        try {
          child.kill("SIGTERM");
        } catch {
          // It has ended with the socket.
        }
      },
    };
  } catch (error) {
    ours[Symbol.dispose]();
    if (error instanceof UsageError) throw error;
    const isMissing = error instanceof Deno.errors.NotFound;
    const why = isMissing ? "it is not installed here; leave out via=passt" : String(error);
    throw new HostError(`Cannot start passt: ${why}`, { cause: error });
  } finally {
    theirs[Symbol.dispose]();
  }
}

/** `--tcp-ports ADDRESS/HOSTPORT:GUESTPORT`. */
function forwardArguments({ protocol, address, hostPort, guestPort }: PortForward): string[] {
  if (hostPort === 0) throw new UsageError("Cannot have passt choose a port: say which one");
  const groups = Array.from(
    { length: address.length / 2 },
    (_, i) => (address[i * 2] << 8 | address[i * 2 + 1]).toString(16),
  );
  const text = address.length === 4 ? address.join(".") : groups.join(":");
  return [`--${protocol}-ports`, `${text}/${hostPort}:${guestPort}`];
}
