/**
 * How the guest finds the gateway and the name server on its link: ARP for IPv4; for IPv6 neighbour
 * discovery, and the router advertisement by which it gives itself an address.
 *
 * References: RFC 826; RFC 4861 (4.2, 4.4), RFC 4862, RFC 8106 (name server).
 */

import {
  DNS4,
  DNS6,
  GATEWAY4,
  GATEWAY6,
  GATEWAY6_LINK,
  GATEWAY_MAC,
  PREFIX6,
  same,
} from "./addresses.ts";
import { ETHERTYPE_ARP, get16, put16, put32 } from "./ip.ts";

const ARP_BYTES = 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
/** Types of ICMPv6. */
export const ROUTER_SOLICITATION = 133;
const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** Options of neighbour discovery, lengths in units of 8 bytes. */
const SOURCE_LINK_ADDRESS = 1;
const TARGET_LINK_ADDRESS = 2;
const PREFIX_INFORMATION = 3;
const RDNSS = 25;
const LIFETIME_SECONDS = 9000;
const ROUTER_LIFETIME_SECONDS = 1800;
/** Prefix: on this link, and for addresses that hosts give themselves. */
const ON_LINK_AUTONOMOUS = 0xc0;
/** Neighbour advertisement: from a router, asked for, overriding what was known. */
const ROUTER_SOLICITED_OVERRIDE = 0xe0;

/** The frame that answers an ARP request in `frame`, or undefined. */
export function answerArp(frame: Uint8Array): Uint8Array | undefined {
  const arp = frame.subarray(14);
  const isRequest = arp.length >= ARP_BYTES && get16(arp, 0) === 1 && get16(arp, 2) === 0x0800 &&
    arp[4] === 6 && arp[5] === 4 && get16(arp, 6) === ARP_REQUEST;
  if (!isRequest) return undefined;
  const target = arp.subarray(24, 28);
  if (!same(target, GATEWAY4) && !same(target, DNS4)) return undefined;
  const reply = new Uint8Array(60);
  reply.set(arp.subarray(8, 14), 0);
  reply.set(GATEWAY_MAC, 6);
  put16(reply, 12, ETHERTYPE_ARP);
  reply.set(arp.subarray(0, 6), 14);
  put16(reply, 20, ARP_REPLY);
  reply.set(GATEWAY_MAC, 22);
  reply.set(target, 28);
  reply.set(arp.subarray(8, 18), 32);
  return reply;
}

/** Whom a neighbour solicitation asks for, if it is one of ours. */
export function solicitedAddress(message: Uint8Array): Uint8Array | undefined {
  if (message.length < 24) return undefined;
  const target = message.subarray(8, 24);
  return [GATEWAY6, GATEWAY6_LINK, DNS6].find((address) => same(address, target));
}

/** A neighbour advertisement for one of our addresses, its checksum left out. */
export function neighbourAdvertisement(target: Uint8Array): Uint8Array {
  const message = new Uint8Array(32);
  message[0] = NEIGHBOUR_ADVERTISEMENT;
  message[4] = ROUTER_SOLICITED_OVERRIDE;
  message.set(target, 8);
  message.set([TARGET_LINK_ADDRESS, 1], 24);
  message.set(GATEWAY_MAC, 26);
  return message;
}

/** The router advertisement, its checksum left out. */
export function routerAdvertisement(hasDns: boolean): Uint8Array {
  const message = new Uint8Array(16 + 8 + 32 + (hasDns ? 24 : 0));
  message[0] = ROUTER_ADVERTISEMENT;
  message[4] = 64; // hop limit
  put16(message, 6, ROUTER_LIFETIME_SECONDS);
  message.set([SOURCE_LINK_ADDRESS, 1, ...GATEWAY_MAC], 16);
  message.set([PREFIX_INFORMATION, 4, 64, ON_LINK_AUTONOMOUS], 24);
  put32(message, 28, LIFETIME_SECONDS);
  put32(message, 32, LIFETIME_SECONDS);
  message.set(PREFIX6, 40);
  if (hasDns) {
    message.set([RDNSS, 3], 56);
    put32(message, 60, LIFETIME_SECONDS);
    message.set(DNS6, 64);
  }
  return message;
}
