/** Errors of the host: what was tried, what the kernel said, and what to do about it. */

/** Error numbers that this project tells apart (asm-generic/errno.h). */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EPIPE: 32,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNRESET: 104,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EINPROGRESS: 115,
  ESTALE: 116,
} as const;

const MESSAGES: Record<number, string> = {
  1: "operation not permitted",
  2: "no such file or directory",
  3: "no such process",
  4: "interrupted",
  5: "input/output error",
  6: "no such device or address",
  7: "argument too long",
  9: "bad file descriptor",
  11: "resource temporarily unavailable",
  12: "out of memory",
  13: "permission denied",
  14: "bad address",
  16: "device or resource busy",
  17: "file exists",
  19: "no such device",
  20: "not a directory",
  21: "is a directory",
  22: "invalid argument",
  23: "too many open files in the system",
  24: "too many open files",
  25: "not a device of this kind",
  26: "file is being executed",
  27: "file too large",
  28: "no space left on device",
  29: "not seekable",
  30: "read-only file system",
  32: "broken pipe",
  37: "no locks available",
  38: "not implemented by this kernel",
  39: "directory not empty",
  40: "too many symbolic links",
  93: "protocol not supported",
  95: "operation not supported",
  97: "address family not supported",
  98: "address already in use",
  99: "address not of this host",
  101: "network unreachable",
  104: "connection reset",
  107: "not connected",
  110: "timed out",
  111: "connection refused",
  113: "host unreachable",
  115: "in progress",
  116: "stale file handle",
};

const NAMES = new Map<number, string>([
  ...Object.entries(Errno).map(([name, number]): [number, string] => [number, name]),
]);

/** Name of an error number, e.g. `EACCES` for 13. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** A call to the host that failed. */
export class SysError extends Error {
  override readonly name = "SysError";
  /** What was tried, e.g. `open /dev/kvm`. */
  readonly operation: string;
  /** Error number of the kernel. */
  readonly errno: number;
  /** Name of the error number, e.g. `EACCES`. */
  readonly code: string;
  /** What the error number means, e.g. `permission denied`. */
  readonly reason: string;

  /**
   * @param operation Completes the sentence "Cannot ...".
   * @param errno Error number of the kernel.
   * @param hint What the user can do about it.
   */
  constructor(operation: string, errno: number, hint?: string, options?: ErrorOptions) {
    const code = errnoName(errno);
    const words = MESSAGES[errno];
    const shown = words === undefined ? code : `${words} (${code})`;
    super(`Cannot ${operation}: ${shown}${hint === undefined ? "" : `; ${hint}`}`, options);
    this.reason = words ?? code;
    this.operation = operation;
    this.errno = errno;
    this.code = code;
  }
}
