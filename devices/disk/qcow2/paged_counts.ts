/** A number for each cluster of a file, most of them 0, in pages that exist where one is not. */

const PAGE_ENTRIES = 16384;

/** Counts up to 65535, where they stay. */
export class PagedCounts {
  readonly #pages = new Map<number, Uint16Array>();
  readonly #mostPages: number;

  /** @param mostPages Pages of 32 KiB that may be needed before the image is taken for hostile. */
  constructor(mostPages = 8192) {
    this.#mostPages = mostPages;
  }

  get(cluster: number): number {
    const page = this.#pages.get(Math.floor(cluster / PAGE_ENTRIES));
    return page === undefined ? 0 : page[cluster % PAGE_ENTRIES];
  }

  /** @throws RangeError when the clusters are scattered over more of the file than is kept */
  set(cluster: number, value: number): void {
    const number = Math.floor(cluster / PAGE_ENTRIES);
    let page = this.#pages.get(number);
    if (page === undefined) {
      if (value === 0) return;
      if (this.#pages.size >= this.#mostPages) {
        throw new RangeError("its clusters are scattered too widely for this machine's memory");
      }
      page = new Uint16Array(PAGE_ENTRIES);
      this.#pages.set(number, page);
    }
    page[cluster % PAGE_ENTRIES] = Math.min(value, 65535);
  }

  add(cluster: number): void {
    this.set(cluster, this.get(cluster) + 1);
  }

  /** Every cluster with a number other than 0, in no order. */
  *entries(): Generator<readonly [cluster: number, count: number]> {
    for (const [number, page] of this.#pages) {
      for (let i = 0; i < PAGE_ENTRIES; i++) {
        if (page[i] !== 0) yield [number * PAGE_ENTRIES + i, page[i]];
      }
    }
  }
}
