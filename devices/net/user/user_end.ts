/**
 * The network without privileges: the guest's packets become sockets of the host's, and the host's
 * answers packets. DHCP and router advertisements give the guest addresses, the name server is the
 * host's, the gateway is the host itself, and ports of the host can lead to ports of the guest.
 *
 * Threats: the guest. Every length is checked where a packet is read (`ip.ts`, `tcp_segment.ts`);
 * conversations, buffers and waiting frames are bounded (the constants below, `output.ts`); what may be
 * reached is decided in one place (`addresses.ts`). Peers of the host's only ever give bytes.
 */

import {
  ALL_OFFLOADS,
  type Frame,
  MIN_FRAME_BYTES,
  type NetworkCard,
  type NetworkEnd,
} from "../../../hv/core/net/network.ts";
import type { DescriptorSet } from "../../../hv/sys/wait/descriptor_set.ts";
import { GATEWAY4, isDns, isGateway, isInside, type ReachOptions, same } from "./addresses.ts";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from "./dhcp.ts";
import { EchoFlows } from "./echo_flows.ts";
import type { Flow, FlowContext } from "./flow.ts";
import { ECHO_REQUEST4, ECHO_REQUEST6, echoReply, isEchoRequest, postIcmp } from "./icmp.ts";
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  get16,
  ICMP,
  ICMPV6,
  type IpPacket,
  readIpv4,
  readIpv6,
  TCP,
  UDP,
} from "./ip.ts";
import { GATEWAY6_LINK } from "./addresses.ts";
import {
  answerArp,
  NEIGHBOUR_SOLICITATION,
  neighbourAdvertisement,
  ROUTER_SOLICITATION,
  routerAdvertisement,
  solicitedAddress,
} from "./neighbours.ts";
import { Output } from "./output.ts";
import { Reassembly } from "./reassembly.ts";
import { TcpFlows } from "./tcp_flows.ts";
import { UdpFlows } from "./udp_flows.ts";

/** A port of the host's that leads to one of the guest's. Cloneable. */
export interface Forward {
  readonly protocol: "tcp" | "udp";
  /** A socket that is bound and, for TCP, listens; it stays its owner's. */
  readonly fd: number;
  readonly guestPort: number;
}

/** What the network is made of. */
export interface UserEndOptions extends ReachOptions {
  /** The card's Ethernet address. */
  readonly mac: Uint8Array;
  readonly forwards: readonly Forward[];
  readonly descriptors: DescriptorSet;
}

const UDP_BYTES = 8;
/** Neighbour discovery is believed from the link alone (RFC 4861, 6.1, 7.1). */
const LINK_HOPS = 255;
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const BROADCAST_MAC = new Uint8Array(6).fill(0xff);

/** See above. */
export class UserEnd implements NetworkEnd, FlowContext {
  readonly offloads = ALL_OFFLOADS;
  readonly descriptors: DescriptorSet;
  readonly reach: ReachOptions;
  readonly output: Output;
  nowNs = 0;
  readonly #dhcp: DhcpServer;
  readonly #reassembly = new Reassembly();
  readonly #tcp: TcpFlows;
  readonly #udp: UdpFlows;
  readonly #echo: EchoFlows;
  readonly #ready = new Set<Flow>();
  #nextTickNs = Infinity;

  constructor({ mac, forwards, descriptors, restrict, dns }: UserEndOptions) {
    this.descriptors = descriptors;
    this.reach = { restrict, dns };
    this.output = new Output(mac);
    const hasDns = dns !== undefined && !restrict;
    this.#dhcp = new DhcpServer(hasDns);
    this.#tcp = new TcpFlows(this, forwards.filter(({ protocol }) => protocol === "tcp"));
    this.#udp = new UdpFlows(this, forwards.filter(({ protocol }) => protocol === "udp"));
    this.#echo = new EchoFlows(this);
  }

  /** Conversations, for tests. */
  get flows(): { readonly tcp: number; readonly udp: number; readonly echo: number } {
    return { tcp: this.#tcp.size, udp: this.#udp.size, echo: this.#echo.size };
  }

  ready(flow: Flow): void {
    this.#ready.add(flow);
  }

  wakeAt(ns: number): void {
    this.#nextTickNs = Math.min(this.#nextTickNs, ns);
  }

  send({ bytes }: Frame): boolean {
    if (bytes.length < MIN_FRAME_BYTES) return true;
    switch (get16(bytes, 12)) {
      case ETHERTYPE_ARP: {
        const reply = answerArp(bytes);
        if (reply !== undefined) this.output.post(reply);
        break;
      }
      case ETHERTYPE_IPV4: {
        const part = readIpv4(bytes);
        const packet = part && this.#reassembly.add(part, this.nowNs);
        if (packet !== undefined) this.#receive(packet, bytes);
        break;
      }
      case ETHERTYPE_IPV6: {
        const packet = readIpv6(bytes);
        if (packet !== undefined) this.#receive(packet, bytes);
      }
    }
    return true;
  }

  serve(card: NetworkCard, nowNs: number): number {
    this.nowNs = nowNs;
    this.output.begin(card);
    if (nowNs >= this.#nextTickNs) {
      this.#nextTickNs = Infinity;
      const flows = [this.#tcp, this.#udp, this.#echo];
      for (const table of flows) this.wakeAt(table.tick(nowNs));
    }
    // Whoever has no room now goes last the next time.
    for (const flow of [...this.#ready]) {
      if (!this.output.hasRoom) break;
      this.#ready.delete(flow);
      if (!flow.pump()) this.#ready.add(flow);
    }
    const hasMore = this.#ready.size > 0 && !this.output.isCardFull;
    return hasMore ? 0 : this.#nextTickNs;
  }

  [Symbol.dispose](): void {
    for (const part of [this.#tcp, this.#udp, this.#echo]) part[Symbol.dispose]();
  }

  #receive(packet: IpPacket, frame: Uint8Array): void {
    const isIpv4 = packet.source.length === 4;
    // Who has an address of this network answers for it from now on.
    if (isInside(packet.source) && !isGateway(packet.source)) {
      this.output.mac.set(frame.subarray(6, 12));
    } else if (isIpv4 && !this.#isDhcp(packet)) return;
    switch (packet.protocol) {
      case TCP:
        return this.#tcp.receive(packet);
      case UDP:
        return this.#isDhcp(packet) ? this.#answerDhcp(packet) : this.#udp.receive(packet);
      case ICMP:
        if (isIpv4 && packet.payload[0] === ECHO_REQUEST4) this.#answerEcho(packet);
        return;
      case ICMPV6:
        if (!isIpv4) this.#receiveIcmp6(packet, frame);
    }
  }

  #isDhcp({ protocol, source, payload }: IpPacket): boolean {
    return protocol === UDP && source.length === 4 && payload.length >= UDP_BYTES &&
      get16(payload, 0) === DHCP_CLIENT_PORT && get16(payload, 2) === DHCP_SERVER_PORT;
  }

  #answerDhcp({ payload }: IpPacket): void {
    const reply = this.#dhcp.reply(payload.subarray(UDP_BYTES));
    if (reply === undefined) return;
    const { bytes, destination } = reply;
    const isBroadcast = same(destination, Uint8Array.of(255, 255, 255, 255));
    this.output.postDatagram(
      { source: GATEWAY4, destination },
      { from: DHCP_SERVER_PORT, to: DHCP_CLIENT_PORT },
      bytes,
      isBroadcast ? BROADCAST_MAC : bytes.slice(28, 34),
    );
  }

  #answerEcho(packet: IpPacket): void {
    const { source, destination, payload } = packet;
    const isIpv4 = source.length === 4;
    if (!isEchoRequest(payload, isIpv4)) return;
    if (!isGateway(destination) && !isDns(destination)) return this.#echo.send(packet);
    postIcmp(this.output, destination.slice(), source.slice(), echoReply(payload, isIpv4));
  }

  #receiveIcmp6(packet: IpPacket, frame: Uint8Array): void {
    const { source, payload, whole } = packet;
    if (payload[0] === ECHO_REQUEST6) return this.#answerEcho(packet);
    if (whole[7] !== LINK_HOPS) return;
    if (payload[0] === ROUTER_SOLICITATION) {
      const hasDns = this.reach.dns !== undefined && !this.reach.restrict;
      return this.#advertise(GATEWAY6_LINK, source, routerAdvertisement(hasDns), frame);
    }
    if (payload[0] !== NEIGHBOUR_SOLICITATION) return;
    const target = solicitedAddress(payload);
    if (target === undefined) return;
    this.#advertise(target, source, neighbourAdvertisement(target), frame);
  }

  /** To who has asked or, if that one has no address yet, to all. */
  #advertise(from: Uint8Array, to: Uint8Array, message: Uint8Array, frame: Uint8Array): void {
    const hasAddress = to.some((byte) => byte !== 0);
    if (!same(frame.subarray(6, 12), this.output.mac) && (frame[6] & 1) === 0) {
      this.output.mac.set(frame.subarray(6, 12));
    }
    postIcmp(this.output, from, hasAddress ? to.slice() : ALL_NODES, message, LINK_HOPS);
  }
}
