/**
 * IPv4 packets that the guest has sent in fragments, put together again (RFC 791, 3.2).
 *
 * Threats: fragments that overlap, never end, or come in masses. A fragment that is not the next one is
 * kept only as long as few packets are under way; overlaps drop the packet (RFC 5722 says so for IPv6).
 */

import type { IpPacket } from "./ip.ts";

/** Packets under way at once. */
const MAX_PACKETS = 16;
/** Fragments of one packet. */
const MAX_FRAGMENTS = 64;
const MAX_BYTES = 65_535;
const LIFETIME_NS = 30e9;

interface Partial {
  readonly parts: { readonly offset: number; readonly bytes: Uint8Array }[];
  /** Length of the whole, once the last fragment is there. */
  length: number | undefined;
  readonly untilNs: number;
}

/** See above. */
export class Reassembly {
  readonly #packets = new Map<string, Partial>();

  /** The whole packet, once `packet` has completed it. */
  add(packet: IpPacket, nowNs: number): IpPacket | undefined {
    const { source, destination, protocol, fragment, payload } = packet;
    if (fragment === undefined) return packet;
    const { offset, more, id } = fragment;
    const key = `${source.join(".")}>${destination.join(".")}:${protocol}:${id}`;
    for (const [other, { untilNs }] of this.#packets) {
      if (untilNs < nowNs) this.#packets.delete(other);
    }
    const partial = this.#packets.get(key) ?? this.#begin(key, nowNs);
    const end = offset + payload.length;
    const { parts } = partial;
    const overlaps = parts.some((part) =>
      offset < part.offset + part.bytes.length && end > part.offset
    );
    const isWrong = payload.length === 0 || end > MAX_BYTES || overlaps ||
      parts.length === MAX_FRAGMENTS || (more && payload.length % 8 !== 0) ||
      (partial.length !== undefined && (!more || end > partial.length));
    if (isWrong) {
      this.#packets.delete(key);
      return undefined;
    }
    parts.push({ offset, bytes: payload.slice() });
    if (!more) partial.length = end;
    const have = parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (have !== partial.length) return undefined;
    this.#packets.delete(key);
    const whole = new Uint8Array(have);
    for (const part of parts) {
      if (part.offset + part.bytes.length > have) return undefined;
      whole.set(part.bytes, part.offset);
    }
    return { source, destination, protocol, payload: whole, whole: packet.whole };
  }

  #begin(key: string, nowNs: number): Partial {
    const [oldest] = this.#packets.keys();
    if (this.#packets.size >= MAX_PACKETS) this.#packets.delete(oldest);
    const partial: Partial = { parts: [], length: undefined, untilNs: nowNs + LIFETIME_NS };
    this.#packets.set(key, partial);
    return partial;
  }
}
