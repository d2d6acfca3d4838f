/**
 * Addresses of sockets as the kernel has them: `struct sockaddr_in`, `sockaddr_in6`, `sockaddr_un`
 * (ip(7), ipv6(7), unix(7)).
 */

/** Address families (bits/socket.h). */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** IPv6. */
export const AF_INET6 = 10;

/** An address and port of the Internet, or a path. */
export type SocketAddress =
  | {
    /** 4 bytes of IPv4 or 16 of IPv6. */
    readonly address: Uint8Array;
    /** 0 to 65535. */
    readonly port: number;
    /** Interface number of a link-local IPv6 address; default 0. */
    readonly scope?: number;
  }
  | { readonly path: string };

/** Bytes that any address has room in (struct sockaddr_storage). */
export const ADDRESS_BYTES = 128;
/** Bytes of `sun_path`, the final zero included. */
const PATH_BYTES = 108;

/** Family number of an address. */
export function familyOf(address: SocketAddress): number {
  if ("path" in address) return AF_UNIX;
  return address.address.length === 4 ? AF_INET : AF_INET6;
}

/**
 * The address as the kernel takes it.
 *
 * @throws RangeError if a path does not fit.
 */
export function encodeAddress(address: SocketAddress): Uint8Array<ArrayBuffer> {
  const family = familyOf(address);
  if ("path" in address) {
    const path = new TextEncoder().encode(address.path);
    if (path.length >= PATH_BYTES || path.includes(0)) {
      throw new RangeError(
        `Cannot use the socket ${address.path}: its path may have at most 107 bytes`,
      );
    }
    const bytes = new Uint8Array(2 + path.length + 1);
    bytes[0] = family;
    bytes.set(path, 2);
    return bytes;
  }
  const bytes = new Uint8Array(family === AF_INET ? 16 : 28);
  bytes[0] = family;
  bytes[2] = address.port >> 8;
  bytes[3] = address.port;
  bytes.set(address.address, family === AF_INET ? 4 : 8);
  if (family === AF_INET6) new DataView(bytes.buffer).setUint32(24, address.scope ?? 0, true);
  return bytes;
}

/** What the kernel has written; undefined for a family without address and port. */
export function decodeAddress(
  bytes: Uint8Array,
): { readonly address: Uint8Array; readonly port: number } | undefined {
  const family = bytes[0] | bytes[1] << 8;
  const port = bytes[2] << 8 | bytes[3];
  if (family === AF_INET) return { address: bytes.slice(4, 8), port };
  if (family === AF_INET6) return { address: bytes.slice(8, 24), port };
  return undefined;
}
