/**
 * The host's side of a character device, on the main thread: what the guest has sent, and a queue of
 * what it is to receive, fed as the chip has room.
 */

import type { Lock } from "../core/lock.ts";
import type { ByteStream } from "../core/stream.ts";

/** A chip that receives, such as a UART. Both are called under its lock. */
export interface Receiver {
  /** Takes a byte; false when there is no room: `onRoom` of the chip will say when there is. */
  receive(byte: number): boolean;
  /** The stream that refused a byte has room again. */
  transmitReady(): void;
}

/** See above. */
export class CharacterPort {
  /** Name on the board, e.g. `"com1"`. */
  readonly name: string;
  readonly #stream: ByteStream;
  readonly #chip: Receiver | undefined;
  readonly #lock: Lock;
  #queue: Uint8Array[] = [];
  #done = 0;

  /** @param chip Undefined for a device that only sends. */
  constructor(name: string, stream: ByteStream, lock: Lock, chip?: Receiver) {
    this.name = name;
    this.#stream = stream;
    this.#lock = lock;
    this.#chip = chip;
  }

  /** What the guest has sent since the last call; lets the guest send more, and receive more. */
  take(): Uint8Array {
    const bytes = this.#stream.take();
    if (this.#stream.takeStalled()) this.#lock.with(() => this.#chip?.transmitReady());
    this.#feed();
    return bytes;
  }

  /** Queues bytes for the guest. */
  send(bytes: Uint8Array): void {
    if (this.#chip === undefined || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#feed();
  }

  /** Bytes that the guest has not taken yet. */
  get pending(): number {
    return this.#queue.reduce((sum, bytes) => sum + bytes.length, 0) - this.#done;
  }

  /** Forgets what the guest has not taken, as at a reset. */
  clear(): void {
    this.#queue = [];
    this.#done = 0;
  }

  #feed(): void {
    const chip = this.#chip;
    if (chip === undefined || this.#queue.length === 0) return;
    this.#lock.with(() => {
      while (this.#queue.length > 0) {
        const bytes = this.#queue[0];
        while (this.#done < bytes.length && chip.receive(bytes[this.#done])) this.#done++;
        if (this.#done < bytes.length) return;
        this.#queue.shift();
        this.#done = 0;
      }
    });
  }
}
