/** The firmware's own messages: on the screen and, where the user wants it, on the first serial port. */

import { Ebda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { peekKey } from "../services/int09.ts";
import { GREY_ON_BLACK, type TextScreen } from "../video/text_screen.ts";

/** 16550 registers. */
const DATA = 0;
const LINE_STATUS = 5;
const RECEIVED = 0x01;
const TRANSMITTER_EMPTY = 0x20;
/** How often a transmitter that is full is asked again before the character is dropped. */
const PATIENCE = 64;

/** See above. */
export class Console {
  readonly #guest: Guest;
  readonly #screen: TextScreen;

  constructor(guest: Guest, screen: TextScreen) {
    this.#guest = guest;
    this.#screen = screen;
  }

  /** Prints text; each "\n" begins a new line. */
  print(text: string): void {
    const { config } = this.#guest.host;
    for (const character of text.replaceAll("\n", "\r\n")) {
      const code = character.charCodeAt(0) & 0xff;
      if (config.vga) this.#screen.teletype(this.#screen.page, code, GREY_ON_BLACK);
      this.#send(code);
    }
  }

  /** The next character typed, on the keyboard or the serial port; -1: none. */
  read(): number {
    const key = peekKey(this.#guest, true);
    if (key >= 0) return key & 0xff;
    const port = this.#serialPort();
    if (port < 0) return -1;
    const { ports } = this.#guest.host;
    return (ports.read(port + LINE_STATUS, 1) & RECEIVED) !== 0 ? ports.read(port + DATA, 1) : -1;
  }

  #serialPort(): number {
    const { serialConsole, serialPorts } = this.#guest.host.config;
    return serialConsole && serialPorts.length > 0 ? serialPorts[0] : -1;
  }

  #send(code: number): void {
    const port = this.#serialPort();
    if (port < 0) return;
    const { ports } = this.#guest.host;
    for (let i = 0; i < PATIENCE; i++) {
      if ((ports.read(port + LINE_STATUS, 1) & TRANSMITTER_EMPTY) !== 0) break;
    }
    ports.write(port + DATA, 1, code);
  }
}

/** Has the monitor anything to remember of before? Cleared when nothing could be booted. */
export function clearMonitor(guest: Guest): void {
  guest.host.memory.writeU8(Ebda.monitorState, 0);
  guest.host.memory.writeU8(Ebda.monitorIdle, 0);
}
