/** A counter in the kernel that one side raises and another waits for: doorbells and interrupts. */

import { check, Descriptor } from "../descriptor.ts";
import { Errno, SysError } from "../errors.ts";
import { errno, libc } from "../libc.ts";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** Makes an eventfd that never blocks; the caller closes the descriptor. */
export function createEventFd(): number {
  return check(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create an eventfd");
}

/** An eventfd, by its descriptor, which any thread may have made. */
export class EventFd extends Descriptor {
  readonly #count = new BigUint64Array(1);
  readonly #one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

  /** Takes over `fd`, by default a new one. */
  constructor(fd: number = createEventFd()) {
    super(fd);
  }

  /** Adds one; a counter at its limit is raised already and stays. */
  signal(): void {
    const { write } = libc;
    if (write(this.fd, this.#one, 8n) >= 0) return;
    const number = errno();
    if (number !== Errno.EAGAIN) throw new SysError("raise an eventfd", number);
  }

  /** Sets the counter to 0 and returns what it was. */
  take(): number {
    const { read } = libc;
    if (read(this.fd, this.#count, 8n) >= 0) return Number(this.#count[0]);
    const number = errno();
    if (number === Errno.EAGAIN || number === Errno.EINTR) return 0;
    throw new SysError("read an eventfd", number);
  }
}
