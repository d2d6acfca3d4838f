/**
 * Extended attributes (xattr(7)) of the file that a descriptor stands for, of `openPath` or any other,
 * reached through /proc/self/fd; with the error number as the result's negative.
 */

import { asBuffer, cString } from "../address.ts";
import { errno, libc } from "../libc.ts";

/** Fail if the attribute is there, or is not. */
export const XATTR_CREATE = 1;
/** See above. */
export const XATTR_REPLACE = 2;

const pathOf = (fd: number) => cString(`/proc/self/fd/${fd}`);
const orErrno = (result: bigint | number): number => result < 0 ? -errno() : Number(result);

/** Bytes of an attribute, put into `into`. */
export function getAttribute(
  fd: number,
  name: Uint8Array<ArrayBuffer>,
  into: Uint8Array<ArrayBuffer>,
): number {
  const { getxattr } = libc;
  return orErrno(getxattr(pathOf(fd), name, into, BigInt(into.length)));
}

/** Bytes of the names of all attributes, a zero behind each, put into `into`. */
export function listAttributes(fd: number, into: Uint8Array<ArrayBuffer>): number {
  const { listxattr } = libc;
  return orErrno(listxattr(pathOf(fd), into, BigInt(into.length)));
}

/** Sets an attribute. @param flags 0, `XATTR_CREATE` or `XATTR_REPLACE`. */
export function setAttribute(
  fd: number,
  name: Uint8Array<ArrayBuffer>,
  { value, flags }: { readonly value: Uint8Array; readonly flags: number },
): number {
  const { setxattr } = libc;
  return orErrno(setxattr(pathOf(fd), name, asBuffer(value), BigInt(value.length), flags));
}

/** Removes an attribute. */
export function removeAttribute(fd: number, name: Uint8Array<ArrayBuffer>): number {
  const { removexattr } = libc;
  return orErrno(removexattr(pathOf(fd), name));
}
