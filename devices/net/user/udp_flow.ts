/**
 * Datagrams between a port of the guest's and one outside, through a socket of the host's that is
 * connected there: nobody else can answer.
 */

import { Errno } from "../../../hv/sys/errors.ts";
import { type Peer, Socket, wouldBlock } from "../../../hv/sys/net/socket.ts";
import type { Watched } from "../../../hv/sys/wait/descriptor_set.ts";
import type { Flow, FlowContext } from "./flow.ts";
import { DATAGRAMS_A_TURN, FlowSocket } from "./flow_socket.ts";
import { postUnreachable, Unreachable } from "./icmp.ts";
import { put16, UDP } from "./ip.ts";

/** Idle after which a flow is forgotten (RFC 4787, REQ-5). */
const LIFETIME_NS = 120e9;
/** Longest datagram. */
const MAX_BYTES = 65_507;

/** Of all flows; a datagram stays there only until it is in a frame. */
const received = new Uint8Array(MAX_BYTES);

/** Who talks to whom, as the guest sees it. */
export interface UdpAddresses {
  readonly guest: Uint8Array;
  readonly guestPort: number;
  readonly peer: Uint8Array;
  readonly peerPort: number;
}

/** See above. */
export class UdpFlow implements Flow {
  readonly #context: FlowContext;
  readonly #addresses: UdpAddresses;
  readonly #end: FlowSocket;

  /** @param socket Connected; the flow closes it. */
  constructor(context: FlowContext, addresses: UdpAddresses, socket: Socket, onEnd: () => void) {
    this.#context = context;
    this.#addresses = addresses;
    this.#end = new FlowSocket(context, this, { socket, lifetimeNs: LIFETIME_NS, onEnd });
  }

  /** The guest sends a datagram. */
  send(data: Uint8Array): void {
    this.#end.used();
    const result = this.#end.socket.send(data);
    if (result < 0 && !wouldBlock(result)) this.#failed(-result);
  }

  pump(): boolean {
    return this.#end.pump(received, (result) => {
      if (result < 0) return this.#failed(-result);
      this.#end.used();
      const { guest, guestPort, peer, peerPort } = this.#addresses;
      this.#context.output.postDatagram(
        { source: peer, destination: guest },
        { from: peerPort, to: guestPort },
        received.subarray(0, result),
      );
    });
  }

  tick(nowNs: number): number {
    return this.#end.tick(nowNs);
  }

  [Symbol.dispose](): void {
    this.#end[Symbol.dispose]();
  }

  /** Nobody is there, says the host: the guest learns it as it would from a router. */
  #failed(error: number): void {
    const { guest, guestPort, peer, peerPort } = this.#addresses;
    const code = error === Errno.ECONNREFUSED ? Unreachable.port : Unreachable.host;
    const header = new Uint8Array(8);
    put16(header, 0, guestPort);
    put16(header, 2, peerPort);
    put16(header, 4, 8);
    postUnreachable(
      this.#context.output,
      { source: guest, destination: peer, protocol: UDP },
      header,
      code,
    );
  }
}

/**
 * A port of the host's that leads to one of the guest's: who sends there appears as a port of the
 * gateway's, or of its own address.
 */
export class UdpForward implements Flow {
  readonly #context: FlowContext;
  readonly #socket: Socket;
  readonly #watched: Watched;
  readonly #arrive: (from: Peer, data: Uint8Array) => void;
  #isReadable = false;

  /** @param socket Bound; it stays its owner's. */
  constructor(
    context: FlowContext,
    socket: Socket,
    arrive: (from: Peer, data: Uint8Array) => void,
  ) {
    this.#context = context;
    this.#socket = socket;
    this.#arrive = arrive;
    this.#watched = context.descriptors.add(socket.fd, () => {
      this.#isReadable = true;
      context.ready(this);
    });
    this.#watched.await({ readable: true });
  }

  /** Sends the guest's answer. */
  sendTo(peer: Peer, data: Uint8Array): void {
    this.#socket.sendTo(data, peer);
  }

  pump(): boolean {
    for (let count = 0; this.#isReadable; count++) {
      if (!this.#context.output.hasRoom || count === DATAGRAMS_A_TURN) {
        this.#watched.await({});
        return false;
      }
      const { length, from } = this.#socket.receiveFrom(received);
      if (from !== undefined) this.#arrive(from, received.subarray(0, length));
      else this.#isReadable = false;
    }
    this.#watched.await({ readable: true });
    return true;
  }

  tick(): number {
    return Infinity;
  }

  [Symbol.dispose](): void {
    this.#watched[Symbol.dispose]();
  }
}
