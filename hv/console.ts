/** A serial line of the guest, from the host's side: its history, and waiting for text in it. */

import type { Waiter, WaitOptions } from "./waiter.ts";

/** Longest history kept, in bytes; beyond it the oldest half is dropped, and said so. */
const HISTORY_LIMIT = 64 << 20;

/** What `expect` found. */
export interface ConsoleMatch {
  /** Everything from where the last `expect` ended to the end of this match. */
  readonly text: string;
  /** The match, with its groups. */
  readonly match: RegExpExecArray;
}

/** See above. Text is UTF-8 both ways; `bytes` has what really came. */
export class GuestConsole {
  /** Name on the board, e.g. `"com1"`. */
  readonly name: string;
  #history = new Uint8Array(4096);
  #length = 0;
  #dropped = 0;
  /** Decoded text and how many of the bytes it covers, so that a long history is decoded once. */
  #text = "";
  #decoder = new TextDecoder();
  #expected = 0;
  readonly #waiter: Waiter;
  readonly #input: (bytes: Uint8Array) => void;
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();

  /**
   * Made by the machine.
   *
   * @param input Hands bytes to the guest's receiver.
   */
  constructor(name: string, waiter: Waiter, input: (bytes: Uint8Array) => void) {
    this.name = name;
    this.#waiter = waiter;
    this.#input = input;
  }

  /** Every byte that the guest has sent, from the first. */
  get bytes(): Uint8Array {
    return this.#history.slice(0, this.#length);
  }

  /** Bytes that are no longer in `bytes`, since the guest sent more than 64 MiB. */
  get droppedBytes(): number {
    return this.#dropped;
  }

  /** Everything that the guest has sent, as text. */
  get text(): string {
    return this.#text;
  }

  /** The last `count` lines, for errors. */
  lastLines(count: number): string {
    return this.#text.slice(-count * 400).trimEnd().split("\n").slice(-count).join("\n");
  }

  /** Sends text (UTF-8) or bytes to the guest. */
  send(data: string | Uint8Array): void {
    this.#input(typeof data === "string" ? new TextEncoder().encode(data) : data);
  }

  /**
   * Waits until the guest sends something that matches, counting from where the last `expect` ended.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  async expect(pattern: RegExp | string, options: WaitOptions = {}): Promise<ConsoleMatch> {
    const regexp = typeof pattern === "string"
      ? new RegExp(pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
    let searchedFrom = this.#expected;
    return await this.#waiter.until(
      () => {
        const match = regexp.exec(this.#text.slice(searchedFrom));
        if (match === null) {
          // Very long output is searched again only from where a match could still begin.
          searchedFrom = Math.max(searchedFrom, this.#text.length - 65536);
          return undefined;
        }
        const end = searchedFrom + match.index + match[0].length;
        const text = this.#text.slice(this.#expected, end);
        this.#expected = end;
        return { text, match };
      },
      `${this.name} to show ${pattern}`,
      options,
    );
  }

  /** Calls `listener` with all that comes from now on, until the returned function is called. */
  listen(listener: (bytes: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For the machine: the guest has sent `bytes`. */
  received(bytes: Uint8Array): void {
    if (this.#length + bytes.length > HISTORY_LIMIT) this.#dropHalf();
    if (this.#length + bytes.length > this.#history.length) {
      const grown = new Uint8Array(Math.max(this.#history.length * 2, this.#length + bytes.length));
      grown.set(this.#history.subarray(0, this.#length));
      this.#history = grown;
    }
    this.#history.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#text += this.#decoder.decode(bytes, { stream: true });
    for (const listener of this.#listeners) listener(bytes);
    this.#waiter.changed();
  }

  #dropHalf(): void {
    const half = this.#length >> 1;
    this.#history.copyWithin(0, half, this.#length);
    this.#length -= half;
    this.#dropped += half;
    const textHalf = this.#text.length >> 1;
    this.#text = this.#text.slice(textHalf);
    this.#expected = Math.max(0, this.#expected - textHalf);
  }
}
