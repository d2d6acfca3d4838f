/** A guest on the user network that a test plays by hand: frames in, frames out, a little TCP. */

import assert from "node:assert/strict";
import { NetworkLink } from "../../../devices/net/network_link.ts";
import {
  fragments,
  FrameWriter,
  ICMP,
  type IpPacket,
  readIpv4,
  readIpv6,
  TCP,
  UDP,
} from "../../../devices/net/user/ip.ts";
import { readSegment, type Segment } from "../../../devices/net/user/tcp_segment.ts";
import { type Forward, UserEnd } from "../../../devices/net/user/user_end.ts";
import { addToSum, checksumOf } from "../../../hv/core/net/checksum.ts";
import { DescriptorSet } from "../../../hv/sys/wait/descriptor_set.ts";
import { TestCard } from "./card.ts";

export const MAC = Uint8Array.of(0x52, 0x54, 0, 0x68, 0x76, 0);
export const GUEST = Uint8Array.of(10, 0, 2, 15);
export const GATEWAY = Uint8Array.of(10, 0, 2, 2);
export const DNS = Uint8Array.of(10, 0, 2, 3);
export const GUEST6 = Uint8Array.of(0xfd, 0x68, 0x76, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15);
export const GATEWAY6 = Uint8Array.of(0xfd, 0x68, 0x76, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);

/** A TCP segment that the guest sends. */
export interface GuestSegment {
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
  readonly acknowledged?: number;
  readonly flags: number;
  readonly window?: number;
  readonly data?: Uint8Array;
  readonly options?: readonly number[];
}

/** See above. */
export class UserGuest implements Disposable {
  readonly descriptors = new DescriptorSet();
  readonly card = new TestCard();
  readonly end: UserEnd;
  readonly link: NetworkLink;
  readonly writer = new FrameWriter();
  /** Time as the network sees it, ns: it passes only where a test lets it. */
  now = 1e9;

  constructor(
    { forwards = [], restrict = false, dns }: {
      forwards?: readonly Forward[];
      restrict?: boolean;
      dns?: Uint8Array;
    } = {},
  ) {
    const { descriptors } = this;
    this.end = new UserEnd({ mac: MAC, forwards, descriptors, restrict, dns });
    this.link = new NetworkLink(this.card, this.end);
  }

  /** One turn of the I/O worker that waits for nothing. */
  turn(): void {
    this.descriptors.wait(0);
    this.link.serve(this.now);
  }

  /** Turns until `find` gives something; what never comes ends the test. */
  until<T>(find: () => T | undefined | false, what = "something"): T {
    const deadline = performance.now() + 60_000;
    for (;;) {
      this.turn();
      const found = find();
      if (found !== undefined && found !== false) return found;
      assert.ok(performance.now() < deadline, `${what} has not come in a minute`);
      this.descriptors.wait(1e6);
    }
  }

  /** Packets that have come so far, with right checksums, oldest first. */
  get packets(): IpPacket[] {
    return this.card.received.flatMap(({ bytes }) => {
      const packet = (bytes[12] === 8 ? readIpv4 : readIpv6)(bytes);
      return packet === undefined || bytes[13] === 6 ? [] : [packet];
    });
  }

  /** TCP segments that have come to `port`. */
  segments(port: number): Segment[] {
    return this.packets.filter(({ protocol }) => protocol === TCP).map((packet) => {
      assert.ok(isSummedUp(packet), "a TCP checksum is wrong");
      return readSegment(packet.payload)!;
    }).filter(({ destinationPort }) => destinationPort === port);
  }

  /** Sends an IP packet. */
  send(destination: Uint8Array, protocol: number, payload: Uint8Array, checksumAt: number): void {
    const source = destination.length === 4 ? GUEST : GUEST6;
    const header = { source, destination, protocol, mac: MAC, hops: 255 };
    this.writer.payload(destination).set(payload);
    if (checksumAt >= 0) this.writer.sum(header, payload.length, checksumAt);
    const frame = this.writer.finish(header, payload.length).slice();
    frame.set(MAC, 6);
    this.card.queue(frame);
  }

  /** Sends a TCP segment to `destination`. */
  tcp(destination: Uint8Array, segment: GuestSegment): void {
    const { from, to, sequence, acknowledged = 0, flags, window = 65535 } = segment;
    const { data = new Uint8Array(0), options = [] } = segment;
    const payload = new Uint8Array(20 + options.length + data.length);
    const view = new DataView(payload.buffer);
    view.setUint16(0, from);
    view.setUint16(2, to);
    view.setUint32(4, sequence >>> 0);
    view.setUint32(8, acknowledged >>> 0);
    payload[12] = (20 + options.length) << 2;
    payload[13] = flags;
    view.setUint16(14, window);
    payload.set(options, 20);
    payload.set(data, 20 + options.length);
    this.send(destination, TCP, payload, 16);
  }

  /** Sends a datagram, in fragments where it is long. */
  udp(destination: Uint8Array, from: number, to: number, data: Uint8Array): void {
    const payload = new Uint8Array(8 + data.length);
    const view = new DataView(payload.buffer);
    view.setUint16(0, from);
    view.setUint16(2, to);
    view.setUint16(4, payload.length);
    payload.set(data, 8);
    if (payload.length <= 1480) return this.send(destination, UDP, payload, 6);
    const header = { source: GUEST, destination, protocol: UDP, mac: MAC };
    for (const frame of fragments(this.writer, header, payload)) this.card.queue(frame.slice());
  }

  /** Sends an echo request. */
  ping(destination: Uint8Array, id: number): void {
    const message = Uint8Array.of(8, 0, 0, 0, id >> 8, id, 0, 1, 1, 2, 3, 4);
    const sum = checksumOf(addToSum(message, 0, message.length));
    message.set([sum >> 8, sum & 255], 2);
    this.send(destination, ICMP, message, -1);
  }

  [Symbol.dispose](): void {
    this.link[Symbol.dispose]();
    this.descriptors[Symbol.dispose]();
  }
}

/** Is the checksum of a TCP or UDP payload right? */
export function isSummedUp({ source, destination, protocol, payload }: IpPacket): boolean {
  let sum = addToSum(source, 0, source.length, protocol + payload.length);
  sum = addToSum(destination, 0, destination.length, sum);
  return checksumOf(addToSum(payload, 0, payload.length, sum)) === 0;
}

const SYN = 2, ACK = 16;

/** The guest's half of a TCP connection. */
export class GuestConnection {
  readonly guest: UserGuest;
  readonly port: number;
  readonly peer: Uint8Array;
  readonly peerPort: number;
  sequence = 5000;
  acknowledged = 0;
  window = 65_535;
  /** What has arrived, in order. */
  readonly data: number[] = [];
  /** The other end is at its end. */
  hasEnded = false;
  #seen = 0;

  constructor(guest: UserGuest, port: number, peer: Uint8Array, peerPort: number) {
    this.guest = guest;
    this.port = port;
    this.peer = peer;
    this.peerPort = peerPort;
  }

  /** Connects, with these options in the SYN. */
  connect(options: readonly number[] = [2, 4, 5, 180]): this {
    this.send(SYN, undefined, options);
    this.sequence++;
    const synAck = this.guest.until(
      () => this.guest.segments(this.port).find(({ flags }) => flags === (SYN | ACK)),
      "SYN and ACK",
    );
    this.acknowledged = (synAck.sequence + 1) >>> 0;
    this.send(ACK);
    return this;
  }

  /** Sends a segment; data advances the sequence. */
  send(flags: number, data?: Uint8Array, options?: readonly number[]): void {
    const { port: from, peerPort: to, sequence, acknowledged, window } = this;
    this.guest.tcp(this.peer, { from, to, sequence, acknowledged, flags, window, data, options });
    this.sequence = (this.sequence + (data?.length ?? 0)) >>> 0;
  }

  /** The frames that have come so far were thrown away. */
  forget(): void {
    this.#seen = 0;
  }

  /** Takes what has come and, unless `isSilent`, acknowledges it. */
  take(isSilent = false): void {
    const all = this.guest.segments(this.port);
    for (const { sequence, data, flags } of all.slice(this.#seen)) {
      if ((flags & SYN) !== 0 || sequence !== this.acknowledged) continue;
      this.data.push(...data);
      this.acknowledged = (this.acknowledged + data.length) >>> 0;
      if ((flags & 1) !== 0) {
        this.acknowledged = (this.acknowledged + 1) >>> 0;
        this.hasEnded = true;
      }
    }
    const isNew = all.length > this.#seen;
    this.#seen = all.length;
    if (isNew && !isSilent) this.send(ACK);
  }
}
