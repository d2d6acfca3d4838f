/** A Unix stream socket as the host's end of a guest's connection. */

import type { StreamInput, VsockStream } from "../../hv/core/net/vsock.ts";
import { type Socket, wouldBlock } from "../../hv/sys/net/socket.ts";
import type { DescriptorSet, Watched } from "../../hv/sys/wait/descriptor_set.ts";

const NOTHING = new Uint8Array(0);
const one = new Uint8Array(1);

/** See above. */
export class UnixStream implements VsockStream {
  onReady: (() => void) | undefined;
  /** Told of the port of this end when the guest accepts. */
  readonly #onAccepted: ((stream: UnixStream, hostPort: number) => void) | undefined;
  #socket: Socket | undefined;
  readonly #watched: Watched;

  /** Takes `socket`, which is connected, over. */
  constructor(
    socket: Socket,
    descriptors: DescriptorSet,
    onAccepted?: (stream: UnixStream, hostPort: number) => void,
  ) {
    this.#socket = socket;
    this.#onAccepted = onAccepted;
    this.#watched = descriptors.add(socket.fd, () => this.onReady?.());
  }

  look(): StreamInput {
    if (this.#socket === undefined) return "none";
    const count = this.#socket.peek(one);
    if (count > 0) return "data";
    // A broken connection has come to its end, too.
    return wouldBlock(count) ? "none" : "end";
  }

  read(into: Uint8Array): number {
    return Math.max(0, this.#socket?.receive(into) ?? 0);
  }

  write(from: Uint8Array): number {
    const count = this.#socket?.send(from) ?? -1;
    if (wouldBlock(count)) return 0;
    return count < 0 ? -1 : count;
  }

  get isBroken(): boolean {
    const result = this.#socket?.send(NOTHING) ?? -1;
    return result < 0 && !wouldBlock(result);
  }

  endWriting(): void {
    this.#socket?.endSending();
  }

  await(what: { readonly readable: boolean; readonly writable: boolean }): void {
    if (this.#socket !== undefined) this.#watched.await(what);
  }

  accepted(hostPort: number): void {
    this.#onAccepted?.(this, hostPort);
  }

  close(): void {
    if (this.#socket === undefined) return;
    this.#watched[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#socket = undefined;
  }
}
