/** What the board knows of every device. */

/** A device with registers. Its constructor attaches to state; only `reset` and accesses write. */
export interface Device {
  /** Puts the state into what the data sheet says of power-on. */
  reset(): void;
}

/**
 * Registers on a bus. Offsets count from the start of the claimed range, sizes are 1, 2 or 4 bytes as
 * the claim allows, values are unsigned. Neither method ever throws, whatever the guest does.
 */
export interface IoHandler {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}
