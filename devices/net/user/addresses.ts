/**
 * The network that the guest is in: who has which address, and where an address leads on the host.
 *
 * IPv4 is laid out as QEMU's user network and many scripts know it: 10.0.2.0/24, the guest .15, the
 * gateway .2, the name server .3. IPv6 has a unique local prefix (RFC 4193) with the same last numbers.
 */

import type { SocketAddress } from "../../../hv/sys/net/socket_address.ts";

/** What the gateway and the name server have as Ethernet address. */
export const GATEWAY_MAC: Uint8Array = Uint8Array.of(0x52, 0x55, 10, 0, 2, 2);
/** The gateway: the host's loopback. */
export const GATEWAY4: Uint8Array = Uint8Array.of(10, 0, 2, 2);
/** The name server: the host's. */
export const DNS4: Uint8Array = Uint8Array.of(10, 0, 2, 3);
/** The first address that DHCP gives, and the one that forwards lead to. */
export const GUEST4: Uint8Array = Uint8Array.of(10, 0, 2, 15);
/** fd68:7600::/64. */
export const PREFIX6: Uint8Array = ipv6([0xfd68, 0x7600]);
/** The gateway, as hosts of the network are called, and by its link. */
export const GATEWAY6: Uint8Array = ipv6([0xfd68, 0x7600], 2);
export const GATEWAY6_LINK: Uint8Array = ipv6([0xfe80], 2);
/** The name server. */
export const DNS6: Uint8Array = ipv6([0xfd68, 0x7600], 3);
const LOOPBACK4 = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK6 = ipv6([], 1);
const DNS_PORT = 53;

function ipv6(groups: readonly number[], last = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => bytes.set([group >> 8, group & 0xff], i * 2));
  bytes[15] = last;
  return bytes;
}

/** Are two addresses the same? */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const startsWith = (address: Uint8Array, prefix: Uint8Array, bytes: number): boolean =>
  same(address.subarray(0, bytes), prefix.subarray(0, bytes));

/** Is it an address of the guest's network? */
export const isInside = (address: Uint8Array): boolean =>
  address.length === 4 ? startsWith(address, GATEWAY4, 3) : startsWith(address, PREFIX6, 8);

/** Is it the gateway? */
export const isGateway = (address: Uint8Array): boolean =>
  same(address, GATEWAY4) || same(address, GATEWAY6) || same(address, GATEWAY6_LINK);

/** Is it the name server? */
export const isDns = (address: Uint8Array): boolean => same(address, DNS4) || same(address, DNS6);

/** May the gateway show itself as the sender with this address: one that is no single host elsewhere? */
function isUnroutable(a: Uint8Array): boolean {
  if (a.length === 4) return a[0] === 0 || a[0] === 127 || a[0] >= 224;
  const isZero = a.subarray(0, 10).every((byte) => byte === 0);
  // ::, ::1 and the like, IPv4 in disguise (RFC 4291, 2.5.5), links, groups.
  return isZero || (a[0] === 0xfe && (a[1] & 0xc0) === 0x80) || a[0] === 0xff;
}

/** What the user decides. */
export interface ReachOptions {
  /** The guest reaches nothing: neither the host nor anything beyond. */
  readonly restrict: boolean;
  /** The host's name server, if it has one. */
  readonly dns: Uint8Array | undefined;
}

/**
 * Where on the host something for `address` and `port` goes, or undefined for nowhere. The host's own
 * loopback is reached by the gateway's address alone.
 */
export function hostAddress(
  address: Uint8Array,
  port: number,
  { restrict, dns }: ReachOptions,
): SocketAddress | undefined {
  if (restrict) return undefined;
  if (isGateway(address)) return { address: address.length === 4 ? LOOPBACK4 : LOOPBACK6, port };
  if (isDns(address)) {
    return dns !== undefined && port === DNS_PORT ? { address: dns, port } : undefined;
  }
  return isInside(address) || isUnroutable(address) ? undefined : { address, port };
}

/** How a peer of the host's appears to the guest: as itself where the guest can answer, else the gateway. */
export function guestView(peer: Uint8Array): Uint8Array {
  return peer.length !== 4 || isUnroutable(peer) || isInside(peer) ? GATEWAY4 : peer;
}
