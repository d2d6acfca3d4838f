/** What the keyboard controller knows of a PS/2 keyboard or mouse. */

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
