/**
 * The half of a TCP connection that sends to the guest: what is out, what was acknowledged, what is to
 * be sent again, and when.
 *
 * The network in between loses nothing, so there is no congestion window; the guest's card and the
 * guest's window set the pace.
 *
 * Reference: RFC 9293, 3.8; RFC 6298 for the timer's doubling.
 */

import type { ByteQueue } from "./byte_queue.ts";
import { distance } from "./tcp_segment.ts";

const FIRST_TIMEOUT_NS = 1e9;
const LONGEST_TIMEOUT_NS = 30e9;
/** Timeouts in a row after which the guest is taken for gone: some minutes. */
const MAX_TIMEOUTS = 10;
const DUPLICATES = 3;

/** See above. A SYN and a FIN count as a byte each. */
export class TcpSender {
  /** The oldest byte that is not acknowledged: the first of `queue`, or the SYN before it. */
  una: number;
  /** The next to be sent. */
  next: number;
  /** The furthest that was ever sent. */
  #furthest: number;
  /** Bytes beyond `una` that the guest takes. */
  window = 0;
  readonly queue: ByteQueue;
  isSynAcknowledged = false;
  isFinSent = false;
  isFinAcknowledged = false;
  deadlineNs = Infinity;
  #timeouts = 0;
  #duplicates = 0;

  /** @param initial The SYN's sequence number. */
  constructor(queue: ByteQueue, initial: number) {
    this.queue = queue;
    this.una = this.next = this.#furthest = initial;
  }

  /** Bytes that are out. */
  get inFlight(): number {
    return distance(this.una, this.next);
  }

  /** Bytes of the queue that are yet to be sent. */
  get unsent(): number {
    if (!this.isSynAcknowledged || this.isFinSent) return 0;
    return this.queue.length - this.inFlight;
  }

  /** How many bytes may be sent now, in segments of `mss`. */
  allowed(mss: number): number {
    const room = this.window - this.inFlight;
    const count = Math.min(this.unsent, Math.max(0, room));
    // Small segments into a window that is nearly full help nobody (RFC 9293, 3.8.6.2.1).
    return count < mss && count < this.unsent && this.inFlight > 0 ? 0 : count;
  }

  /** `count` bytes (or a SYN or FIN: 1) from `next` on went out. */
  sent(count: number, nowNs: number): void {
    this.next = (this.next + count) >>> 0;
    if (distance(this.#furthest, this.next) > 0) this.#furthest = this.next;
    if (this.deadlineNs === Infinity) this.#arm(nowNs);
  }

  /**
   * The guest has acknowledged up to `acknowledged`.
   *
   * @param isBare It came without data and with the same window: a sign that something is missing.
   * @returns false for what was never sent.
   */
  acknowledge(acknowledged: number, isBare: boolean, nowNs: number): boolean {
    const count = distance(this.una, acknowledged);
    if (count > distance(this.una, this.#furthest)) return false;
    if (count < 0) return true;
    if (count === 0) {
      // Who answers probes of a closed window is not gone, however long it stays closed (RFC 9293, 3.8.6.1).
      if (this.window === 0) this.#timeouts = 0;
      if (isBare && this.inFlight > 0 && ++this.#duplicates === DUPLICATES) this.#again();
      return true;
    }
    let bytes = count;
    if (!this.isSynAcknowledged) {
      this.isSynAcknowledged = true;
      bytes--;
    }
    if (bytes > this.queue.length) {
      this.isFinAcknowledged = true;
      bytes = this.queue.length;
    }
    this.queue.drop(bytes);
    this.una = acknowledged;
    // What was about to be sent again has arrived after all.
    if (distance(this.una, this.next) < 0) this.next = this.una;
    this.#duplicates = this.#timeouts = 0;
    this.deadlineNs = Infinity;
    if (distance(this.una, this.#furthest) > 0) this.#arm(nowNs);
    return true;
  }

  /** Waits for the guest's window to open: then the timer probes it. */
  awaitWindow(nowNs: number): void {
    if (this.deadlineNs === Infinity) this.#arm(nowNs);
  }

  /**
   * The timer is due.
   *
   * @returns What to do: send again from `una`, probe the closed window with a byte, give up.
   */
  timeout(nowNs: number): "again" | "probe" | "give up" {
    if (++this.#timeouts > MAX_TIMEOUTS) return "give up";
    this.#arm(nowNs);
    if (this.inFlight === 0) return "probe";
    this.#again();
    return "again";
  }

  #again(): void {
    this.next = this.una;
    if (!this.isFinAcknowledged) this.isFinSent = false;
  }

  #arm(nowNs: number): void {
    this.deadlineNs = nowNs + Math.min(LONGEST_TIMEOUT_NS, FIRST_TIMEOUT_NS * 2 ** this.#timeouts);
  }
}
