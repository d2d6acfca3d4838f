/** The guest's datagrams, and those that come by the host's forwards. */

import { SysError } from "../../../hv/sys/errors.ts";
import { type Peer, SOCK_DGRAM, Socket } from "../../../hv/sys/net/socket.ts";
import { AF_INET, AF_INET6 } from "../../../hv/sys/net/socket_address.ts";
import { GATEWAY4, GUEST4, guestView, hostAddress, same } from "./addresses.ts";
import type { FlowContext } from "./flow.ts";
import { flowKey, FlowTable } from "./flow_table.ts";
import { postUnreachable, Unreachable } from "./icmp.ts";
import { get16, type IpPacket, UDP } from "./ip.ts";
import { type UdpAddresses, UdpFlow, UdpForward } from "./udp_flow.ts";

/** Each has a descriptor of the host's. */
const MAX_FLOWS = 200;
/** Peers of forwards that the guest can answer. */
const MAX_PEERS = 1024;
const UDP_BYTES = 8;
const FIRST_PORT = 49_152;
const PORTS = 16_384;

/** Who has sent something to a forwarded port, and through which. */
interface ForwardPeer {
  readonly peer: Peer;
  readonly forward: UdpForward;
  readonly seen: Uint8Array;
  readonly seenPort: number;
}

/** See above. */
export class UdpFlows implements Disposable {
  readonly #context: FlowContext;
  readonly #table = new FlowTable<UdpFlow>(MAX_FLOWS);
  readonly #forwards: UdpForward[];
  /** By how the guest sees them, and by who they are. */
  readonly #peers = new Map<string, ForwardPeer>();
  readonly #peersByOrigin = new Map<string, ForwardPeer>();
  #nextPort = 0;

  constructor(
    context: FlowContext,
    forwards: readonly { readonly fd: number; readonly guestPort: number }[],
  ) {
    this.#context = context;
    this.#forwards = forwards.map(({ fd, guestPort }) => {
      const forward: UdpForward = new UdpForward(
        context,
        new Socket(fd),
        (from, data) => this.#arrive(forward, from, guestPort, data),
      );
      return forward;
    });
  }

  get size(): number {
    return this.#table.size;
  }

  /** Handles a packet of the guest's. */
  receive({ source, destination, payload }: IpPacket): void {
    if (payload.length < UDP_BYTES) return;
    const length = get16(payload, 4);
    if (length < UDP_BYTES || length > payload.length) return;
    const data = payload.subarray(UDP_BYTES, length);
    const guestPort = get16(payload, 0);
    const peerPort = get16(payload, 2);
    const key = flowKey(source, guestPort, destination, peerPort);
    const answered = this.#peers.get(key);
    if (answered !== undefined) return answered.forward.sendTo(answered.peer, data);
    const addresses = { guest: source.slice(), guestPort, peer: destination.slice(), peerPort };
    const flow = this.#table.get(key) ?? this.#begin(key, addresses);
    if (flow !== undefined) return flow.send(data);
    // Nobody is told of a broadcast that led nowhere.
    const isGroup = destination.length === 4
      ? destination[3] === 255 || destination[0] >= 224
      : destination[0] === 0xff;
    if (isGroup) return;
    const sent = { source: addresses.guest, destination: addresses.peer, protocol: UDP };
    postUnreachable(this.#context.output, sent, payload, Unreachable.prohibited);
  }

  /** Does what is due; when there is more to do. */
  tick(nowNs: number): number {
    return this.#table.tick(nowNs);
  }

  [Symbol.dispose](): void {
    for (const forward of this.#forwards) forward[Symbol.dispose]();
    this.#table[Symbol.dispose]();
  }

  #begin(key: string, addresses: UdpAddresses): UdpFlow | undefined {
    const { peer, peerPort } = addresses;
    const address = hostAddress(peer, peerPort, this.#context.reach);
    if (address === undefined || peerPort === 0) return undefined;
    if (this.#table.isFull) this.#table.endOldest();
    const isIpv4 = "address" in address && address.address.length === 4;
    let socket: Socket;
    try {
      socket = Socket.open(isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM);
    } catch (error) {
      if (error instanceof SysError) return undefined;
      throw error;
    }
    if (socket.connect(address) !== 0) {
      socket[Symbol.dispose]();
      return undefined;
    }
    const flow = new UdpFlow(this.#context, addresses, socket, () => this.#table.delete(key));
    this.#table.add(key, flow);
    return flow;
  }

  /** A datagram has come to a forwarded port. */
  #arrive(forward: UdpForward, from: Peer, guestPort: number, data: Uint8Array): void {
    const { seen, seenPort } = this.#peerSeen(forward, from, guestPort);
    this.#context.output.postDatagram(
      { source: seen, destination: GUEST4 },
      { from: seenPort, to: guestPort },
      data,
    );
  }

  #peerSeen(forward: UdpForward, peer: Peer, guestPort: number): ForwardPeer {
    const origin = `${peer.address.join(".")}:${peer.port}>${guestPort}`;
    const known = this.#peersByOrigin.get(origin);
    if (known !== undefined && known.forward === forward) return known;
    if (this.#peers.size >= MAX_PEERS) this.#forgetPeers();
    const seen = guestView(peer.address);
    let seenPort = peer.port;
    const keyOf = (port: number) => flowKey(GUEST4, guestPort, seen, port);
    while (
      same(seen, GATEWAY4)
        ? seenPort < FIRST_PORT || this.#peers.has(keyOf(seenPort))
        : this.#peers.has(keyOf(seenPort))
    ) {
      this.#nextPort = (this.#nextPort + 1) % PORTS;
      seenPort = FIRST_PORT + this.#nextPort;
    }
    const entry = { peer, forward, seen, seenPort };
    this.#peers.set(keyOf(seenPort), entry);
    this.#peersByOrigin.set(origin, entry);
    return entry;
  }

  /** Whoever comes back is known anew. */
  #forgetPeers(): void {
    this.#peers.clear();
    this.#peersByOrigin.clear();
  }
}
