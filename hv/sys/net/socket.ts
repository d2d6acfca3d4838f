/**
 * Sockets that never block: of the Internet (TCP, UDP, ICMP echo) and Unix streams. Closed on exec.
 *
 * What is called for every packet returns a number, negative for an error of the kernel, as system
 * calls do: nothing is allocated, and EAGAIN is no exception.
 */

import { asBuffer } from "../address.ts";
import { check, Descriptor, O_NONBLOCK, O_RDWR } from "../descriptor.ts";
import { Errno, SysError } from "../errors.ts";
import { errno, libc } from "../libc.ts";
import {
  ADDRESS_BYTES,
  AF_INET6,
  AF_UNIX,
  decodeAddress,
  encodeAddress,
  familyOf,
  type SocketAddress,
} from "./socket_address.ts";

/** Kinds of sockets (bits/socket_type.h). */
export const SOCK_STREAM = 1;
/** Datagrams. */
export const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** ICMP over IPv4, for SOCK_DGRAM (icmp(7), ping sockets). */
export const IPPROTO_ICMP = 1;
/** ICMP over IPv6. */
export const IPPROTO_ICMPV6 = 58;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SHUT_WR = 1;
const F_SETFD = 2;
const F_SETFL = 4;
const FD_CLOEXEC = 1;
/** A closed peer is an error number, not a signal. */
const MSG_NOSIGNAL = 0x4000;
const MSG_PEEK = 2;

const one = new Int32Array([1]);
const value = new Int32Array(1);
const valueLength = new Uint32Array(1);
const peer = new Uint8Array(ADDRESS_BYTES);
const peerLength = new Uint32Array(1);

/** A datagram's or connection's other end. */
export interface Peer {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** See above. */
export class Socket extends Descriptor {
  readonly #family: number;

  /**
   * A new socket.
   *
   * @param family `AF_INET`, `AF_INET6` or `AF_UNIX`.
   * @param type `SOCK_STREAM` or `SOCK_DGRAM`.
   * @throws SysError
   */
  static open(family: number, type: number, protocol = 0): Socket {
    const fd = check(
      libc.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol),
      "create a socket",
    );
    return new Socket(fd, family);
  }

  /** Takes over `fd`. */
  constructor(fd: number, family: number = AF_UNIX) {
    super(fd);
    this.#family = family;
  }

  /**
   * Begins to connect; a socket that is connecting becomes writable when that has ended: see `error`.
   *
   * @returns 0 when it is connected, else a negative error number: -EINPROGRESS while it is connecting.
   */
  connect(address: SocketAddress): number {
    const bytes = encodeAddress(address);
    const { connect } = libc;
    return connect(this.fd, bytes, bytes.length) === 0 ? 0 : -errno();
  }

  /**
   * Gives the socket its own address. A port that a connection of before still holds can be had again.
   *
   * @throws SysError
   */
  bind(address: SocketAddress): void {
    if (familyOf(address) !== AF_UNIX) {
      libc.setsockopt(this.fd, SOL_SOCKET, SO_REUSEADDR, one, 4);
    }
    // IPv4 has sockets of its own.
    if (this.#family === AF_INET6) libc.setsockopt(this.fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4);
    const bytes = encodeAddress(address);
    const { bind } = libc;
    check(bind(this.fd, bytes, bytes.length), `use the address ${showAddress(address)}`);
  }

  /** Lets others connect. @throws SysError */
  listen(backlog = 64): void {
    check(libc.listen(this.fd, backlog), "listen on a socket");
  }

  /** The next connection, if there is one. */
  accept(): { readonly socket: Socket; readonly peer: Peer | undefined } | undefined {
    peerLength[0] = ADDRESS_BYTES;
    const { accept4 } = libc;
    const fd = accept4(this.fd, peer, peerLength, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return undefined;
    return { socket: new Socket(fd, this.#family), peer: decodeAddress(peer) };
  }

  /** Has a socket that was made elsewhere never block. */
  setNonBlocking(): void {
    libc.fcntlValue(this.fd, F_SETFL, O_RDWR | O_NONBLOCK);
  }

  /** Sends what is written at once, without waiting for more to go along. */
  setNoDelay(): void {
    libc.setsockopt(this.fd, IPPROTO_TCP, TCP_NODELAY, one, 4);
  }

  /** Bytes sent, or a negative error number: -EAGAIN when there is no room. */
  send(bytes: Uint8Array): number {
    const { send } = libc;
    const count = send(this.fd, asBuffer(bytes), BigInt(bytes.length), MSG_NOSIGNAL);
    return count < 0 ? -errno() : count;
  }

  /** Bytes received, 0 at the end of a stream, or a negative error number: -EAGAIN for none yet. */
  receive(into: Uint8Array): number {
    const { recv } = libc;
    const count = recv(this.fd, asBuffer(into), BigInt(into.length), 0);
    return count < 0 ? -errno() : count;
  }

  /** As `receive`, but what was received is still there to be received. */
  peek(into: Uint8Array): number {
    const { recv } = libc;
    const count = recv(this.fd, asBuffer(into), BigInt(into.length), MSG_PEEK);
    return count < 0 ? -errno() : count;
  }

  /** As `send`, for a datagram to `address`. */
  sendTo(bytes: Uint8Array, address: SocketAddress): number {
    const to = encodeAddress(address);
    const { sendto } = libc;
    const count = sendto(
      this.fd,
      asBuffer(bytes),
      BigInt(bytes.length),
      MSG_NOSIGNAL,
      to,
      to.length,
    );
    return count < 0 ? -errno() : count;
  }

  /** As `receive`, for a datagram; who sent it is in `from`. */
  receiveFrom(into: Uint8Array): { readonly length: number; readonly from: Peer | undefined } {
    peerLength[0] = ADDRESS_BYTES;
    const { recvfrom } = libc;
    const count = recvfrom(this.fd, asBuffer(into), BigInt(into.length), 0, peer, peerLength);
    return count < 0
      ? { length: -errno(), from: undefined }
      : { length: count, from: decodeAddress(peer) };
  }

  /** Says that nothing more will be sent. */
  endSending(): void {
    libc.shutdown(this.fd, SHUT_WR);
  }

  /** The error number that is pending, 0 for none, which this takes away: how connecting has ended. */
  takeError(): number {
    valueLength[0] = 4;
    const { getsockopt } = libc;
    if (getsockopt(this.fd, SOL_SOCKET, SO_ERROR, value, valueLength) < 0) return errno();
    return value[0];
  }

  /** The socket's own address and port; undefined for a Unix socket. @throws SysError */
  localAddress(): Peer | undefined {
    peerLength[0] = ADDRESS_BYTES;
    check(libc.getsockname(this.fd, peer, peerLength), "find a socket's address");
    return decodeAddress(peer);
  }
}

/** An address as users write it. */
export function showAddress(address: SocketAddress): string {
  if ("path" in address) return address.path;
  const { address: bytes, port } = address;
  if (bytes.length === 4) return `${bytes.join(".")}:${port}`;
  const groups = Array.from(
    { length: 8 },
    (_, i) => (bytes[i * 2] << 8 | bytes[i * 2 + 1]).toString(16),
  );
  return `[${groups.join(":")}]:${port}`;
}

/**
 * Two Unix stream sockets connected to each other; `theirs` blocks and is inherited by programs that
 * this process starts.
 *
 * @throws SysError
 */
export function socketPair(): { readonly ours: Socket; readonly theirs: Descriptor } {
  const pair = new Int32Array(2);
  const { socketpair } = libc;
  check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "create a pair of sockets");
  // Close-on-exec and non-blocking are set for one end alone, which socketpair cannot do.
  libc.fcntlValue(pair[0], F_SETFD, FD_CLOEXEC);
  const ours = new Socket(pair[0]);
  ours.setNonBlocking();
  return { ours, theirs: new Descriptor(pair[1]) };
}

/** Did the call only say that it would have to wait? */
export const wouldBlock = (result: number): boolean =>
  result === -Errno.EAGAIN || result === -Errno.EINTR;

/** The error of a call that gave a negative number. */
export const socketError = (operation: string, result: number, hint?: string): SysError =>
  new SysError(operation, -result, hint);
