/**
 * Which clusters of a file hold tables that are in use. An image whose mapping or refcounts say
 * otherwise is corrupt, or made to be: nothing of a guest's is ever written there.
 */

import { PagedCounts } from "./paged_counts.ts";

/** See above. */
export class ReservedClusters {
  readonly #clusterBytes: number;
  readonly #counts = new PagedCounts();

  constructor(clusterBytes: number) {
    this.#clusterBytes = clusterBytes;
  }

  has(cluster: number): boolean {
    return this.#counts.get(cluster) !== 0;
  }

  /** Reserves `clusters` from byte `position` on. */
  add(position: number, clusters: number): void {
    this.#change(position, clusters, 1);
  }

  remove(position: number, clusters: number): void {
    this.#change(position, clusters, 0);
  }

  #change(position: number, clusters: number, value: 0 | 1): void {
    const first = Math.floor(position / this.#clusterBytes);
    for (let i = 0; i < clusters; i++) this.#counts.set(first + i, value);
  }
}
