/**
 * Which entries of a table go when CR3 is loaded, those that are not of global pages: as long as they are
 * few, they are known one by one, and the table need not be looked through.
 */

const CAPACITY = 256;
const TOO_MANY = CAPACITY + 1;

/** See above. */
export class LocalEntries {
  readonly #entries = new Uint16Array(CAPACITY);
  /** Until the table is empty for the first time nobody knows what is in it. */
  #count = TOO_MANY;

  /** Entry `index` is of a page that is not global. */
  add(index: number): void {
    if (this.#count < CAPACITY) this.#entries[this.#count++] = index;
    else this.#count = TOO_MANY;
  }

  /** There are none, as the table is empty. */
  clear(): void {
    this.#count = 0;
  }

  /**
   * Calls `each` with every entry that was added since they were taken last, some more than once;
   * `total` are looked through where they have been too many.
   */
  take(total: number, each: (index: number) => void): void {
    if (this.#count > CAPACITY) { for (let i = 0; i < total; i++) each(i); }
    else for (let i = 0; i < this.#count; i++) each(this.#entries[i]);
    this.#count = 0;
  }
}
