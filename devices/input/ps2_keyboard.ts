/**
 * PS/2 keyboard with 102 keys and three scan-code sets.
 *
 * Reference: IBM Personal System/2 hardware interface technical reference (1990), section "Keyboards
 * (101- and 102-key)": commands from the system, scan-code sets, key types.
 *
 * Left to the host: repeating a key that is held (it sends `key(code, true)` again). Left out: the
 * extra shift codes around the grey cursor keys while Num Lock is on, and the self-test's half second.
 *
 * The controller holds the lock; so must whoever calls `key`.
 */

import type { Device } from "../../hv/core/bus/device.ts";
import { bytes, bytesOf, flag, record, ring, u8 } from "../../hv/core/state/record.ts";
import { EXTENDED, type KeyCode, KEYS } from "./keymap.ts";
import { Ps2Answer, type Ps2Device, Ps2Output } from "./ps2_device.ts";

/** Commands from the system. */
const SET_LEDS = 0xed;
const ECHO = 0xee;
const SCAN_CODE_SET = 0xf0;
const READ_ID = 0xf2;
const SET_TYPEMATIC = 0xf3;
const ENABLE = 0xf4;
const DEFAULT_DISABLE = 0xf5;
const SET_DEFAULT = 0xf6;
/** Key types of set 3, all keys: typematic, make/break, make, typematic with break. */
const ALL_TYPEMATIC = 0xf7;
const ALL_MAKE_BREAK = 0xf8;
const ALL_MAKE = 0xf9;
const ALL_TYPEMATIC_MAKE_BREAK = 0xfa;
/** The same for the keys whose codes follow. */
const KEY_TYPEMATIC = 0xfb;
const KEY_MAKE_BREAK = 0xfc;
const KEY_MAKE = 0xfd;
const RESEND = 0xfe;
const RESET = 0xff;
/** No argument may look like one of these. */
const FIRST_COMMAND = SET_LEDS;

const ID = [0xab, 0x83];
const EXTENDED_PREFIX = 0xe0;
const PAUSE_PREFIX = 0xe1;
const BREAK_PREFIX = 0xf0;
const BREAK_BIT = 0x80;
/** Default rate: 10.9 a second after half a second. */
const DEFAULT_TYPEMATIC = 0x2b;
/** Keys of set 3 that send a break by default: Ctrl, Shift, Caps Lock, Alt, right Shift. */
const SET3_BREAK_BY_DEFAULT = [0x11, 0x12, 0x14, 0x19, 0x59];

/** Bytes of keys not yet fetched; the original had room for 16. */
const QUEUE_BYTES = 32;

/** Held modifiers. */
const SHIFT = 0x03;
const CTRL = 0x0c;
const ALT = 0x30;
const MODIFIERS: Partial<Record<KeyCode, number>> = {
  shift: 0x01,
  shift_r: 0x02,
  ctrl: 0x04,
  ctrl_r: 0x08,
  alt: 0x10,
  alt_r: 0x20,
};

/** The keyboard's state. */
export const Ps2KeyboardState = record("ps2_keyboard", 1, {
  /** Do keys send anything? */
  scanning: flag,
  /** Scan-code set, 1 to 3. */
  codeSet: u8,
  /** Scroll, Num and Caps Lock in bits 0 to 2. */
  leds: u8,
  typematic: u8,
  /** The command whose argument is awaited; 0: none. */
  awaiting: u8,
  lastSent: u8,
  /** Bits of `MODIFIERS`. */
  held: u8,
  /** For each code of set 3 a bit: does that key send a break? */
  set3Break: bytes(32),
  /** Answers to commands, which go before keys. */
  answers: ring(16),
  queue: ring(QUEUE_BYTES),
});
/** A view of `Ps2KeyboardState`. */
export type Ps2KeyboardState = InstanceType<typeof Ps2KeyboardState>;

/** See above. */
export class Ps2Keyboard implements Device, Ps2Device {
  onData: () => void = () => {};
  readonly #state: Ps2KeyboardState;
  readonly #output: Ps2Output;

  constructor(state: Ps2KeyboardState) {
    this.#state = state;
    this.#output = new Ps2Output(state);
  }

  reset(): void {
    bytesOf(this.#state).fill(0);
    this.#setDefaults();
    this.#state.scanning = true;
  }

  /**
   * A key goes down or up.
   *
   * @returns False when the guest will not hear of it: it has switched the keyboard off, or has not
   *   fetched earlier keys and there is no room (it will be told of an overrun).
   */
  key(code: KeyCode, down: boolean): boolean {
    const s = this.#state;
    const sequence = this.#sequence(code, down);
    const modifier = MODIFIERS[code] ?? 0;
    s.held = down ? s.held | modifier : s.held & ~modifier;
    if (!s.scanning) return false;
    const { queue } = s;
    // The last place is for the overrun, which is reported once.
    if (queue.length + sequence.length >= QUEUE_BYTES) {
      const overrun = s.codeSet === 1 ? 0xff : 0x00;
      if (queue.peek(queue.length - 1) !== overrun) queue.push(overrun);
      return false;
    }
    for (const byte of sequence) queue.push(byte);
    if (sequence.length > 0) this.onData();
    return true;
  }

  /** Has the guest fetched every key so far? Who types text waits for that. */
  get idle(): boolean {
    return this.#state.queue.length === 0;
  }

  /** Lit lamps: bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock. */
  get leds(): number {
    return this.#state.leds;
  }

  get pending(): boolean {
    return this.#output.pending;
  }

  take(): number {
    return this.#output.take();
  }

  send(byte: number): void {
    const s = this.#state;
    byte &= 0xff;
    const command = s.awaiting;
    if (command !== 0 && byte < FIRST_COMMAND) this.#argument(command, byte);
    else this.#command(byte);
    if (this.pending) this.onData();
  }

  #answer(...answer: number[]): void {
    this.#output.answer(...answer);
  }

  #setDefaults(): void {
    const s = this.#state;
    s.codeSet = 2;
    s.leds = 0;
    s.typematic = DEFAULT_TYPEMATIC;
    s.awaiting = 0;
    s.queue.clear();
    s.set3Break.fill(0);
    for (const code of SET3_BREAK_BY_DEFAULT) this.#setBreak(code, true);
  }

  #command(command: number): void {
    const s = this.#state;
    s.awaiting = 0;
    switch (command) {
      case SET_LEDS:
      case SCAN_CODE_SET:
      case SET_TYPEMATIC:
      case KEY_TYPEMATIC:
      case KEY_MAKE_BREAK:
      case KEY_MAKE:
        s.awaiting = command;
        return this.#answer(Ps2Answer.ack);
      case ECHO:
        return this.#answer(Ps2Answer.echo);
      case READ_ID:
        return this.#answer(Ps2Answer.ack, ...ID);
      case ENABLE:
        s.queue.clear();
        s.scanning = true;
        return this.#answer(Ps2Answer.ack);
      case DEFAULT_DISABLE:
        this.#setDefaults();
        s.scanning = false;
        return this.#answer(Ps2Answer.ack);
      case SET_DEFAULT:
        this.#setDefaults();
        return this.#answer(Ps2Answer.ack);
      case ALL_TYPEMATIC:
      case ALL_MAKE:
        s.set3Break.fill(0);
        return this.#answer(Ps2Answer.ack);
      case ALL_MAKE_BREAK:
      case ALL_TYPEMATIC_MAKE_BREAK:
        s.set3Break.fill(0xff);
        return this.#answer(Ps2Answer.ack);
      case RESEND:
        return this.#answer(s.lastSent);
      case RESET:
        s.answers.clear();
        this.#setDefaults();
        s.scanning = true;
        return this.#answer(Ps2Answer.ack, Ps2Answer.bat);
      default:
        return this.#answer(Ps2Answer.resend);
    }
  }

  #argument(command: number, value: number): void {
    const s = this.#state;
    s.awaiting = 0;
    switch (command) {
      case SET_LEDS:
        s.leds = value & 7;
        return this.#answer(Ps2Answer.ack);
      case SET_TYPEMATIC:
        s.typematic = value & 0x7f;
        return this.#answer(Ps2Answer.ack);
      case SCAN_CODE_SET:
        if (value > 3) return this.#answer(Ps2Answer.resend);
        if (value === 0) return this.#answer(Ps2Answer.ack, s.codeSet);
        s.codeSet = value;
        s.queue.clear();
        return this.#answer(Ps2Answer.ack);
      default: // a key type: more codes may follow
        s.awaiting = command;
        this.#setBreak(value, command === KEY_MAKE_BREAK);
        return this.#answer(Ps2Answer.ack);
    }
  }

  #setBreak(code: number, sends: boolean): void {
    const bits = this.#state.set3Break;
    if (sends) bits[code >> 3] |= 1 << (code & 7);
    else bits[code >> 3] &= ~(1 << (code & 7));
  }

  #sequence(code: KeyCode, down: boolean): number[] {
    const { codeSet, held, set3Break } = this.#state;
    const [set1, set2, set3] = KEYS[code];
    if (codeSet === 3) {
      if (down) return [set3];
      return set3Break[set3 >> 3] & (1 << (set3 & 7)) ? [BREAK_PREFIX, set3] : [];
    }
    if (code === "print") return this.#printScreen(down);
    if (code === "pause") {
      if (!down) return [];
      if (held & CTRL) return [...this.#plain(set1, set2, true), ...this.#plain(set1, set2, false)];
      return codeSet === 1
        ? [PAUSE_PREFIX, 0x1d, 0x45, PAUSE_PREFIX, 0x9d, 0xc5]
        : [PAUSE_PREFIX, 0x14, 0x77, PAUSE_PREFIX, BREAK_PREFIX, 0x14, BREAK_PREFIX, 0x77];
    }
    return this.#plain(set1, set2, down);
  }

  #plain(set1: number, set2: number, down: boolean): number[] {
    const prefix = set1 & EXTENDED ? [EXTENDED_PREFIX] : [];
    if (this.#state.codeSet === 1) return [...prefix, (set1 & 0xff) | (down ? 0 : BREAK_BIT)];
    return down ? [...prefix, set2 & 0xff] : [...prefix, BREAK_PREFIX, set2 & 0xff];
  }

  /** Print Screen shifts itself, unless something is held that makes it another key. */
  #printScreen(down: boolean): number[] {
    const { held } = this.#state;
    if (held & ALT) return this.#plain(0x54, 0x84, down); // system request
    const [set1, set2] = KEYS.print;
    const print = this.#plain(set1, set2, down);
    if (held & (SHIFT | CTRL)) return print;
    const shift = this.#plain(EXTENDED | 0x2a, EXTENDED | 0x12, down);
    return down ? [...shift, ...print] : [...print, ...shift];
  }
}
