/** What the keyboard controller knows of a PS/2 keyboard or mouse, and what these two share. */

import type { ByteRing } from "../../hv/core/state/byte_ring.ts";

/** One end of a PS/2 cable: the device at it, seen from the controller, which holds the lock. */
export interface Ps2Device {
  /** Called when the device has something to send; the controller sets it. */
  onData: () => void;
  /** Is there a byte to take? */
  readonly pending: boolean;
  /** The next byte, removed; -1 when there is none. */
  take(): number;
  /** A command or argument from the controller. */
  send(byte: number): void;
  /** Power-on. */
  reset(): void;
}

/** Answers that keyboard and mouse have in common. */
export const Ps2Answer = {
  /** Self-test passed. */
  bat: 0xaa,
  ack: 0xfa,
  /** Not understood: send again. */
  resend: 0xfe,
  echo: 0xee,
} as const;

/** The part of a device's state that holds what it has to send. */
export interface Ps2OutputState {
  lastSent: number;
  /** Answers to commands, which go before anything else. */
  readonly answers: ByteRing;
  /** Keys or movements. */
  readonly queue: ByteRing;
}

/** What a device has to send, over its state. */
export class Ps2Output {
  readonly #state: Ps2OutputState;

  constructor(state: Ps2OutputState) {
    this.#state = state;
  }

  /** Is there a byte to take? */
  get pending(): boolean {
    const { answers, queue } = this.#state;
    return answers.length > 0 || queue.length > 0;
  }

  /** The next byte, removed; -1 when there is none. */
  take(): number {
    const s = this.#state;
    const byte = s.answers.length > 0 ? s.answers.shift() : s.queue.shift();
    if (byte >= 0) s.lastSent = byte;
    return byte;
  }

  /** Queues an answer; what does not fit is lost. */
  answer(...answer: number[]): void {
    for (const byte of answer) this.#state.answers.push(byte);
  }
}
