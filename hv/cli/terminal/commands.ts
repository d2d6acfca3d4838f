/**
 * Ctrl-A: the key that talks to the hypervisor rather than to the guest, on a serial console (bytes)
 * and on a text display (key presses) alike.
 */

import type { TypedKey } from "./keys.ts";

/** What the user wants of the hypervisor. */
export type TerminalCommand = "quit" | "help" | "switch";

const CTRL_A = 0x01;

const COMMANDS: Record<string, TerminalCommand> = {
  x: "quit",
  h: "help",
  "?": "help",
  c: "switch",
};

/** The lines that "help" shows. */
export const TERMINAL_HELP: readonly string[] = [
  "Ctrl-A H    this help",
  "Ctrl-A X    quit",
  "Ctrl-A C    switch between the screen and the serial console",
  "Ctrl-A A    send Ctrl-A to the guest",
];

/** Tells commands from input for the guest; remembers a Ctrl-A from one call to the next. */
export class TerminalCommands {
  #isArmed = false;

  /** The bytes for the guest and the commands in the order in which they came. */
  ofBytes(chunk: Uint8Array): (Uint8Array | TerminalCommand)[] {
    const out: (Uint8Array | TerminalCommand)[] = [];
    let run: number[] = [];
    for (const byte of chunk) {
      const command = this.#step(byte === CTRL_A, String.fromCharCode(byte));
      if (command === undefined) continue;
      if (command === "pass") {
        run.push(byte);
      } else if (command === "send") {
        run.push(CTRL_A);
      } else {
        if (run.length > 0) out.push(Uint8Array.from(run));
        run = [];
        out.push(command);
      }
    }
    if (run.length > 0) out.push(Uint8Array.from(run));
    return out;
  }

  /** The same of key presses. */
  ofKeys(presses: readonly TypedKey[]): (TypedKey | TerminalCommand)[] {
    const out: (TypedKey | TerminalCommand)[] = [];
    for (const press of presses) {
      const isPrefix = "key" in press && press.key === "a" && press.ctrl === true &&
        !press.alt && !press.shift;
      const command = this.#step(isPrefix, "text" in press ? press.text : "");
      if (command === undefined) continue;
      if (command === "pass") out.push(press);
      else if (command === "send") out.push({ key: "a", ctrl: true });
      else out.push(command);
    }
    return out;
  }

  #step(isPrefix: boolean, text: string): TerminalCommand | "pass" | "send" | undefined {
    if (!this.#isArmed) {
      this.#isArmed = isPrefix;
      return isPrefix ? undefined : "pass";
    }
    this.#isArmed = false;
    if (isPrefix || text === "a" || text === "A") return "send";
    return COMMANDS[text.toLowerCase()] ?? "help";
  }
}
