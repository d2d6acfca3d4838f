/**
 * Between a disk controller, or a firmware service, and the thread that holds the medium: one request
 * at a time, posted in shared memory. The controller posts and returns; the I/O worker does the work
 * and calls the controller's `onDone` under the controller's lock. The firmware waits.
 */

import { bytes, f64, flag, record, u32, u8, words } from "../state/record.ts";

/** What is asked of the medium. */
export const BlockOp = { read: 0, write: 1, flush: 2 } as const;
/** One of `BlockOp`. */
export type BlockOp = typeof BlockOp[keyof typeof BlockOp];

/** How it went. */
export const BlockResult = { ok: 0, ioError: 1, readOnly: 2, outOfRange: 3, noMedium: 4 } as const;
/** One of `BlockResult`. */
export type BlockResult = typeof BlockResult[keyof typeof BlockResult];

/** Longest transfer through a port's own buffer, bytes: 256 sectors. */
export const BLOCK_BUFFER_BYTES = 131072;

const Phase = { idle: 0, posted: 1, done: 2 } as const;

/** Shared by the controller's threads and the one that holds the medium. */
export const BlockPortState = record("block_port", 1, {
  /** One of `Phase`; the firmware waits on it. */
  phase: words(1),
  op: u8,
  /** `BlockResult` of the last request. */
  result: u8,
  /** Is there a medium? */
  present: flag,
  readOnly: flag,
  /** Set when a medium has been put in or taken out; whoever reports it to the guest clears it. */
  changed: flag,
  length: u32,
  /** Byte offset on the medium. */
  offset: f64,
  /** Guest-physical address to transfer from or to; -1: `buffer`. */
  guestAddress: f64,
  /** Size of the medium in bytes. */
  sizeBytes: f64,
  buffer: bytes(BLOCK_BUFFER_BYTES),
});
/** A view of `BlockPortState`. */
export type BlockPortState = InstanceType<typeof BlockPortState>;

/** A controller's end: what a disk controller or firmware service knows of its medium. */
export class BlockPort {
  /** Called when a posted request has ended, under the controller's lock; the controller sets it. */
  onDone: (result: BlockResult) => void = () => {};
  /** Data of a request without a guest address: to be written, or having been read. */
  readonly buffer: Uint8Array;
  readonly state: BlockPortState;
  readonly #ring: () => void;

  /** @param ring Wakes the thread that holds the medium. */
  constructor(state: BlockPortState, ring: () => void) {
    this.state = state;
    this.buffer = state.buffer;
    this.#ring = ring;
  }

  /** Size of the medium in bytes; 0 when there is none. */
  get sizeBytes(): number {
    return this.state.present ? this.state.sizeBytes : 0;
  }

  /** Is there a medium? */
  get present(): boolean {
    return this.state.present;
  }

  get readOnly(): boolean {
    return this.state.readOnly;
  }

  /** Is a request under way? Then `start` must not be called. */
  get busy(): boolean {
    return Atomics.load(this.state.phase, 0) === Phase.posted;
  }

  /**
   * Posts a request.
   *
   * @param offset Byte offset on the medium; what is out of range ends with that result.
   * @param length Bytes; without `guestAddress` at most `BLOCK_BUFFER_BYTES`.
   * @param guestAddress Transfer straight from or to guest RAM instead of `buffer`.
   */
  start(op: BlockOp, offset: number, length: number, guestAddress = -1): void {
    const state = this.state;
    state.op = op;
    state.offset = offset;
    state.length = length;
    state.guestAddress = guestAddress;
    Atomics.store(state.phase, 0, Phase.posted);
    this.#ring();
  }

  /**
   * Waits for the request that was posted, for a thread that may block.
   *
   * @param stopped Asked every 100 ms; true gives up.
   * @returns The result, or undefined when given up.
   */
  wait(stopped: () => boolean): BlockResult | undefined {
    const { phase } = this.state;
    while (Atomics.load(phase, 0) === Phase.posted) {
      Atomics.wait(phase, 0, Phase.posted, 100);
      if (stopped()) return undefined;
    }
    return this.state.result as BlockResult;
  }

  /** For the thread that holds the medium: is a request waiting for it? */
  get posted(): boolean {
    return Atomics.load(this.state.phase, 0) === Phase.posted;
  }

  /** For the thread that holds the medium, holding the controller's lock: the request has ended. */
  finish(result: BlockResult): void {
    this.state.result = result;
    Atomics.store(this.state.phase, 0, Phase.done);
    Atomics.notify(this.state.phase, 0);
    this.onDone(result);
  }

  /** For the thread that holds the medium: what is in the drive from now on. */
  setMedium(medium: { sizeBytes: number; readOnly: boolean } | undefined): void {
    this.state.present = medium !== undefined;
    this.state.sizeBytes = medium?.sizeBytes ?? 0;
    this.state.readOnly = medium?.readOnly ?? false;
    this.state.changed = true;
  }
}
