/**
 * This terminal as the guest's: its screen, or its serial console, with the keys of Ctrl-A.
 *
 * Where input or output is no terminal, it still does what a pipe can: bytes to and from the serial
 * console; text typed on the keyboard, and the last screen as text at the end.
 */

import type { GuestConsole } from "../../handles/console.ts";
import { GuestPort } from "../../handles/guest_port.ts";
import type { Machine } from "../../machine/machine.ts";
import { colorDepth } from "./colors.ts";
import { TERMINAL_HELP, type TerminalCommand, TerminalCommands } from "./commands.ts";
import { TerminalKeys, type TypedKey } from "./keys.ts";
import type { HeldGuest } from "../queued_output.ts";
import { StandardOutput } from "../standard_output.ts";
import { TERMINAL_ENTER, TERMINAL_LEAVE, TerminalScreen } from "./screen.ts";

/** How often the screen is looked at, ms. */
const FRAME_MS = 33;
/** How long an escape sequence may take to arrive, ms. */
const SEQUENCE_MS = 50;
/** How long keys of a pipe wait for the first text on the screen, which may never come, ms. */
const FIRST_TEXT_MS = 10_000;
const DEFAULT_SIZE = { columns: 80, rows: 25 };
const encoder = new TextEncoder();

/** What the session shows. */
export interface SessionOptions {
  readonly display: "none" | "text";
  /** The consoles that go to this terminal; input goes to the first. */
  readonly consoles: readonly GuestConsole[];
  /**
   * What the first console shows when the guest takes input: a pipe is read from then on, as what comes
   * before a guest has set its serial port up is lost. Default: it is read at once.
   */
  readonly inputAfter?: string;
  /** The guest, which waits for whoever reads the output. */
  readonly held: HeldGuest;
}

/** See above. */
export class TerminalSession {
  /** Resolves when the user has asked for the end of the machine. */
  readonly quit: Promise<void>;
  /** Resolves when nothing more can be typed here, and the guest has taken all that was. */
  readonly inputEnd: Promise<void>;
  readonly #machine: Machine;
  readonly #output: StandardOutput;
  readonly #consoles: readonly GuestConsole[];
  readonly #hasDisplay: boolean;
  readonly #inputAfter: string | undefined;
  readonly #isInputTerminal = Deno.stdin.isTerminal();
  readonly #isOutputTerminal = Deno.stdout.isTerminal();
  readonly #commands = new TerminalCommands();
  readonly #keys = new TerminalKeys();
  readonly #screen: TerminalScreen;
  readonly #undo: (() => void)[] = [];
  #stopped = false;
  readonly #setQuit: () => void;
  readonly #setInputEnd: () => void;
  #showsScreen: boolean;
  #flushKeys: ReturnType<typeof setTimeout> | undefined;
  /** Keys are typed one after the other, at the guest's pace. */
  #typing: Promise<void> = Promise.resolve();

  constructor(machine: Machine, { display, consoles, inputAfter, held }: SessionOptions) {
    this.#machine = machine;
    this.#output = new StandardOutput(held);
    this.#consoles = consoles;
    this.#inputAfter = inputAfter;
    this.#hasDisplay = display === "text";
    this.#showsScreen = this.#hasDisplay;
    const quit = Promise.withResolvers<void>();
    this.quit = quit.promise;
    this.#setQuit = quit.resolve;
    const inputEnd = Promise.withResolvers<void>();
    this.inputEnd = inputEnd.promise;
    this.#setInputEnd = inputEnd.resolve;
    const colors = colorDepth({
      COLORTERM: Deno.env.get("COLORTERM"),
      TERM: Deno.env.get("TERM"),
    });
    this.#screen = new TerminalScreen({ ...terminalSize(), colors });
  }

  /** Takes the terminal over. */
  start(): void {
    for (const console of this.#consoles) {
      this.#undo.push(console.listen((bytes) => {
        if (!this.#showsScreen) this.#output.write(bytes);
      }));
    }
    if (this.#hasDisplay && this.#isOutputTerminal) this.#startScreen();
    else if (this.#isOutputTerminal) this.#tellSize();
    if (!this.#hasDisplay && this.#consoles.length === 0) return;
    if (this.#isInputTerminal) {
      Deno.stdin.setRaw(true);
      this.#undo.push(() => Deno.stdin.setRaw(false));
    }
    void this.#readInput();
  }

  /** Gives the terminal back; what the screen showed last stays readable. Call it once or more. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const last = this.#hasDisplay ? this.#machine.screen.text() : "";
    for (const undo of this.#undo.splice(0).reverse()) undo();
    clearTimeout(this.#flushKeys);
    if (last !== "") this.#output.write(encoder.encode(`${last}\n`));
  }

  /** Resolves when all output has been taken by whoever reads it. */
  flush(): Promise<void> {
    return this.#output.flush();
  }

  // --- output --------------------------------------------------------------------------------

  #startScreen(): void {
    this.#output.write(encoder.encode(TERMINAL_ENTER));
    const changed = this.#machine.screen.watch();
    const frame = setInterval(() => {
      if (this.#showsScreen && changed()) this.#draw();
    }, FRAME_MS);
    const resize = () => {
      const { columns, rows } = terminalSize();
      this.#screen.resize(columns, rows);
      if (this.#showsScreen) this.#draw();
    };
    Deno.addSignalListener("SIGWINCH", resize);
    this.#undo.push(() => {
      clearInterval(frame);
      Deno.removeSignalListener("SIGWINCH", resize);
      if (this.#showsScreen) this.#output.write(encoder.encode(TERMINAL_LEAVE));
    });
    this.#draw();
  }

  /** Keeps a console that has a size at this terminal's. */
  #tellSize(): void {
    const tell = () => {
      for (const console of this.#consoles) {
        if (console instanceof GuestPort) console.resize(terminalSize());
      }
    };
    Deno.addSignalListener("SIGWINCH", tell);
    this.#undo.push(() => Deno.removeSignalListener("SIGWINCH", tell));
    tell();
  }

  #draw(): void {
    const frame = this.#machine.screen.frame();
    const note = "The guest shows graphics, which a text terminal cannot. Ctrl-A X quits.";
    this.#output.write(encoder.encode(this.#screen.draw(frame ?? note)));
  }

  // --- input ---------------------------------------------------------------------------------

  async #readInput(): Promise<void> {
    if (!this.#isInputTerminal && !await this.#ready()) return;
    const buffer = new Uint8Array(4096);
    for (;;) {
      const length = await Deno.stdin.read(buffer).catch(() => null);
      if (length === null) return await this.#inputEnded();
      this.#received(buffer.slice(0, length));
      if (this.#isInputTerminal) continue;
      // A pipe may bring more than the guest takes: it is read as the guest goes on.
      if (!await this.#room()) return;
      await this.#typing;
    }
  }

  /** A pipe has ended, or the terminal has gone: the guest goes on. */
  async #inputEnded(): Promise<void> {
    await this.#typing;
    try {
      await this.#consoles[0]?.taken({ timeoutMs: Infinity });
      this.#setInputEnd();
    } catch {
      // The guest has ended.
    }
  }

  /** Waits until the guest takes input; false when it has ended. */
  async #ready(): Promise<boolean> {
    if (this.#hasDisplay) await this.#firstText();
    if (this.#inputAfter === undefined) return true;
    const shown = this.#consoles[0]?.expect(this.#inputAfter, { timeoutMs: Infinity });
    return await shown?.then(() => true, () => false) ?? true;
  }

  /** A firmware that shows something has its keyboard: keys before that are lost. */
  async #firstText(): Promise<void> {
    const options = { timeoutMs: FIRST_TEXT_MS };
    await this.#machine.screen.waitFor(/\S/, options).catch(() => {});
  }

  /** Waits until the guest can take more; false when it has ended. */
  async #room(): Promise<boolean> {
    try {
      await this.#consoles[0]?.room();
      return true;
    } catch {
      return false;
    }
  }

  #received(bytes: Uint8Array): void {
    clearTimeout(this.#flushKeys);
    if (!this.#showsScreen) {
      const items = this.#isInputTerminal ? this.#commands.ofBytes(bytes) : [bytes];
      for (const item of items) {
        if (item instanceof Uint8Array) this.#consoles[0]?.send(item);
        else this.#command(item);
      }
      return;
    }
    this.#pressed(this.#keys.feed(bytes));
    if (this.#keys.isPending) {
      this.#flushKeys = setTimeout(() => this.#pressed(this.#keys.flush()), SEQUENCE_MS);
    }
  }

  #pressed(presses: readonly TypedKey[]): void {
    for (const item of this.#isInputTerminal ? this.#commands.ofKeys(presses) : presses) {
      if (typeof item === "string") this.#command(item);
      else this.#typing = this.#typing.then(() => this.#press(item)).catch(() => {});
    }
  }

  async #press(press: TypedKey): Promise<void> {
    const { keyboard } = this.#machine;
    // A character that a US keyboard does not have is left out.
    if ("text" in press) return await keyboard.type(press.text);
    const { key, ctrl, alt, shift } = press;
    await keyboard.press(
      ...(ctrl ? ["ctrl" as const] : []),
      ...(alt ? ["alt" as const] : []),
      ...(shift ? ["shift" as const] : []),
      key,
    );
  }

  #command(command: TerminalCommand): void {
    switch (command) {
      case "quit":
        return this.#setQuit();
      case "help":
        return this.#help();
      case "switch":
        return this.#switch();
    }
  }

  #help(): void {
    if (this.#showsScreen) {
      this.#output.write(encoder.encode(this.#screen.draw(TERMINAL_HELP.join("\n"))));
      // Until the guest draws again, or this long.
      setTimeout(() => this.#showsScreen && !this.#stopped && this.#draw(), 3000);
    } else {
      this.#output.write(encoder.encode(`\r\n${TERMINAL_HELP.join("\r\n")}\r\n`));
    }
  }

  #switch(): void {
    if (!this.#hasDisplay || this.#consoles.length === 0) return this.#help();
    this.#showsScreen = !this.#showsScreen;
    if (this.#showsScreen) {
      this.#output.write(encoder.encode(TERMINAL_ENTER));
      this.#screen.forget();
      this.#draw();
    } else {
      this.#output.write(encoder.encode(TERMINAL_LEAVE));
      this.#output.write(this.#consoles[0].bytes);
    }
  }
}

/** Characters that this terminal shows. */
export function terminalSize(): { columns: number; rows: number } {
  try {
    const size = Deno.consoleSize();
    // A terminal that nobody has told its size says 0.
    return size.columns > 0 && size.rows > 0 ? size : DEFAULT_SIZE;
  } catch {
    return DEFAULT_SIZE;
  }
}
