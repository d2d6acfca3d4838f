/**
 * From the bytes that a terminal sends to key presses: UTF-8, control characters, ESC as a prefix of
 * Alt, and the sequences of ECMA-48 as xterm, the Linux console, rxvt and the CSI u convention use
 * them. Sequences may be cut anywhere by the host's reads.
 */

import type { KeyCode } from "../../../devices/input/keymap.ts";
import { pressFor } from "../../../devices/input/keymap_us.ts";

/** A key with what is held down with it; names as in QEMU's `sendkey`. */
export interface NamedKey {
  /** The key that is pressed. */
  readonly key: KeyCode;
  /** Shift is held down. */
  readonly shift?: true;
  /** Control is held down. */
  readonly ctrl?: true;
  /** Alt is held down. */
  readonly alt?: true;
}

/** What was typed: a key by name, or a character whatever keys make it. */
export type TypedKey = NamedKey | { readonly text: string };

const ESC = 0x1b;
/** A sequence longer than this is none: it is dropped. */
const MAX_SEQUENCE = 64;

/** Final letters of CSI and SS3 sequences. */
const LETTERS: Record<string, KeyCode> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  F: "end",
  H: "home",
  P: "f1",
  Q: "f2",
  R: "f3",
  S: "f4",
  a: "up",
  b: "down",
  c: "right",
  d: "left",
};
/** The keypad in application mode, after SS3. */
const KEYPAD: Record<string, KeyCode> = {
  M: "kp_enter",
  j: "kp_multiply",
  k: "kp_add",
  m: "kp_subtract",
  n: "kp_decimal",
  o: "kp_divide",
};
/** First parameter of sequences that end in a tilde. */
const NUMBERS: Record<number, KeyCode> = {
  1: "home",
  2: "insert",
  3: "delete",
  4: "end",
  5: "pgup",
  6: "pgdn",
  7: "home",
  8: "end",
  29: "menu",
};
for (const [first, count, number] of [[11, 5, 1], [17, 5, 6], [23, 2, 11]]) {
  for (let i = 0; i < count; i++) NUMBERS[first + i] = `f${number + i}` as KeyCode;
}

/** What is held down: xterm's parameter less one. */
const SHIFT = 1;
const ALT = 2;
const CTRL = 4;

/** Bytes taken (0: more are needed) and the key press they mean, if any. */
type Parsed = readonly [taken: number, press?: TypedKey];

function held(key: KeyCode, modifiers: number): NamedKey {
  return {
    key,
    ...(modifiers & SHIFT ? { shift: true } : {}),
    ...(modifiers & CTRL ? { ctrl: true } : {}),
    ...(modifiers & ALT ? { alt: true } : {}),
  };
}

/** A character with modifiers. Without Ctrl and Alt it is text, whatever the layout. */
function character(code: number, modifiers: number): TypedKey | undefined {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
  const text = String.fromCodePoint(code);
  const isControl = code < 0x20 || code === 0x7f;
  if (!isControl && (modifiers & (CTRL | ALT)) === 0) return { text };
  const press = pressFor(text);
  if (press === undefined) return isControl ? undefined : { text };
  if (press.includes("shift")) modifiers |= SHIFT;
  if (press.includes("ctrl")) modifiers |= CTRL;
  return held(press[press.length - 1], modifiers);
}

/** See above. */
export class TerminalKeys {
  #pending: number[] = [];

  /** Does the beginning of a sequence wait for the rest? Call `flush` when nothing comes (50 ms). */
  get isPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Takes what the terminal sent and gives the key presses that are complete. */
  feed(bytes: Uint8Array): TypedKey[] {
    const all = [...this.#pending, ...bytes];
    const presses: TypedKey[] = [];
    let at = 0;
    while (at < all.length) {
      const [taken, press] = parse(all, at);
      if (taken === 0) {
        if (all.length - at <= MAX_SEQUENCE) break;
        at += MAX_SEQUENCE;
        continue;
      }
      if (press !== undefined) presses.push(press);
      at += taken;
    }
    this.#pending = all.slice(at);
    return presses;
  }

  /** Nothing more came: what waits was typed by hand (ESC, or Alt with [ or O), or is dropped. */
  flush(): TypedKey[] {
    const [first, second, ...rest] = this.#pending;
    this.#pending = [];
    if (first !== ESC) return [];
    if (second === undefined) return [{ key: "esc" }];
    if (rest.length > 0) return [];
    if (second === ESC) return [{ key: "esc" }, { key: "esc" }];
    const press = character(second, ALT);
    return press === undefined ? [] : [press];
  }
}

function parse(bytes: number[], at: number): Parsed {
  const first = bytes[at];
  if (first === ESC) return parseEscape(bytes, at);
  if (first < 0x80) return [1, character(first, 0)];
  return parseUtf8(bytes, at);
}

function parseEscape(bytes: number[], at: number): Parsed {
  const second = bytes[at + 1];
  switch (second) {
    case undefined:
      return [0];
    case 0x5b: // [
      return parseCsi(bytes, at);
    case 0x4f: // O
      return parseSs3(bytes, at);
    case ESC: {
      // Alt with a sequence, as rxvt sends it; otherwise the first ESC stands for itself.
      const third = bytes[at + 2];
      if (third === undefined) return [0];
      if (third !== 0x5b && third !== 0x4f) return [1, { key: "esc" }];
      const [taken, press] = parseEscape(bytes, at + 1);
      if (taken === 0) return [0];
      return [taken + 1, press && "key" in press ? { ...press, alt: true } : press];
    }
  }
  if (second < 0x80) return [2, character(second, ALT)];
  const [taken, press] = parseUtf8(bytes, at + 1);
  return taken === 0 ? [0] : [taken + 1, press];
}

/** ESC O, a letter. */
function parseSs3(bytes: number[], at: number): Parsed {
  if (at + 2 >= bytes.length) return [0];
  const letter = String.fromCharCode(bytes[at + 2]);
  if (letter in KEYPAD) return [3, { key: KEYPAD[letter] }];
  if (letter >= "p" && letter <= "y") {
    return [3, { key: `kp_${letter.charCodeAt(0) - 0x70}` as KeyCode }];
  }
  // rxvt: lower-case arrows with Ctrl.
  if (letter in LETTERS) return [3, held(LETTERS[letter], letter >= "a" ? CTRL : 0)];
  return [3];
}

/** ESC [, parameters, intermediates, a final byte (ECMA-48, 5.4). */
function parseCsi(bytes: number[], at: number): Parsed {
  let end = at + 2;
  // The Linux console's F1 to F5: ESC [ [ A to E.
  if (bytes[end] === 0x5b) {
    if (end + 1 >= bytes.length) return [0];
    const number = bytes[end + 1] - 0x40;
    return [4, number >= 1 && number <= 5 ? { key: `f${number}` as KeyCode } : undefined];
  }
  while (end < bytes.length && bytes[end] >= 0x20 && bytes[end] <= 0x3f) end++;
  if (end === bytes.length) return [0];
  const taken = end - at + 1;
  // A control character in a sequence ends it: the character is taken for itself.
  if (bytes[end] < 0x40 || bytes[end] > 0x7e) return [taken - 1];
  const body = String.fromCharCode(...bytes.slice(at + 2, end).slice(0, MAX_SEQUENCE));
  return [taken, csiKey(body, String.fromCharCode(bytes[end]))];
}

function csiKey(body: string, final: string): TypedKey | undefined {
  if (!/^[0-9;:]*$/.test(body)) return undefined;
  // Sub-parameters, behind colons, are CSI u's: of the modifiers, the second tells press from release.
  const parameters = body.split(";").map((parameter) => parameter.split(":").map(Number));
  const number = parameters[0][0];
  const [modifier = 1, event = 1] = parameters[1] ?? [];
  const modifiers = Math.max(0, modifier - 1) & (SHIFT | ALT | CTRL);
  if (event === 3) return undefined;
  switch (final) {
    case "~":
      if (number === 27 && parameters.length >= 3) return character(parameters[2][0], modifiers);
      return number in NUMBERS ? held(NUMBERS[number], modifiers) : undefined;
    case "^": // rxvt: Ctrl
      return number in NUMBERS ? held(NUMBERS[number], CTRL) : undefined;
    case "@": // rxvt: Ctrl and Shift
      return number in NUMBERS ? held(NUMBERS[number], CTRL | SHIFT) : undefined;
    case "u":
      return character(number, modifiers);
    case "Z":
      return { key: "tab", shift: true };
  }
  // A first parameter other than 1 makes it an answer of the terminal's, not a key.
  if (!(final in LETTERS) || number > 1) return undefined;
  return held(LETTERS[final], modifiers | (final >= "a" ? SHIFT : 0));
}

/** One character of more than one byte; bytes that are none are dropped one by one. */
function parseUtf8(bytes: number[], at: number): Parsed {
  const first = bytes[at];
  const length = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
  if (length === 1 || first >= 0xf5) return [1];
  let code = first & (0x7f >> length);
  for (let i = 1; i < length; i++) {
    const next = bytes[at + i];
    if (next === undefined) return [0];
    if ((next & 0xc0) !== 0x80) return [1];
    code = (code << 6) | (next & 0x3f);
  }
  const isOverlong = code < [0, 0, 0x80, 0x800, 0x10000][length];
  return [length, isOverlong ? undefined : character(code, 0)];
}
