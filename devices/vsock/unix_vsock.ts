/**
 * A guest's vsock on the host by Unix sockets, as Firecracker has it:
 *
 * - The guest connects to the host's port P: whoever listens on the socket PATH_P gets it.
 * - A program of the host connects to PATH and sends "CONNECT P\n": it is connected to port P of the
 *   guest and told "OK H\n", H being the port of its own end; or, where the guest refuses, closed.
 *
 * Threats: programs of the host that connect and say nothing, or nonsense: they are few at a time, and a
 * line has a few bytes.
 *
 * Reference: Firecracker, docs/vsock.md.
 */

import type { VsockHost, VsockStream } from "../../hv/core/net/vsock.ts";
import { SOCK_STREAM, Socket, wouldBlock } from "../../hv/sys/net/socket.ts";
import { AF_UNIX } from "../../hv/sys/net/socket_address.ts";
import type { DescriptorSet, Watched } from "../../hv/sys/wait/descriptor_set.ts";
import { UnixStream } from "./unix_stream.ts";

/** "CONNECT 4294967295\n". */
const MAX_LINE_BYTES = 19;
const LINE = /^CONNECT (\d{1,10})$/;
const NEWLINE = 0x0a;
/** Programs that have yet to say where they want to be connected to. */
const MAX_ASKING = 64;

/** What another thread needs to serve it. */
export interface VsockHandle {
  /** Of the socket for programs of the host, and the beginning of those for the guest. */
  readonly path: string;
  /** Open on the first, and listening. */
  readonly fd: number;
}

/** The guest, as programs of the host connect to it. */
export interface VsockGuest {
  /** Connects a stream to a port of the guest; false when it cannot have more. */
  openConnection(guestPort: number, stream: VsockStream): boolean;
}

/** See above. */
export class UnixVsock implements VsockHost, Disposable {
  readonly #path: string;
  readonly #descriptors: DescriptorSet;
  readonly #guest: VsockGuest;
  readonly #listener: Socket;
  readonly #watched: Watched;
  readonly #asking = new Set<Asking>();

  /** The listening socket stays whoever's made it. */
  constructor({ path, fd }: VsockHandle, descriptors: DescriptorSet, guest: VsockGuest) {
    this.#path = path;
    this.#descriptors = descriptors;
    this.#guest = guest;
    this.#listener = new Socket(fd);
    this.#watched = descriptors.add(fd, () => this.#accept());
    this.#watched.await({ readable: true });
  }

  connect(port: number): VsockStream | undefined {
    const socket = Socket.open(AF_UNIX, SOCK_STREAM);
    if (connectTo(socket, `${this.#path}_${port}`)) {
      return new UnixStream(socket, this.#descriptors);
    }
    socket[Symbol.dispose]();
    return undefined;
  }

  [Symbol.dispose](): void {
    for (const asking of [...this.#asking]) asking.close();
    this.#watched[Symbol.dispose]();
  }

  #accept(): void {
    const socket = this.#listener.accept()?.socket;
    if (socket === undefined) return;
    const asking = new Asking(socket, this.#descriptors, (line) => {
      this.#asking.delete(asking);
      const port = Number(LINE.exec(line)?.[1] ?? Infinity);
      const stream = new UnixStream(socket, this.#descriptors, welcome);
      if (port > 0xffff_ffff || !this.#guest.openConnection(port, stream)) stream.close();
      this.#watched.await({ readable: true });
    }, () => {
      this.#asking.delete(asking);
      this.#watched.await({ readable: true });
    });
    this.#asking.add(asking);
    // The others wait in the kernel.
    if (this.#asking.size >= MAX_ASKING) this.#watched.await({});
  }
}

function connectTo(socket: Socket, path: string): boolean {
  try {
    return socket.connect({ path }) === 0;
  } catch (error) {
    // A path that is too long is nobody's.
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** The stream is new: there is room for a line. */
function welcome(stream: UnixStream, hostPort: number): void {
  stream.write(new TextEncoder().encode(`OK ${hostPort}\n`));
}

/** A program that has yet to say its line. What follows is not read: it is the guest's. */
class Asking {
  readonly #socket: Socket;
  readonly #watched: Watched;
  readonly #onLine: (line: string) => void;
  readonly #onEnd: () => void;
  readonly #byte = new Uint8Array(1);
  #line = "";

  constructor(
    socket: Socket,
    descriptors: DescriptorSet,
    onLine: (line: string) => void,
    onEnd: () => void,
  ) {
    this.#socket = socket;
    this.#onLine = onLine;
    this.#onEnd = onEnd;
    this.#watched = descriptors.add(socket.fd, () => this.#read());
    this.#watched.await({ readable: true });
  }

  close(): void {
    this.#watched[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#onEnd();
  }

  #read(): void {
    for (;;) {
      const count = this.#socket.receive(this.#byte);
      if (wouldBlock(count)) return;
      if (count <= 0) return this.close();
      if (this.#byte[0] === NEWLINE) {
        this.#watched[Symbol.dispose]();
        return this.#onLine(this.#line);
      }
      this.#line += String.fromCharCode(this.#byte[0]);
      if (this.#line.length >= MAX_LINE_BYTES) return this.close();
    }
  }
}
