/** Waiting for many descriptors at once. */

import { check, Descriptor } from "./descriptor.ts";
import { Errno, SysError } from "./errors.ts";
import { errno, libc } from "./libc.ts";

/** There is something to read. */
export const EPOLLIN = 1;
/** There is room to write. */
export const EPOLLOUT = 4;
/** The descriptor has an error; always reported. */
export const EPOLLERR = 8;
/** The other end is closed; always reported. */
export const EPOLLHUP = 0x10;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
/** struct epoll_event is packed on x86-64: events at 0, data at 4, 12 bytes; else data at 8, 16. */
const EVENT_BYTES = Deno.build.arch === "x86_64" ? 12 : 16;
const DATA_OFFSET = EVENT_BYTES - 8;
const MAX_EVENTS = 64;

/** An epoll instance, for one thread. */
export class Epoll extends Descriptor {
  readonly #events = new DataView(new ArrayBuffer(EVENT_BYTES * MAX_EVENTS));
  readonly #change = new DataView(new ArrayBuffer(EVENT_BYTES));

  constructor() {
    super(check(libc.epoll_create1(EPOLL_CLOEXEC), "create an epoll instance"));
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
   * @param timeoutMs 0 only looks; -1 waits without limit.
   * @returns How many were ready; 0 after the time limit or a signal.
   */
  wait(timeoutMs: number, ready: (token: number, events: number) => void): number {
    const { epoll_wait } = libc;
    const count = epoll_wait(this.fd, this.#events, MAX_EVENTS, timeoutMs);
    if (count < 0) {
      const number = errno();
      if (number === Errno.EINTR) return 0;
      throw new SysError("wait for descriptors", number);
    }
    for (let i = 0; i < count; i++) {
      const offset = i * EVENT_BYTES;
      ready(
        this.#events.getUint32(offset + DATA_OFFSET, true),
        this.#events.getUint32(offset, true),
      );
    }
    return count;
  }

  #control(operation: number, fd: number, events: number, token: number): void {
    this.#change.setUint32(0, events, true);
    this.#change.setUint32(DATA_OFFSET, token, true);
    const { epoll_ctl } = libc;
    check(epoll_ctl(this.fd, operation, fd, this.#change), `watch descriptor ${fd}`);
  }
}
