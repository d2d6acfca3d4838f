/**
 * The C library: the only place of the tree that calls foreign functions.
 *
 * Every function is declared once in `declarations` and loaded when it is first used: a declaration
 * costs 0.2 ms of start-up time in every thread (measured: 35 of them 7 ms), and most threads use
 * five of them. Variadic functions (`ioctl`, `fcntl`, `open`) are declared with fixed parameters,
 * which the x86-64 and AArch64 Linux calling conventions allow for integers and pointers.
 *
 * `buffer` parameters take any ArrayBuffer view, also of shared and WebAssembly memory (tried), or
 * null; `usize` parameters take bigints. Reads and writes return at most 7FFFF000h (read(2)), which is
 * why their results are 32 bits.
 */

const declarations = {
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  /** The second parameter is the address of the `struct iovec`s. */
  preadv: { parameters: ["i32", "usize", "i32", "i64"], result: "i32" },
  pwritev: { parameters: ["i32", "usize", "i32", "i64"], result: "i32" },
  /** The same with flags (`RWF_…`). */
  preadv2: { parameters: ["i32", "usize", "i32", "i64", "i32"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  fcntl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  fsync: { parameters: ["i32"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  /** openat2, which glibc does not wrap: the first parameter is the call's number. */
  openat2: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "buffer", "usize"],
    result: "i32",
  },
  /** mknodat, which glibc exports from 2.33 on: the first parameter is the call's number. */
  mknodat: { name: "syscall", parameters: ["i64", "i32", "buffer", "u32", "u32"], result: "i32" },
  mkdirat: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  unlinkat: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  renameat: { parameters: ["i32", "buffer", "i32", "buffer"], result: "i32" },
  linkat: { parameters: ["i32", "buffer", "i32", "buffer", "i32"], result: "i32" },
  symlinkat: { parameters: ["buffer", "i32", "buffer"], result: "i32" },
  readlinkat: { parameters: ["i32", "buffer", "buffer", "usize"], result: "i32" },
  getxattr: { parameters: ["buffer", "buffer", "buffer", "usize"], result: "isize" },
  listxattr: { parameters: ["buffer", "buffer", "usize"], result: "isize" },
  setxattr: { parameters: ["buffer", "buffer", "buffer", "usize", "i32"], result: "i32" },
  removexattr: { parameters: ["buffer", "buffer"], result: "i32" },
  fchmodat: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  futimens: { parameters: ["i32", "buffer"], result: "i32" },
  /** fcntl whose argument is an integer. */
  fcntlValue: { name: "fcntl", parameters: ["i32", "i32", "i32"], result: "i32" },
  /** ioctl whose argument is a structure, or null for 0: KVM_RUN goes through this one. */
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  /** ioctl whose argument is an integer. */
  ioctlValue: { name: "ioctl", parameters: ["i32", "u32", "usize"], result: "i32" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "isize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  /** epoll_pwait2, which glibc wraps from 2.35 on: the first parameter is the call's number. */
  epoll_pwait2: {
    name: "syscall",
    parameters: ["i32", "i32", "buffer", "i32", "buffer", "buffer", "usize"],
    result: "i32",
  },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  sendto: {
    parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"],
    result: "i32",
  },
  recvfrom: {
    parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"],
    result: "i32",
  },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  ppoll: { parameters: ["buffer", "usize", "buffer", "buffer"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  gettid: { parameters: [], result: "i32" },
  getpid: { parameters: [], result: "i32" },
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  pthread_sigmask: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  sigtimedwait: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
  timer_create: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  timer_settime: { parameters: ["usize", "i32", "buffer", "buffer"], result: "i32" },
  timer_delete: { parameters: ["usize"], result: "i32" },
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  signal: { parameters: ["i32", "usize"], result: "isize" },
  /** `io_uring_setup`, for which glibc has no function. */
  ioUringSetup: {
    name: "syscall",
    parameters: ["isize", "u32", "buffer"],
    result: "isize",
  },
  /** `io_uring_enter`: number, ring, to submit, to wait for, flags, signal mask and its size. */
  ioUringEnter: {
    name: "syscall",
    parameters: ["i32", "i32", "u32", "u32", "u32", "usize", "usize"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Declarations = typeof declarations;

/** The functions, as Deno types them: 64-bit parameters and results are bigints. */
export type Libc = Deno.StaticForeignLibraryInterface<Declarations>;

const LIBRARY = "libc.so.6";

/** Why the C library cannot be loaded here, with what to do about it. */
export function libcAdvice(os: string): string {
  return os === "linux"
    ? "hv needs glibc; on a musl system (Alpine) run it in a glibc container"
    : `hv needs Linux for this; ${os} has neither KVM nor the Linux calls that it is built on`;
}

function load<const D extends Deno.ForeignLibraryInterface>(declaration: D) {
  try {
    return Deno.dlopen(LIBRARY, declaration).symbols;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new Error(`Cannot load ${LIBRARY}: run Deno with --allow-ffi (or -A)`, { cause });
    }
    throw new Error(`Cannot load ${LIBRARY}: ${libcAdvice(Deno.build.os)}`, { cause });
  }
}

let errnoWord: Int32Array | undefined;

/** errno of this thread; glibc keeps it at one address for a thread's life. */
function mapErrno(): Int32Array {
  const { location } = load({
    location: { name: "__errno_location", parameters: [], result: "pointer" },
  });
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location()!, 4));
}

/**
 * The error number that the last failing C call of this thread left; to be read directly after it,
 * before anything else runs.
 */
export function errno(): number {
  return errnoWord === undefined ? 0 : errnoWord[0];
}

/** The C library's functions; each is loaded when it is first named. */
export const libc: Libc = Object.create(null);
for (const name of Object.keys(declarations) as (keyof Declarations)[]) {
  Object.defineProperty(libc, name, {
    configurable: true,
    enumerable: true,
    get() {
      // Before the call that may fail: looking errno up afterwards could change it.
      errnoWord ??= mapErrno();
      const value = (load({ [name]: declarations[name] }) as Record<string, unknown>)[name];
      Object.defineProperty(libc, name, { value, enumerable: true });
      return value;
    },
  });
}
