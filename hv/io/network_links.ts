/** The I/O worker's part of network cards: their cables. */

import type { NetworkLink } from "../../devices/net/network_link.ts";
import type { IoService } from "./io_service.ts";
import { monotonicNs } from "../sys/clock.ts";

/** See above. */
export class NetworkLinks implements IoService, Disposable {
  readonly #links = new Set<NetworkLink>();

  /** Takes `link` over. */
  add(link: NetworkLink): void {
    this.#links.add(link);
  }

  /** Disposes of it. */
  remove(link: NetworkLink): void {
    if (this.#links.delete(link)) link[Symbol.dispose]();
  }

  /** Moves the networks' frames. */
  serve(): number {
    if (this.#links.size === 0) return Infinity;
    const now = monotonicNs();
    let next = Infinity;
    for (const link of this.#links) next = Math.min(next, link.serve(now));
    return next - now;
  }

  [Symbol.dispose](): void {
    for (const link of [...this.#links]) this.remove(link);
  }
}
