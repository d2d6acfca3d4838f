/** All of a machine's consoles and ports, as main serves them. */

import { GuestConsole } from "./console.ts";
import { UsageError } from "../errors.ts";
import { GuestPort } from "./guest_port.ts";
import type { Pc } from "../pc/pc.ts";
import { VIRTIO_CONSOLE } from "../pc/board_config.ts";
import type { Waiter } from "./waiter.ts";

/** See above. */
export class Consoles {
  /** In the order of the board's streams. */
  readonly all: readonly GuestConsole[];
  /** The virtio console if there is one, else COM1. */
  readonly main: GuestConsole;
  readonly #pc: Pc;
  readonly #waiter: Waiter;
  readonly #ports = new Map<string, GuestPort>();

  constructor(pc: Pc, waiter: Waiter) {
    this.#pc = pc;
    this.#waiter = waiter;
    this.all = pc.streams.map((input) => {
      const { name } = input;
      const port = pc.virtio?.consoles.find(({ character }) => character === input);
      if (port === undefined) return new GuestConsole(name, waiter, input);
      const { port: device, resize } = port;
      const guestPort = new GuestPort(name, { waiter, input, device, resize });
      this.#ports.set(name, guestPort);
      return guestPort;
    });
    this.main = this.#ports.get(VIRTIO_CONSOLE) ?? this.all[0];
  }

  /**
   * A virtio port or console.
   *
   * @throws {UsageError} When the machine has none of that name.
   */
  port(name: string): GuestPort {
    const port = this.#ports.get(name);
    if (port !== undefined) return port;
    throw new UsageError(`The machine has no port "${name}": name it in the option \`ports\``);
  }

  /** Brings what the guest has sent into the histories, and what it is to receive to the guest. */
  move(): void {
    for (const [index, stream] of this.#pc.streams.entries()) {
      const bytes = stream.take();
      if (bytes.length > 0) this.all[index].received(bytes);
    }
    // A port may have been opened or closed.
    if (this.#ports.size > 0) this.#waiter.changed();
  }

  /** The same at the guest's end: also what has been held back. */
  moveLast(): void {
    for (const stream of this.#pc.streams) stream.hold(false);
    this.move();
  }
}
