/** A bit for each cluster of a disk or file, most of them 0, in pages that exist where one is not. */

/** Bits of a page: 2 GiB of clusters of 64 KiB in 4 KiB. */
const PAGE_BITS = 32768;

/** See above. */
export class PagedBits {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #mostPages: number;

  /** @param mostPages Pages that may be needed before `set` throws. */
  constructor(mostPages = Infinity) {
    this.#mostPages = mostPages;
  }

  /** How many bits are 1. */
  get count(): number {
    let count = 0;
    for (const page of this.#pages.values()) {
      for (let byte of page) for (; byte !== 0; byte &= byte - 1) count++;
    }
    return count;
  }

  has(cluster: number): boolean {
    const page = this.#pages.get(Math.floor(cluster / PAGE_BITS));
    const bit = cluster % PAGE_BITS;
    return page !== undefined && (page[bit >> 3] & (1 << (bit & 7))) !== 0;
  }

  /** @throws RangeError when the clusters are scattered over more pages than there may be */
  set(cluster: number): void {
    const number = Math.floor(cluster / PAGE_BITS);
    let page = this.#pages.get(number);
    if (page === undefined) {
      if (this.#pages.size >= this.#mostPages) {
        throw new RangeError("its clusters are scattered too widely for this machine's memory");
      }
      page = new Uint8Array(PAGE_BITS / 8);
      this.#pages.set(number, page);
    }
    const bit = cluster % PAGE_BITS;
    page[bit >> 3] |= 1 << (bit & 7);
  }

  clear(cluster: number): void {
    const page = this.#pages.get(Math.floor(cluster / PAGE_BITS));
    const bit = cluster % PAGE_BITS;
    if (page !== undefined) page[bit >> 3] &= ~(1 << (bit & 7));
  }
}
