/**
 * A port of a virtio console: bytes both ways, through a stream each, between its pair of queues on the
 * I/O worker and its host end on main. Neither direction loses bytes or grows: a full stream leaves the
 * driver's buffers in their queue, a driver without buffers leaves the host's bytes in the stream.
 *
 * What is behind the device's lock: all state here, and the writing end of the output.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.3.6 "Device Operation".
 */

import type { Lock } from "../../../hv/core/state/lock.ts";
import { flag, record, u32 } from "../../../hv/core/state/record.ts";
import type { ByteStream } from "../../../hv/core/state/stream.ts";
import type { DescriptorChain } from "../queue/descriptor_chain.ts";
import type { VirtioDeviceCore } from "../virtio_device.ts";
import type { Virtqueue } from "../queue/virtqueue.ts";

/** Bytes that are copied at a time. */
const PIECE_BYTES = 16384;
/** Bytes of one direction in a turn, before the I/O worker looks after others. */
const TURN_BYTES = 256 << 10;

/** See above. */
export const ConsolePortState = record("virtio console port", 1, {
  /** The driver has said that it has the port, or that a program has it open; zeros at a reset. */
  isReady: flag,
  isGuestOpen: flag,
  /** Control messages that the driver has yet to get, as bits of `ConsoleEvent` numbers. */
  pending: u32,
  /** Bytes that have gone out of the buffer at the head of the transmit queue. */
  sent: u32,
  /** The host's end is not connected; not changed by a reset. */
  isHostClosed: flag,
});
/** A view of `ConsolePortState`. */
export type ConsolePortState = InstanceType<typeof ConsolePortState>;

/** What a port is built of. */
export interface ConsolePortOptions {
  /** What the guest knows it by; "" for a console alone. */
  readonly name: string;
  readonly state: ConsolePortState;
  /** What the guest sends; its ring wakes main. */
  readonly output: ByteStream;
  /** What the guest receives; its ring is `hostSent`. */
  readonly input: ByteStream;
  /** Wakes main: there is room for input, or the guest has opened or closed the port. */
  readonly onChange: () => void;
}

/** See above. The device connects it to its core and says which queues are its own. */
export class ConsolePort {
  readonly name: string;
  readonly state: ConsolePortState;
  /** What the guest has sent, for main. */
  readonly output: ByteStream;
  readonly #input: ByteStream;
  readonly #onChange: () => void;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #core!: VirtioDeviceCore;
  #receiveQueue!: number;
  #changed: (() => void) | undefined;

  constructor({ name, state, output, input, onChange }: ConsolePortOptions) {
    this.name = name;
    this.state = state;
    this.output = output;
    this.#input = input;
    this.#onChange = onChange;
  }

  /**
   * Once, when the core is made.
   *
   * @param receiveQueue Its number; the transmit queue is the one behind it.
   * @param changed Has the driver told that the host's end was connected or not; on any thread.
   */
  connect(core: VirtioDeviceCore, receiveQueue: number, changed?: () => void): void {
    this.#core = core;
    this.#receiveQueue = receiveQueue;
    this.#changed = changed;
  }

  /** What a reset of the device forgets; under its lock. */
  reset(): void {
    this.state.isReady = false;
    this.state.pending = 0;
    this.state.sent = 0;
    this.guestOpened(false);
  }

  /** The device's: for whoever calls `receive`. */
  get lock(): Lock {
    return this.#core.lock;
  }

  // --- for the host's end, on main -------------------------------------------------------------

  /** Takes bytes for the guest, as many as there is room for. */
  receiveAll(bytes: Uint8Array): number {
    return this.#input.put(bytes);
  }

  /** Takes one byte. */
  receive(byte: number): boolean {
    return this.#input.write(byte);
  }

  /** The host has sent something. */
  hostSent(): void {
    this.#core.revisit(this.#receiveQueue);
  }

  /** There is room in the output again. */
  transmitReady(): void {
    this.#core.revisit(this.#receiveQueue + 1);
  }

  /** Forgets what the guest has not taken; while nothing runs. */
  forget(): void {
    this.#input.take();
  }

  /** Has a program in the guest the port open? */
  get isGuestOpen(): boolean {
    return this.state.isGuestOpen;
  }

  /** Is the host's end connected? A guest whose driver knows ports waits for it. */
  get isHostOpen(): boolean {
    return !this.state.isHostClosed;
  }
  set isHostOpen(isOpen: boolean) {
    if (isOpen === this.isHostOpen) return;
    this.#core.lock.with(() => this.state.isHostClosed = !isOpen);
    this.#changed?.();
  }

  // --- for the device --------------------------------------------------------------------------

  /** Is there something for the guest? */
  get hasInput(): boolean {
    return this.#input.waiting > 0;
  }

  /** A program in the guest has opened or closed the port; under the lock. */
  guestOpened(isOpen: boolean): void {
    if (isOpen === this.state.isGuestOpen) return;
    this.state.isGuestOpen = isOpen;
    this.#onChange();
    // What came before is for whoever opens it.
    if (isOpen) this.#core.revisit(this.#receiveQueue);
  }

  /** An emergency write (5.3.5.1): dropped where there is no room; under the lock. */
  emergencyWrite(byte: number): void {
    this.output.write(byte);
  }

  /** Fills the driver's buffers with what the host has sent; on the I/O worker. */
  serveReceive(queue: Virtqueue): void {
    for (let left = TURN_BYTES; this.#input.waiting > 0;) {
      const chain = queue.pop();
      if (chain === undefined) break;
      if (chain.writableBytes === 0) return queue.reject(chain);
      const room = this.#piece.subarray(0, Math.min(chain.writableBytes, PIECE_BYTES));
      const bytes = room.subarray(0, this.#input.read(room));
      chain.write(0, bytes);
      queue.push(chain, bytes.length);
      left -= bytes.length;
      if (left <= 0) {
        this.#core.revisit(queue.index);
        break;
      }
    }
    if (this.#input.takeStalled()) this.#onChange();
  }

  /** Sends the driver's buffers to the host; on the I/O worker. */
  serveTransmit(queue: Virtqueue): void {
    let left = TURN_BYTES;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const sent = this.#transmit(chain, left);
      if (this.state.sent < chain.readableBytes) {
        queue.putBack(chain);
        // Else there was no room: the host's end will say when there is (`transmitReady`).
        if (sent >= left) this.#core.revisit(queue.index);
        return;
      }
      left = Math.max(1, left - sent);
      this.state.sent = 0;
      queue.push(chain, 0);
    }
  }

  /** Sends what is left of a buffer, at most `limit` bytes as far as there is room; how many. */
  #transmit(chain: DescriptorChain, limit: number): number {
    const { state } = this;
    let total = 0;
    while (total < limit && state.sent < chain.readableBytes) {
      const piece = this.#piece.subarray(0, Math.min(PIECE_BYTES, limit - total));
      const bytes = piece.subarray(0, chain.read(state.sent, piece));
      const taken = this.#core.lock.with(() => this.output.put(bytes));
      state.sent += taken;
      total += taken;
      if (taken < bytes.length) break;
    }
    return total;
  }
}
