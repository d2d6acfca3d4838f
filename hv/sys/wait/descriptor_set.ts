/** The descriptors that a thread waits for, each with who is to be told. */

import { Descriptor } from "../descriptor.ts";
import { Epoll, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT } from "./epoll.ts";

/** What a descriptor is ready for. An error or the other end's closing is both. */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** A descriptor in the set; disposing of it, before it is closed, takes it out and leaves it open. */
export interface Watched extends Disposable {
  /**
   * Says what to wait for from now on; nothing at all keeps it from being reported. Does nothing once
   * it was taken out.
   */
  await(what: Partial<Readiness>): void;
}

/** The token of doorbells, who have no handler. */
const DOORBELL = 0;

const Ready = {
  read: { readable: true, writable: false },
  write: { readable: false, writable: true },
  both: { readable: true, writable: true },
} as const satisfies Record<string, Readiness>;

function readiness(events: number): Readiness {
  if ((events & (EPOLLERR | EPOLLHUP)) !== 0) return Ready.both;
  if ((events & EPOLLOUT) === 0) return Ready.read;
  return (events & EPOLLIN) === 0 ? Ready.write : Ready.both;
}

/** See above; for one thread. */
export class DescriptorSet extends Descriptor {
  readonly #epoll: Epoll;
  readonly #handlers = new Map<number, (ready: Readiness) => void>();
  #nextToken = 0;
  readonly #ready = (token: number, events: number) =>
    this.#handlers.get(token)?.(readiness(events));

  constructor() {
    const epoll = new Epoll();
    super(epoll.fd);
    this.#epoll = epoll;
  }

  /** How many there are. */
  get size(): number {
    return this.#handlers.size;
  }

  /**
   * Puts `fd` in, waiting for nothing but errors until it is told to.
   *
   * @param onReady Called from `wait`. It is told again as long as the descriptor stays ready.
   * @throws SysError
   */
  add(fd: number, onReady: (ready: Readiness) => void): Watched {
    do this.#nextToken = (this.#nextToken + 1) >>> 0; while (
      this.#nextToken === DOORBELL || this.#handlers.has(this.#nextToken)
    );
    const token = this.#nextToken;
    this.#handlers.set(token, onReady);
    // A descriptor that nobody waits for is not in the epoll: it would report a closed peer for ever.
    let events = 0;
    const change = (wanted: number) => {
      if (wanted === events) return;
      if (events === 0) this.#epoll.add(fd, wanted, token);
      else if (wanted === 0) this.#epoll.remove(fd);
      else this.#epoll.modify(fd, wanted, token);
      events = wanted;
    };
    return {
      await: ({ readable = false, writable = false }) => {
        if (!this.#handlers.has(token)) return;
        change((readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0));
      },
      [Symbol.dispose]: () => {
        if (!this.#handlers.delete(token)) return;
        change(0);
      },
    };
  }

  /**
   * Puts an eventfd in that nobody takes from: each time that it is raised ends a wait, or the next.
   *
   * @throws SysError
   */
  addDoorbell(fd: number): void {
    this.#epoll.add(fd, EPOLLIN | EPOLLET, DOORBELL);
  }

  /**
   * Waits until a descriptor is ready, at most `timeoutNs` (Infinity: without limit), and tells the
   * handlers of all that are; a signal ends it early.
   */
  wait(timeoutNs: number): void {
    this.#epoll.wait(timeoutNs, this.#ready);
  }
}
