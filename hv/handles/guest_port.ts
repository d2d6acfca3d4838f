/** A virtio port or console of the guest, from the host's side. */

import { type ConsoleInput, GuestConsole } from "./console.ts";
import type { Waiter, WaitOptions } from "./waiter.ts";

/** The device's end, as far as it is more than a serial line. */
export interface PortDevice {
  readonly isGuestOpen: boolean;
  isHostOpen: boolean;
}

/** A terminal's size in characters. */
export interface TerminalSize {
  /** Characters of a line, up to 65535. */
  readonly columns: number;
  /** Lines, up to 65535. */
  readonly rows: number;
}

/**
 * A named port: `/dev/virtio-ports/NAME` in a Linux guest with udev, `/dev/vportNpM` in others. Also the
 * virtio console, which is always open. What is sent waits until the guest opens the port.
 */
export class GuestPort extends GuestConsole {
  readonly #device: PortDevice;
  readonly #waiter: Waiter;
  readonly #resize: ((size: TerminalSize) => void) | undefined;
  /** Is it the console? Else it is a port, whose guest can be made to wait. */
  readonly isConsole: boolean;

  /** Made by the machine. */
  constructor(
    name: string,
    { waiter, input, device, resize }: {
      readonly waiter: Waiter;
      readonly input: ConsoleInput;
      readonly device: PortDevice;
      readonly resize?: (size: TerminalSize) => void;
    },
  ) {
    super(name, waiter, input);
    this.#device = device;
    this.#waiter = waiter;
    this.#resize = resize;
    this.isConsole = resize !== undefined;
  }

  /** Has a program in the guest the port open? */
  get isOpen(): boolean {
    return this.#device.isGuestOpen;
  }

  /**
   * Waits until a program in the guest has the port open.
   *
   * @throws {WaitError} When time is up, the signal aborts, or the guest ends.
   */
  async opened(options: WaitOptions = {}): Promise<void> {
    await this.#waiter.until(
      () => this.isOpen || undefined,
      `the guest to open ${this.name}`,
      options,
    );
  }

  /**
   * Is there somebody at the host's end? True at first. While it is false, a guest that reads finds the
   * end of a file, and one that writes waits (Linux).
   */
  get isConnected(): boolean {
    return this.#device.isHostOpen;
  }
  set isConnected(isConnected: boolean) {
    this.#device.isHostOpen = isConnected;
  }

  /** Tells the guest how large the terminal is that its console is on; nothing for a port. */
  resize(size: TerminalSize): void {
    this.#resize?.(size);
  }
}
