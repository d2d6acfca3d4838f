/** Conversations by who has them: as many as there may be, and no more. */

import type { Flow } from "./flow.ts";

/** See above. */
export class FlowTable<F extends Flow> implements Disposable {
  readonly #flows = new Map<string, F>();
  readonly #most: number;

  /** @param most Conversations at once: each holds a descriptor of the host's. */
  constructor(most: number) {
    this.#most = most;
  }

  get isFull(): boolean {
    return this.#flows.size >= this.#most;
  }

  get size(): number {
    return this.#flows.size;
  }

  get(key: string): F | undefined {
    return this.#flows.get(key);
  }

  /** Adds a conversation; there must be room. */
  add(key: string, flow: F): void {
    this.#flows.set(key, flow);
  }

  /** Forgets one, if it is that one. */
  delete(key: string): void {
    this.#flows.delete(key);
  }

  /** Ends the one that has been there longest, to make room: for those that come back by themselves. */
  endOldest(): void {
    const [first] = this.#flows;
    if (first === undefined) return;
    first[1][Symbol.dispose]();
    this.#flows.delete(first[0]);
  }

  /** Does what is due; when there is more to do. */
  tick(nowNs: number): number {
    let next = Infinity;
    for (const flow of this.#flows.values()) next = Math.min(next, flow.tick(nowNs));
    return next;
  }

  [Symbol.dispose](): void {
    for (const flow of this.#flows.values()) flow[Symbol.dispose]();
    this.#flows.clear();
  }
}

/** What tells one conversation from another. */
export function flowKey(
  guest: Uint8Array,
  guestPort: number,
  peer: Uint8Array,
  peerPort: number,
): string {
  let key = String.fromCharCode(guestPort, peerPort);
  for (let i = 0; i < guest.length; i += 2) {
    key += String.fromCharCode(guest[i] << 8 | guest[i + 1], peer[i] << 8 | peer[i + 1]);
  }
  return key;
}
