/** The guest's TCP connections, and those that the host's forwards begin. */

import { SysError } from "../../../hv/sys/errors.ts";
import { type Peer, SOCK_STREAM, Socket } from "../../../hv/sys/net/socket.ts";
import { AF_INET, AF_INET6 } from "../../../hv/sys/net/socket_address.ts";
import type { Watched } from "../../../hv/sys/wait/descriptor_set.ts";
import { GATEWAY4, GUEST4, guestView, hostAddress, same } from "./addresses.ts";
import { BufferBudget } from "./byte_queue.ts";
import type { FlowContext } from "./flow.ts";
import { flowKey, FlowTable } from "./flow_table.ts";
import type { IpPacket } from "./ip.ts";
import { isConnecting, postReset, type TcpAddresses, TcpConnection } from "./tcp_connection.ts";
import { ACK, FIN, readSegment, RST, type Segment, SYN } from "./tcp_segment.ts";

/** Each has a descriptor of the host's, of which a process often has 1024. */
const MAX_CONNECTIONS = 400;
/** For the bytes of all connections: 64 MiB. */
const BUFFER_BYTES = 64 << 20;
/** Connections that one turn accepts. */
const ACCEPTS_A_TURN = 16;
/** Ports that peers without an address of their own appear as, from here on. */
const FIRST_PORT = 49_152;
const PORTS = 16_384;

/** See above. */
export class TcpFlows implements Disposable {
  readonly #context: FlowContext;
  readonly #table = new FlowTable<TcpConnection>(MAX_CONNECTIONS);
  readonly #budget = new BufferBudget(BUFFER_BYTES);
  readonly #listeners: Watched[];
  #nextPort = 0;

  constructor(
    context: FlowContext,
    forwards: readonly { readonly fd: number; readonly guestPort: number }[],
  ) {
    this.#context = context;
    this.#listeners = forwards.map(({ fd, guestPort }) => {
      const watched = context.descriptors.add(fd, () => this.#accept(new Socket(fd), guestPort));
      watched.await({ readable: true });
      return watched;
    });
  }

  get size(): number {
    return this.#table.size;
  }

  /** Handles a packet of the guest's. */
  receive({ source, destination, payload }: IpPacket): void {
    const segment = readSegment(payload);
    if (segment === undefined) return;
    const { sourcePort, destinationPort, flags } = segment;
    const key = flowKey(source, sourcePort, destination, destinationPort);
    const connection = this.#table.get(key);
    if (connection !== undefined) return connection.receive(segment);
    if ((flags & RST) !== 0) return;
    const addresses: TcpAddresses = {
      guest: source.slice(),
      guestPort: sourcePort,
      peer: destination.slice(),
      peerPort: destinationPort,
    };
    if ((flags & (SYN | ACK)) === SYN && this.#connect(key, addresses, segment)) return;
    this.#refuse(addresses, segment);
  }

  /** Does what is due; when there is more to do. */
  tick(nowNs: number): number {
    return this.#table.tick(nowNs);
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener[Symbol.dispose]();
    this.#table[Symbol.dispose]();
  }

  /** Begins a connection to where the guest wants; false: refused. */
  #connect(key: string, addresses: TcpAddresses, syn: Segment): boolean {
    const { peer, peerPort } = addresses;
    const address = hostAddress(peer, peerPort, this.#context.reach);
    if (address === undefined || peerPort === 0 || this.#table.isFull) return false;
    const isIpv4 = "address" in address && address.address.length === 4;
    let socket: Socket;
    try {
      socket = Socket.open(isIpv4 ? AF_INET : AF_INET6, SOCK_STREAM);
    } catch (error) {
      // No descriptors are left, or the host has no IPv6.
      if (error instanceof SysError) return false;
      throw error;
    }
    if (!isConnecting(socket.connect(address))) {
      socket[Symbol.dispose]();
      return false;
    }
    this.#add(key, addresses, socket, syn);
    return true;
  }

  #accept(listener: Socket, guestPort: number): void {
    for (let count = 0; count < ACCEPTS_A_TURN; count++) {
      const accepted = listener.accept();
      if (accepted === undefined) return;
      const { socket, peer } = accepted;
      const seen = this.#peerSeen(peer, guestPort);
      if (this.#table.isFull || seen === undefined) {
        socket[Symbol.dispose]();
        continue;
      }
      socket.setNoDelay();
      const addresses = { guest: GUEST4, guestPort, ...seen };
      this.#add(
        flowKey(GUEST4, guestPort, seen.peer, seen.peerPort),
        addresses,
        socket,
        undefined,
      );
    }
  }

  /** As whom the guest sees a peer: its own address and port, or a free port of the gateway's. */
  #peerSeen(peer: Peer | undefined, guestPort: number) {
    const address = peer === undefined ? GATEWAY4 : guestView(peer.address);
    const isFree = (port: number) =>
      this.#table.get(flowKey(GUEST4, guestPort, address, port)) === undefined;
    if (peer !== undefined && !same(address, GATEWAY4) && isFree(peer.port)) {
      return { peer: address, peerPort: peer.port };
    }
    for (let i = 0; i < PORTS; i++) {
      this.#nextPort = (this.#nextPort + 1) % PORTS;
      const peerPort = FIRST_PORT + this.#nextPort;
      if (isFree(peerPort)) return { peer: address, peerPort };
    }
    return undefined;
  }

  #add(key: string, addresses: TcpAddresses, socket: Socket, syn: Segment | undefined): void {
    const connection = new TcpConnection({
      context: this.#context,
      addresses,
      socket,
      budget: this.#budget,
      onEnd: () => this.#table.delete(key),
    }, syn);
    this.#table.add(key, connection);
  }

  /** RFC 9293, 3.10.7.1: a reset that the sender takes for an answer. */
  #refuse(addresses: TcpAddresses, { flags, sequence, acknowledged, data }: Segment): void {
    const { output } = this.#context;
    if ((flags & ACK) !== 0) return postReset(output, addresses, acknowledged, undefined);
    const length = data.length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    postReset(output, addresses, 0, (sequence + length) >>> 0);
  }
}
