/**
 * The host's side of a character device, on the main thread: what the guest has sent, and a queue of
 * what it is to receive, fed as the chip has room.
 */

import type { Lock } from "../core/state/lock.ts";
import type { ByteStream } from "../core/state/stream.ts";

/** A chip that receives, such as a UART. Both are called under its lock. */
export interface Receiver {
  /** Takes a byte; false when there is no room: `onRoom` of the chip will say when there is. */
  receive(byte: number): boolean;
  /** The same for many bytes: as many of them as there is room for; how many. */
  receiveAll?(bytes: Uint8Array): number;
  /** The stream that refused a byte has room again. */
  transmitReady(): void;
  /** Forgets what it has taken and the guest has not; for one that keeps it over a reset of its own. */
  forget?(): void;
}

const NOTHING = new Uint8Array(0);

/** See above. */
export class CharacterPort {
  /** Name on the board, e.g. `"com1"`. */
  readonly name: string;
  readonly #stream: ByteStream;
  readonly #chip: Receiver | undefined;
  readonly #lock: Lock;
  #queue: Uint8Array[] = [];
  #done = 0;
  #isHeld = false;

  /** @param chip Undefined for a device that only sends. */
  constructor(name: string, stream: ByteStream, lock: Lock, chip?: Receiver) {
    this.name = name;
    this.#stream = stream;
    this.#lock = lock;
    this.#chip = chip;
  }

  /**
   * What the guest has sent since the last call; lets the guest send more, and receive more. While it is
   * held there is nothing, and the guest has to wait.
   */
  take(): Uint8Array {
    if (this.#isHeld) {
      this.#feed();
      return NOTHING;
    }
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

  /** Has the guest wait with what it sends, for as long as nobody takes it. */
  hold(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    if (!isHeld) this.#stream.wake();
  }

  /** Bytes that the guest has not taken yet. */
  get pending(): number {
    return this.#queue.reduce((sum, bytes) => sum + bytes.length, 0) - this.#done;
  }

  /** Forgets what the guest has not taken, as at a reset. */
  clear(): void {
    this.#queue = [];
    this.#done = 0;
    this.#chip?.forget?.();
  }

  #feed(): void {
    const chip = this.#chip;
    if (chip === undefined || this.#queue.length === 0) return;
    this.#lock.with(() => {
      while (this.#queue.length > 0) {
        const bytes = this.#queue[0];
        if (chip.receiveAll) this.#done += chip.receiveAll(bytes.subarray(this.#done));
        else while (this.#done < bytes.length && chip.receive(bytes[this.#done])) this.#done++;
        if (this.#done < bytes.length) return;
        this.#queue.shift();
        this.#done = 0;
      }
    });
  }
}
