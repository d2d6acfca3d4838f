/**
 * TAP interfaces: an Ethernet interface of the host whose other end is a descriptor.
 *
 * Reference: Linux Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h.
 */

import { asBuffer, cString } from "../address.ts";
import {
  check,
  closeDescriptor,
  Descriptor,
  O_NONBLOCK,
  O_RDWR,
  openDescriptor,
} from "../descriptor.ts";
import { Errno } from "../errors.ts";
import { errno, libc } from "../libc.ts";

const TUNSETIFF = 0x4004_54ca;
const TUNSETOFFLOAD = 0x4004_54d0;
const TUNSETVNETHDRSZ = 0x4004_54d8;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** Longest name of an interface, the final zero included (net/if.h). */
const IFNAMSIZ = 16;
const IFREQ_BYTES = 40;

/** Offloads that the reader of a TAP descriptor takes (TUN_F_*). */
export const TapOffload = { checksum: 1, tcp4: 2, tcp6: 4 } as const;
/** Bytes in front of each frame: struct virtio_net_hdr with the count of buffers. */
export const TAP_HEADER_BYTES = 12;

/**
 * Opens the TAP interface `name`, which is made if there is none and the process may. It never blocks,
 * and each frame has a header of `TAP_HEADER_BYTES` in front.
 *
 * @throws SysError, TypeError for a name that no interface can have.
 */
export function openTap(name: string): number {
  if (
    name.length === 0 || new TextEncoder().encode(name).length >= IFNAMSIZ || /[/\s]/.test(name)
  ) {
    throw new TypeError(`Cannot use the interface "${name}": a name has 1 to 15 bytes, no "/"`);
  }
  const fd = openDescriptor("/dev/net/tun", O_RDWR | O_NONBLOCK, {
    hint: (number) => {
      if (number === Errno.EACCES) return "let this user read and write it";
      return number === Errno.ENOENT || number === Errno.ENODEV
        ? "modprobe tun loads its module"
        : "";
    },
  });
  try {
    const request = new Uint8Array(IFREQ_BYTES);
    request.set(cString(name));
    new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
    check(libc.ioctl(fd, TUNSETIFF, request), `use the interface ${name}`, (number) => {
      if (number === Errno.EPERM) {
        return `as root: ip tuntap add ${name} mode tap user "$USER"; ip link set ${name} up`;
      }
      return number === Errno.EBUSY ? "another program uses it" : "";
    });
    const size = new Int32Array([TAP_HEADER_BYTES]);
    check(libc.ioctl(fd, TUNSETVNETHDRSZ, size), `set up the interface ${name}`);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** An open TAP interface; it never blocks. */
export class Tap extends Descriptor {
  /** A frame with its header into `into`: its length, or a negative error number. */
  read(into: Uint8Array): number {
    const { read } = libc;
    const count = read(this.fd, asBuffer(into), BigInt(into.length));
    return count < 0 ? -errno() : count;
  }

  /** A frame with its header: its length, or a negative error number. */
  write(bytes: Uint8Array): number {
    const { write } = libc;
    const count = write(this.fd, asBuffer(bytes), BigInt(bytes.length));
    return count < 0 ? -errno() : count;
  }

  /** Says which offloads (bits of `TapOffload`) may be left to whoever reads. */
  setOffloads(offloads: number): void {
    libc.ioctlValue(this.fd, TUNSETOFFLOAD, BigInt(offloads));
  }
}
