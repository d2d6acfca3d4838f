/** Waiting for many descriptors at once. */

import { check, Descriptor } from "../descriptor.ts";
import { Errno, SysError } from "../errors.ts";
import { errno, libc } from "../libc.ts";
import { timeLimit, waitReadable } from "./poll.ts";

/** There is something to read. */
export const EPOLLIN = 1;
/** There is room to write. */
export const EPOLLOUT = 4;
/** The descriptor has an error; always reported. */
export const EPOLLERR = 8;
/** The other end is closed; always reported. */
export const EPOLLHUP = 0x10;
/** Reported once for each time that it becomes so, not as long as it is so. */
export const EPOLLET = 0x8000_0000;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
/** struct epoll_event is packed on x86-64: events at 0, data at 4, 12 bytes; else data at 8, 16. */
const EVENT_BYTES = Deno.build.arch === "x86_64" ? 12 : 16;
const DATA_OFFSET = EVENT_BYTES - 8;
const MAX_EVENTS = 64;
/** The system call's number, the same on every architecture. */
const SYS_EPOLL_PWAIT2 = 441;

/** An epoll instance, for one thread. */
export class Epoll extends Descriptor {
  readonly #events = new DataView(new ArrayBuffer(EVENT_BYTES * MAX_EVENTS));
  /** Does the kernel wait for nanoseconds? */
  #isExact: boolean;
  readonly #change = new DataView(new ArrayBuffer(EVENT_BYTES));

  /** @param isExact false: as on kernels that wait for milliseconds only. */
  constructor(isExact = true) {
    super(check(libc.epoll_create1(EPOLL_CLOEXEC), "create an epoll instance"));
    this.#isExact = isExact;
  }

  /** Watches `fd` for `events`; `token` (an unsigned 32-bit number) is what `wait` reports. */
  add(fd: number, events: number, token: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events, token);
  }

  /** Changes what is watched of `fd`. */
  modify(fd: number, events: number, token: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events, token);
  }

  /** Stops watching `fd`. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /**
   * Waits until something is ready and calls `ready(token, events)` for each, at most 64.
   *
   * @param timeoutNs 0 only looks; Infinity waits without limit.
   * @returns How many were ready; 0 after the time limit or a signal.
   */
  wait(timeoutNs: number, ready: (token: number, events: number) => void): number {
    const count = this.#wait(timeoutNs);
    for (let i = 0; i < count; i++) {
      const offset = i * EVENT_BYTES;
      ready(
        this.#events.getUint32(offset + DATA_OFFSET, true),
        this.#events.getUint32(offset, true),
      );
    }
    return count;
  }

  /** How many events there are. */
  #wait(timeoutNs: number): number {
    if (this.#isExact) {
      const { epoll_pwait2 } = libc;
      const limit = timeLimit(timeoutNs);
      const count = epoll_pwait2(
        SYS_EPOLL_PWAIT2,
        this.fd,
        this.#events,
        MAX_EVENTS,
        limit,
        null,
        0n,
      );
      if (count >= 0) return count;
      const number = errno();
      if (number !== Errno.ENOSYS) return noneAfter(number);
      this.#isExact = false;
    }
    // Linux before 5.11: with milliseconds only.
    if (timeoutNs > 0 && !waitReadable(this.fd, timeoutNs)) return 0;
    const { epoll_wait } = libc;
    const count = epoll_wait(this.fd, this.#events, MAX_EVENTS, 0);
    return count >= 0 ? count : noneAfter(errno());
  }

  #control(operation: number, fd: number, events: number, token: number): void {
    this.#change.setUint32(0, events, true);
    this.#change.setUint32(DATA_OFFSET, token, true);
    const { epoll_ctl } = libc;
    check(epoll_ctl(this.fd, operation, fd, this.#change), `watch descriptor ${fd}`);
  }
}

/** A signal ends a wait. */
function noneAfter(number: number): number {
  if (number === Errno.EINTR) return 0;
  throw new SysError("wait for descriptors", number);
}
