/**
 * ICMP and ICMPv6: echo, answered here for the gateway and the name server and passed on by the host's
 * ping sockets for others, and the message that something cannot be reached.
 *
 * References: RFC 792, RFC 4443; icmp(7) for ping sockets (net.ipv4.ping_group_range).
 */

import type { Socket } from "../../../hv/sys/net/socket.ts";
import type { Flow, FlowContext } from "./flow.ts";
import { FlowSocket } from "./flow_socket.ts";
import { get16, ICMP, ICMPV6, put16, put32 } from "./ip.ts";
import type { Output } from "./output.ts";

/** Types, of IPv4 and IPv6. */
const ECHO_REPLY4 = 0;
const UNREACHABLE4 = 3;
export const ECHO_REQUEST4 = 8;
const UNREACHABLE6 = 1;
export const ECHO_REQUEST6 = 128;
const ECHO_REPLY6 = 129;
/** Why something cannot be reached: the codes of IPv4 and of IPv6. */
export const Unreachable = {
  host: { v4: 1, v6: 3 },
  port: { v4: 3, v6: 4 },
  prohibited: { v4: 13, v6: 1 },
} as const;
const HEADER_BYTES = 8;
const LIFETIME_NS = 30e9;
const MAX_BYTES = 1472;

const received = new Uint8Array(65_536);

/** From the guest to somebody. */
export interface Sent {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
}

/** Tells the guest that what it has sent cannot arrive; `begin` is the beginning of its payload. */
export function postUnreachable(
  output: Output,
  { source, destination, protocol }: Sent,
  begin: Uint8Array,
  code: { readonly v4: number; readonly v6: number },
): void {
  const isIpv4 = source.length === 4;
  const ipBytes = isIpv4 ? 20 : 40;
  const about = begin.subarray(0, 8);
  const message = new Uint8Array(HEADER_BYTES + ipBytes + about.length);
  message[0] = isIpv4 ? UNREACHABLE4 : UNREACHABLE6;
  message[1] = isIpv4 ? code.v4 : code.v6;
  const ip = message.subarray(HEADER_BYTES);
  if (isIpv4) {
    ip[0] = 0x45;
    put16(ip, 2, ipBytes + about.length);
    ip[8] = 64;
    ip[9] = protocol;
    ip.set(source, 12);
    ip.set(destination, 16);
  } else {
    put32(ip, 0, 0x6000_0000);
    put16(ip, 4, about.length);
    ip[6] = protocol;
    ip[7] = 64;
    ip.set(source, 8);
    ip.set(destination, 24);
  }
  ip.set(about, ipBytes);
  postIcmp(output, destination, source, message);
}

/** Sends a message, whose checksum it puts in. */
export function postIcmp(
  output: Output,
  source: Uint8Array,
  destination: Uint8Array,
  message: Uint8Array,
  hops?: number,
): void {
  if (destination.length !== 4) {
    return output.postPacket({ source, destination, protocol: ICMPV6, hops }, message, 2);
  }
  output.postIcmp4({ source, destination, protocol: ICMP }, message);
}

/** Is it an echo request? */
export const isEchoRequest = (message: Uint8Array, isIpv4: boolean): boolean =>
  message.length >= HEADER_BYTES && message[1] === 0 &&
  message[0] === (isIpv4 ? ECHO_REQUEST4 : ECHO_REQUEST6);

/** The reply to an echo request. */
export function echoReply(request: Uint8Array, isIpv4: boolean): Uint8Array {
  const reply = request.slice();
  reply[0] = isIpv4 ? ECHO_REPLY4 : ECHO_REPLY6;
  return reply;
}

/** Echo requests of one of the guest's programs to one host, through a ping socket. */
export class EchoFlow implements Flow {
  readonly #context: FlowContext;
  readonly #guest: Uint8Array;
  readonly #peer: Uint8Array;
  readonly #id: number;
  readonly #end: FlowSocket;

  /** @param socket A ping socket connected to the host; the flow closes it. */
  constructor(
    context: FlowContext,
    { source, destination }: Sent,
    id: number,
    socket: Socket,
    onEnd: () => void,
  ) {
    this.#context = context;
    this.#guest = source.slice();
    this.#peer = destination.slice();
    this.#id = id;
    this.#end = new FlowSocket(context, this, { socket, lifetimeNs: LIFETIME_NS, onEnd });
  }

  /** Sends the guest's request; the kernel puts its own identifier in. */
  send(request: Uint8Array): void {
    this.#end.used();
    this.#end.socket.send(request);
  }

  pump(): boolean {
    return this.#end.pump(received, (length) => {
      if (length < HEADER_BYTES || length > MAX_BYTES) return;
      const reply = received.subarray(0, length);
      put16(reply, 4, this.#id);
      postIcmp(this.#context.output, this.#peer, this.#guest, reply);
    });
  }

  tick(nowNs: number): number {
    return this.#end.tick(nowNs);
  }

  [Symbol.dispose](): void {
    this.#end[Symbol.dispose]();
  }
}

/** Identifier of an echo message. */
export const echoId = (message: Uint8Array): number => get16(message, 4);
