/**
 * Which clusters of a file hold tables that are in use. An image whose mapping or refcounts say
 * otherwise is corrupt, or made to be: nothing of a guest's is ever written there.
 */

import { PagedBits } from "../paged_bits.ts";

/** 32 MiB: more than the tables of any image need that is not made to need it. */
const MOST_PAGES = 8192;

/** See above. */
export class ReservedClusters {
  readonly #clusterBytes: number;
  readonly #bits = new PagedBits(MOST_PAGES);

  constructor(clusterBytes: number) {
    this.#clusterBytes = clusterBytes;
  }

  has(cluster: number): boolean {
    return this.#bits.has(cluster);
  }

  /**
   * Reserves `clusters` from byte `position` on.
   *
   * @throws RangeError when they are scattered too widely
   */
  add(position: number, clusters: number): void {
    const first = Math.floor(position / this.#clusterBytes);
    for (let i = 0; i < clusters; i++) this.#bits.set(first + i);
  }

  remove(position: number, clusters: number): void {
    const first = Math.floor(position / this.#clusterBytes);
    for (let i = 0; i < clusters; i++) this.#bits.clear(first + i);
  }
}
