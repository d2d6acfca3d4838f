/** A serial line of the guest, from the host's side: its history, and waiting for text in it. */

import { TextHistory } from "./text_history.ts";
import { searchFor, type Waiter, type WaitOptions } from "./waiter.ts";

/** Longest history kept, in bytes; beyond it the oldest half is dropped, and said so. */
const HISTORY_LIMIT = 64 << 20;

/** How many bytes a sender without an end may have pending, and how often it looks, ms. */
const PENDING_BYTES = 65536;
const ROOM_POLL_MS = 20;

/** The guest's receiver. */
export interface ConsoleInput {
  /** Queues bytes for the guest. */
  send(bytes: Uint8Array): void;
  /** Bytes that wait. */
  readonly pending: number;
  /** Has the guest wait with what it sends. */
  hold(isHeld: boolean): void;
}

/** What `expect` found. */
export interface ConsoleMatch {
  /** Everything from where the last `expect` ended to the end of this match. */
  readonly text: string;
  /** The match, with its groups. */
  readonly match: RegExpExecArray;
}

/** A line of characters between guest and host, e.g. a serial port. Text is UTF-8 both ways; `bytes` has what really came. */
export class GuestConsole {
  /** Name on the board, e.g. `"com1"`. */
  readonly name: string;
  #history = new Uint8Array(4096);
  #length = 0;
  #dropped = 0;
  /** Decoded once, as it comes. */
  readonly #text = new TextHistory();
  #decoder = new TextDecoder();
  #expected = 0;
  readonly #waiter: Waiter;
  readonly #input: ConsoleInput;
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();

  /**
   * Made by the machine.
   *
   * @param input The guest's receiver.
   */
  constructor(name: string, waiter: Waiter, input: ConsoleInput) {
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
    return this.#text.from(0);
  }

  /** Position after the last character of `text`, counted from the first that ever came. */
  get textEnd(): number {
    return this.#text.end;
  }

  /** Text from a position on: cheap near the end, however long the history is. */
  textFrom(position: number): string {
    return this.#text.from(position);
  }

  /** The last `count` lines, for errors. */
  lastLines(count: number): string {
    return this.#text.from(this.#text.end - count * 400).trimEnd().split("\n").slice(-count)
      .join("\n");
  }

  /** Sends text (UTF-8) or bytes to the guest. */
  send(data: string | Uint8Array): void {
    this.#input.send(typeof data === "string" ? new TextEncoder().encode(data) : data);
  }

  /** Bytes sent that the guest has not taken yet: its receiver takes a few at a time. */
  get pendingBytes(): number {
    return this.#input.pending;
  }

  /**
   * Waits until fewer than 64 KiB are pending, for whoever sends without an end.
   *
   * @throws {WaitError} When the signal aborts, or the guest ends.
   */
  async room(options: WaitOptions = {}): Promise<void> {
    await this.#waiter.until(
      () => this.#input.pending < PENDING_BYTES || undefined,
      `the guest to read from ${this.name}`,
      { timeoutMs: Infinity, ...options },
      ROOM_POLL_MS,
    );
  }

  /**
   * Waits until the guest has taken everything that was sent.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  async taken(options: WaitOptions = {}): Promise<void> {
    await this.#waiter.until(
      () => this.#input.pending === 0 || undefined,
      `the guest to read from ${this.name}`,
      options,
      ROOM_POLL_MS,
    );
  }

  /**
   * Waits until the guest sends something that matches, counting from where the last `expect` ended.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  async expect(pattern: RegExp | string, options: WaitOptions = {}): Promise<ConsoleMatch> {
    const regexp = searchFor(pattern);
    let searchedFrom = this.#expected;
    return await this.#waiter.until(
      () => {
        searchedFrom = Math.max(searchedFrom, this.#text.start);
        const match = regexp.exec(this.#text.from(searchedFrom));
        if (match === null) {
          // Very long output is searched again only from where a match could still begin.
          searchedFrom = Math.max(searchedFrom, this.#text.end - 65536);
          return undefined;
        }
        const end = searchedFrom + match.index + match[0].length;
        const start = Math.max(this.#expected, this.#text.start);
        const text = this.#text.from(start).slice(0, end - start);
        this.#expected = end;
        return { text, match };
      },
      `${this.name} to show ${pattern}`,
      options,
    );
  }

  /**
   * Has the guest wait with what it sends, or lets it go on, for a listener that cannot keep up. A little
   * may still come.
   */
  hold(isHeld: boolean): void {
    this.#input.hold(isHeld);
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
    this.#text.append(this.#decoder.decode(bytes, { stream: true }));
    for (const listener of this.#listeners) listener(bytes);
    this.#waiter.changed();
  }

  #dropHalf(): void {
    const half = this.#length >> 1;
    this.#history.copyWithin(0, half, this.#length);
    this.#length -= half;
    this.#dropped += half;
    this.#text.drop((this.#text.end - this.#text.start) / 2);
  }
}
