/**
 * The network's DHCP server: an address for each card that asks, the gateway, the name server.
 *
 * References: RFC 2131, RFC 2132.
 */

import { DNS4, GATEWAY4, GUEST4, same } from "./addresses.ts";

/** Ports of server and client. */
export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const OPTIONS_START = 240;
const COOKIE = [0x63, 0x82, 0x53, 0x63];
/** Shortest reply that every client takes. */
const REPLY_BYTES = 300;
const Option = {
  subnetMask: 1,
  router: 3,
  dns: 6,
  requestedAddress: 50,
  leaseTime: 51,
  messageType: 53,
  serverId: 54,
  end: 255,
} as const;
const DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6, INFORM = 8;
const LEASE_SECONDS = 86_400;
/** Cards of one guest that can have an address: .15 to .30. */
const MAX_LEASES = 16;

/** A reply, and to whom. */
export interface DhcpReply {
  readonly bytes: Uint8Array;
  /** 255.255.255.255, or the client's own address. */
  readonly destination: Uint8Array;
}

/** See above. */
export class DhcpServer {
  /** Cards in the order in which they have asked: the first has the first address. */
  readonly #leases: string[] = [];
  readonly #hasDns: boolean;

  constructor(hasDns: boolean) {
    this.#hasDns = hasDns;
  }

  /** The reply to what a client has sent to the server's port; undefined for nonsense. */
  reply(request: Uint8Array): DhcpReply | undefined {
    const isOurs = request.length > OPTIONS_START && request[0] === BOOTREQUEST &&
      request[1] === 1 && request[2] === 6 &&
      COOKIE.every((byte, i) => request[236 + i] === byte);
    if (!isOurs) return undefined;
    const options = readOptions(request);
    const server = options.get(Option.serverId);
    if (server !== undefined && !same(server, GATEWAY4)) return undefined;
    const address = this.#addressOf(request.subarray(28, 34));
    const current = request.subarray(12, 16);
    switch (options.get(Option.messageType)?.[0]) {
      case DISCOVER:
        return address && this.#answer(request, OFFER, address);
      case REQUEST: {
        const wanted = options.get(Option.requestedAddress) ?? current;
        return address !== undefined && same(wanted, address)
          ? this.#answer(request, ACK, address)
          : this.#answer(request, NAK, undefined);
      }
      case INFORM:
        return this.#answer(request, ACK, undefined);
      default:
        return undefined;
    }
  }

  #addressOf(mac: Uint8Array): Uint8Array | undefined {
    const key = mac.join(":");
    let index = this.#leases.indexOf(key);
    if (index < 0) {
      if (this.#leases.length === MAX_LEASES) return undefined;
      index = this.#leases.push(key) - 1;
    }
    const address = GUEST4.slice();
    address[3] += index;
    return address;
  }

  #answer(request: Uint8Array, type: number, address: Uint8Array | undefined): DhcpReply {
    const bytes = new Uint8Array(REPLY_BYTES);
    bytes.set([BOOTREPLY, 1, 6, 0]);
    bytes.set(request.subarray(4, 8), 4); // xid
    bytes.set(request.subarray(10, 12), 10); // flags
    if (type !== NAK) bytes.set(request.subarray(12, 16), 12); // ciaddr
    if (address !== undefined) bytes.set(address, 16);
    bytes.set(request.subarray(28, 44), 28); // chaddr
    bytes.set(COOKIE, 236);
    const options = [Option.messageType, 1, type, Option.serverId, 4, ...GATEWAY4];
    if (type !== NAK) {
      options.push(Option.subnetMask, 4, 255, 255, 255, 0, Option.router, 4, ...GATEWAY4);
      if (this.#hasDns) options.push(Option.dns, 4, ...DNS4);
    }
    if (address !== undefined) {
      const lease = [24, 16, 8, 0].map((shift) => (LEASE_SECONDS >> shift) & 0xff);
      options.push(Option.leaseTime, 4, ...lease);
    }
    bytes.set([...options, Option.end], OPTIONS_START);
    const broadcast = Uint8Array.of(255, 255, 255, 255);
    const current = request.slice(12, 16);
    const hasAddress = current.some((byte) => byte !== 0) && type !== NAK;
    return { bytes, destination: hasAddress ? current : broadcast };
  }
}

function readOptions(request: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = OPTIONS_START; at < request.length;) {
    const option = request[at];
    if (option === Option.end) break;
    if (option === 0) {
      at++;
      continue;
    }
    const length = request[at + 1] ?? 0;
    const value = request.subarray(at + 2, at + 2 + length);
    if (value.length < length) break;
    options.set(option, value);
    at += 2 + length;
  }
  return options;
}
