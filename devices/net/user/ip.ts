/**
 * IPv4 and IPv6 packets: what is read of one that the guest has sent, and how one for the guest is
 * written. Checks are complete before anything is used: the guest may send anything.
 *
 * References: RFC 791, RFC 8200; RFC 9293, 3.1 and RFC 768 for the pseudo-header.
 */

import { addToSum, checksumOf, foldSum } from "../../../hv/core/net/checksum.ts";
import { copyBuffer } from "../../../hv/core/memory/copy_buffer.ts";
import { MAX_FRAME_BYTES } from "../../../hv/core/net/network.ts";
import { GATEWAY_MAC } from "./addresses.ts";

/** Bytes of an Ethernet header. */
export const ETHERNET_BYTES = 14;
/** Ethernet types. */
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
/** Protocols of IP. */
export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;
/** Longest packet that the guest's network carries whole. */
export const MTU = 1500;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TTL = 64;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
/** Extension headers that are looked past (RFC 8200, 4): hop-by-hop, routing, destination options. */
const EXTENSIONS = [0, 43, 60];
const MAX_EXTENSIONS = 8;

/** A packet, of which only views of the frame are kept. */
export interface IpPacket {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** What IP carries. */
  readonly payload: Uint8Array;
  /** From the IP header on, for messages about it. */
  readonly whole: Uint8Array;
  /** Part of a packet: where it belongs (bytes), whether there is more, and which packet. */
  readonly fragment?: { readonly offset: number; readonly more: boolean; readonly id: number };
}

export const get16 = (b: Uint8Array, at: number): number => b[at] << 8 | b[at + 1];
export const get32 = (b: Uint8Array, at: number): number =>
  ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
export const put16 = (b: Uint8Array, at: number, value: number): void => {
  b[at] = value >> 8;
  b[at + 1] = value;
};
export const put32 = (b: Uint8Array, at: number, value: number): void => {
  put16(b, at, value >>> 16);
  put16(b, at + 2, value & 0xffff);
};
/** A few bytes: for so few, a loop is faster than `set`. */
const putAll = (b: Uint8Array, at: number, bytes: Uint8Array): void => {
  for (let i = 0; i < bytes.length; i++) b[at + i] = bytes[i];
};

/** The IPv4 packet in a frame; undefined if it is none, or its header is damaged. */
export function readIpv4(frame: Uint8Array): IpPacket | undefined {
  const ip = frame.subarray(ETHERNET_BYTES);
  const headerBytes = (ip[0] & 15) * 4;
  if (ip.length < IPV4_BYTES || ip[0] >> 4 !== 4 || headerBytes < IPV4_BYTES) return undefined;
  const length = get16(ip, 2);
  if (length < headerBytes || length > ip.length) return undefined;
  if (checksumOf(addToSum(ip, 0, headerBytes)) !== 0) return undefined;
  const flags = get16(ip, 6);
  const offset = (flags & 0x1fff) * 8;
  const more = (flags & MORE_FRAGMENTS) !== 0;
  return {
    source: ip.subarray(12, 16),
    destination: ip.subarray(16, 20),
    protocol: ip[9],
    payload: ip.subarray(headerBytes, length),
    whole: ip.subarray(0, length),
    fragment: offset > 0 || more ? { offset, more, id: get16(ip, 4) } : undefined,
  };
}

/** The IPv6 packet in a frame; undefined if it is none, or a part of one. */
export function readIpv6(frame: Uint8Array): IpPacket | undefined {
  const ip = frame.subarray(ETHERNET_BYTES);
  if (ip.length < IPV6_BYTES || ip[0] >> 4 !== 6) return undefined;
  const end = IPV6_BYTES + get16(ip, 4);
  if (end > ip.length) return undefined;
  let protocol = ip[6];
  let start = IPV6_BYTES;
  for (let i = 0; EXTENSIONS.includes(protocol); i++) {
    if (i === MAX_EXTENSIONS || start + 8 > end) return undefined;
    protocol = ip[start];
    start += 8 + ip[start + 1] * 8;
  }
  if (start > end) return undefined;
  return {
    source: ip.subarray(8, 24),
    destination: ip.subarray(24, 40),
    protocol,
    payload: ip.subarray(start, end),
    whole: ip.subarray(0, end),
  };
}

/** Sum of the pseudo-header of a payload of `length` bytes. */
export function pseudoSum(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): number {
  return addToSum(destination, 0, destination.length, addToSum(source, 0, source.length)) +
    protocol + length;
}

/** From whom to whom, of what. */
export interface IpHeader {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** Ethernet address of the receiver. */
  readonly mac: Uint8Array;
  /** IPv6's hop limit, IPv4's time to live; default 64. */
  readonly hops?: number;
}

/** A frame being made: the payload is written first, then the headers around it. */
export class FrameWriter {
  readonly bytes: Uint8Array = copyBuffer(MAX_FRAME_BYTES);
  #nextId = 1;

  /** Where the payload of a packet to `destination` begins. */
  payloadStart(destination: Uint8Array): number {
    return ETHERNET_BYTES + (destination.length === 4 ? IPV4_BYTES : IPV6_BYTES);
  }

  /** The payload's room. */
  payload(destination: Uint8Array): Uint8Array {
    return this.bytes.subarray(this.payloadStart(destination));
  }

  /** Writes Ethernet and IP headers around `length` bytes of payload; gives the frame. */
  finish(header: IpHeader, length: number, fragment = DONT_FRAGMENT, id?: number): Uint8Array {
    const { source, destination, protocol, mac, hops = TTL } = header;
    const b = this.bytes;
    putAll(b, 0, mac);
    putAll(b, 6, GATEWAY_MAC);
    const ip = ETHERNET_BYTES;
    if (destination.length === 4) {
      put16(b, 12, ETHERTYPE_IPV4);
      b[ip] = 0x45;
      b[ip + 1] = 0;
      put16(b, ip + 2, IPV4_BYTES + length);
      put16(b, ip + 4, id ?? this.nextId());
      put16(b, ip + 6, fragment);
      b[ip + 8] = hops;
      b[ip + 9] = protocol;
      put16(b, ip + 10, 0);
      putAll(b, ip + 12, source);
      putAll(b, ip + 16, destination);
      put16(b, ip + 10, checksumOf(addToSum(b, ip, ip + IPV4_BYTES)));
      return b.subarray(0, ip + IPV4_BYTES + length);
    }
    put16(b, 12, ETHERTYPE_IPV6);
    put32(b, ip, 0x6000_0000);
    put16(b, ip + 4, length);
    b[ip + 6] = protocol;
    b[ip + 7] = hops;
    putAll(b, ip + 8, source);
    putAll(b, ip + 24, destination);
    return b.subarray(0, ip + IPV6_BYTES + length);
  }

  /** Puts the payload's checksum, with its pseudo-header, at `at` of the payload. */
  sum({ source, destination, protocol }: IpHeader, length: number, at: number): void {
    const start = this.payloadStart(destination);
    put16(this.bytes, start + at, 0);
    const sum = addToSum(
      this.bytes,
      start,
      start + length,
      pseudoSum(source, destination, protocol, length),
    );
    const value = checksumOf(sum);
    // For UDP, zero would mean that there is none; for the others both are the same number.
    put16(this.bytes, start + at, value === 0 && protocol === UDP ? 0xffff : value);
  }

  /** Puts the pseudo-header's sum at `at` of the payload, for whoever finishes the checksum. */
  sumLater({ source, destination, protocol }: IpHeader, length: number, at: number): void {
    const sum = foldSum(pseudoSum(source, destination, protocol, length));
    put16(this.bytes, this.payloadStart(destination) + at, sum);
  }

  /** The next identification of an IPv4 packet. */
  nextId(): number {
    return this.#nextId = (this.#nextId + 1) & 0xffff;
  }
}

/** IPv4's fragments of a payload that is longer than the network carries whole, as frames, in order. */
export function* fragments(
  writer: FrameWriter,
  header: IpHeader,
  payload: Uint8Array,
): Generator<Uint8Array> {
  const most = (MTU - IPV4_BYTES) & ~7;
  const id = writer.nextId();
  for (let start = 0; start < payload.length; start += most) {
    const part = payload.subarray(start, start + most);
    const isLast = start + most >= payload.length;
    writer.payload(header.destination).set(part);
    yield writer.finish(header, part.length, start / 8 | (isLast ? 0 : MORE_FRAGMENTS), id);
  }
}
