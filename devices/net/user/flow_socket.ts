/**
 * What conversations have in common that are one socket of the host's, connected to one peer: they are
 * told when there is something to read, and end when nothing has gone through for a while.
 */

import { type Socket, wouldBlock } from "../../../hv/sys/net/socket.ts";
import type { Watched } from "../../../hv/sys/wait/descriptor_set.ts";
import type { Flow, FlowContext } from "./flow.ts";

/** Datagrams that one turn takes of a socket. */
export const DATAGRAMS_A_TURN = 64;

/** See above. */
export class FlowSocket implements Disposable {
  readonly socket: Socket;
  /** There may be something to read. */
  #isReadable = false;
  readonly #context: FlowContext;
  readonly #watched: Watched;
  readonly #lifetimeNs: number;
  readonly #onEnd: () => void;
  #untilNs: number;

  /**
   * @param flow Whose it is.
   * @param socket Closed with this.
   * @param lifetimeNs Idle time after which the flow ends.
   */
  constructor(
    context: FlowContext,
    flow: Flow,
    { socket, lifetimeNs, onEnd }: {
      readonly socket: Socket;
      readonly lifetimeNs: number;
      readonly onEnd: () => void;
    },
  ) {
    this.#context = context;
    this.socket = socket;
    this.#lifetimeNs = lifetimeNs;
    this.#onEnd = onEnd;
    this.#untilNs = context.nowNs + lifetimeNs;
    this.#watched = context.descriptors.add(socket.fd, () => {
      this.#isReadable = true;
      context.ready(flow);
    });
    this.#wait(true);
    context.wakeAt(this.#untilNs);
  }

  /**
   * As `Flow.pump`: reads what has come, as far as the guest has room.
   *
   * @param into Where each datagram is when `arrived` is told its length, or a negative error number.
   */
  pump(into: Uint8Array, arrived: (result: number) => void): boolean {
    for (let count = 0; this.#isReadable; count++) {
      if (!this.#context.output.hasRoom || count === DATAGRAMS_A_TURN) {
        this.#wait(false);
        return false;
      }
      const result = this.socket.receive(into);
      if (result < 0) this.#isReadable = false;
      if (!wouldBlock(result)) arrived(result);
    }
    this.#wait(true);
    return true;
  }

  #wait(wanted: boolean): void {
    this.#watched.await({ readable: wanted });
  }

  /** Something has gone through: the flow lives on. */
  used(): void {
    this.#untilNs = this.#context.nowNs + this.#lifetimeNs;
  }

  /** As `Flow.tick`. */
  tick(nowNs: number): number {
    if (nowNs < this.#untilNs) return this.#untilNs;
    this[Symbol.dispose]();
    this.#onEnd();
    return Infinity;
  }

  [Symbol.dispose](): void {
    this.#isReadable = false;
    this.#watched[Symbol.dispose]();
    this.socket[Symbol.dispose]();
  }
}
