/**
 * What the network has for the guest: frames go to the card at once where it has room, and otherwise
 * stay with whoever has them. Only short answers (ARP, DHCP, ICMP, UDP) wait here, and not many.
 */

import {
  type Frame,
  type NetworkCard,
  NO_OFFLOADS,
  type Offload,
  type Offloads,
  PLAIN,
  VALID,
} from "../../../hv/core/net/network.ts";
import { addToSum, checksumOf } from "../../../hv/core/net/checksum.ts";
import { ETHERNET_BYTES, fragments, FrameWriter, type IpHeader, MTU, put16, UDP } from "./ip.ts";

/** Frames after which conversations wait for the next turn: who else the thread serves has one first. */
const FRAMES_A_TURN = 256;
/** Frames that wait at most; more are lost, as on any network. */
const MAX_WAITING = 256;
const UDP_BYTES = 8;

/** See above. */
export class Output {
  readonly writer = new FrameWriter();
  /** The guest's Ethernet address. */
  readonly mac: Uint8Array;
  #card: NetworkCard | undefined;
  #isFull = false;
  /** Frames that conversations may yet give in this turn. */
  #left = 0;
  readonly #waiting: Frame[] = [];

  /** @param mac The card's address, until the guest has said another. */
  constructor(mac: Uint8Array) {
    this.mac = mac.slice();
  }

  /** A turn begins: the card may have room again. */
  begin(card: NetworkCard): void {
    this.#card = card;
    this.#isFull = false;
    this.#left = FRAMES_A_TURN;
    let sent = 0;
    while (sent < this.#waiting.length && this.give(this.#waiting[sent])) sent++;
    this.#waiting.splice(0, sent);
  }

  /** What may be left to the card. */
  get offloads(): Offloads {
    return this.#card?.offloads ?? NO_OFFLOADS;
  }

  /** May conversations give more in this turn? */
  get hasRoom(): boolean {
    return this.#left > 0 && !this.#isFull;
  }

  /** Has the card no room? Then the guest's next buffers bring the next turn. */
  get isCardFull(): boolean {
    return this.#isFull;
  }

  /** Gives the card a frame; false: it has no room in this turn. */
  give(frame: Frame): boolean {
    if (this.#card === undefined || this.#isFull) return false;
    this.#left--;
    this.#isFull = !this.#card.receive(frame);
    return !this.#isFull;
  }

  /** Sends a frame, at once or as soon as there is room. */
  post(bytes: Uint8Array, offload: Offload = VALID): void {
    if (this.#waiting.length === 0 && this.give({ bytes, offload })) return;
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push({ bytes: bytes.slice(), offload });
  }

  /**
   * Sends a packet, in fragments if need be; one of IPv6 that does not fit is lost. Its checksum is at
   * `checksumAt` of the payload; -1: it is there already.
   */
  postPacket(header: Omit<IpHeader, "mac">, payload: Uint8Array, checksumAt: number): void {
    const { writer } = this;
    const whole = { ...header, mac: this.mac };
    const room = writer.payload(header.destination);
    if (payload.length > room.length) return;
    room.set(payload);
    if (checksumAt >= 0) writer.sum(whole, payload.length, checksumAt);
    this.#postWhole(whole, payload.length);
  }

  /** Sends a message of IPv4's ICMP, whose checksum has no pseudo-header. */
  postIcmp4(header: Omit<IpHeader, "mac">, message: Uint8Array): void {
    put16(message, 2, 0);
    put16(message, 2, checksumOf(addToSum(message, 0, message.length)));
    this.postPacket(header, message, -1);
  }

  /** Sends a datagram, in fragments if need be; one of IPv6 that does not fit is lost. */
  postDatagram(
    header: { readonly source: Uint8Array; readonly destination: Uint8Array },
    ports: { readonly from: number; readonly to: number },
    data: Uint8Array,
    mac: Uint8Array = this.mac,
  ): void {
    const { writer } = this;
    const whole = { ...header, protocol: UDP, mac };
    const length = UDP_BYTES + data.length;
    const payload = writer.payload(header.destination);
    if (length > payload.length) return;
    payload[0] = ports.from >> 8;
    payload[1] = ports.from;
    payload[2] = ports.to >> 8;
    payload[3] = ports.to;
    payload[4] = length >> 8;
    payload[5] = length;
    payload.set(data, UDP_BYTES);
    writer.sum(whole, length, 6);
    this.#postWhole(whole, length);
  }

  /** What was written, as a packet or, where it is too long for one, in IPv4's fragments. */
  #postWhole(header: IpHeader, length: number): void {
    const { writer } = this;
    const start = writer.payloadStart(header.destination);
    if (start + length - ETHERNET_BYTES <= MTU) return this.post(writer.finish(header, length));
    if (header.destination.length !== 4) return;
    const copy = writer.payload(header.destination).slice(0, length);
    for (const frame of fragments(writer, header, copy)) this.post(frame, PLAIN);
  }
}
