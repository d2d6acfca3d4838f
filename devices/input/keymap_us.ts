/** From text to the keys that type it on a US keyboard (ANSI INCITS 154). */

import type { KeyCode } from "./keymap.ts";

/** Keys that are held down together, in the order in which they go down. */
export type KeyPress = readonly KeyCode[];

/** What `pressesOf` makes of a text. */
export interface TypedText {
  /** What to press, one after the other. */
  readonly presses: readonly KeyPress[];
  /** Characters that the layout has no key for, each once, in the order of their appearance. */
  readonly unknown: readonly string[];
}

const PLAIN: Readonly<Record<string, KeyCode>> = {
  " ": "spc",
  "-": "minus",
  "=": "equal",
  "[": "bracket_left",
  "]": "bracket_right",
  ";": "semicolon",
  "'": "apostrophe",
  "`": "grave_accent",
  "\\": "backslash",
  ",": "comma",
  ".": "dot",
  "/": "slash",
  "\n": "ret",
  "\r": "ret",
  "\t": "tab",
  "\b": "backspace",
  "\x7f": "backspace",
  "\x1b": "esc",
};

/** The character that each key gives with Shift, by the one that it gives without. */
const SHIFTED: Readonly<Record<string, string>> = {
  "!": "1",
  "@": "2",
  "#": "3",
  "$": "4",
  "%": "5",
  "^": "6",
  "&": "7",
  "*": "8",
  "(": "9",
  ")": "0",
  "_": "-",
  "+": "=",
  "{": "[",
  "}": "]",
  ":": ";",
  '"': "'",
  "~": "`",
  "|": "\\",
  "<": ",",
  ">": ".",
  "?": "/",
};

/** Control characters that are not Ctrl with a letter: FSh to USh, and NUL. */
const CONTROL: Readonly<Record<string, KeyPress>> = {
  "\x00": ["ctrl", "2"],
  "\x1c": ["ctrl", "backslash"],
  "\x1d": ["ctrl", "bracket_right"],
  "\x1e": ["ctrl", "6"],
  "\x1f": ["ctrl", "minus"],
};

const plainKey = (char: string): KeyCode | undefined => {
  if (/^[a-z0-9]$/.test(char)) return char as KeyCode;
  return Object.hasOwn(PLAIN, char) ? PLAIN[char] : undefined;
};

/** The keys for one character, or undefined when the layout has none. */
export function pressFor(char: string): KeyPress | undefined {
  const plain = plainKey(char);
  if (plain !== undefined) return [plain];
  if (/^[A-Z]$/.test(char)) return ["shift", char.toLowerCase() as KeyCode];
  if (Object.hasOwn(SHIFTED, char)) return ["shift", plainKey(SHIFTED[char])!];
  if (Object.hasOwn(CONTROL, char)) return CONTROL[char];
  const code = char.charCodeAt(0);
  if (char.length === 1 && code >= 0x01 && code <= 0x1a) {
    return ["ctrl", String.fromCharCode(code + 0x60) as KeyCode];
  }
  return undefined;
}

/** The presses that type `text`; a carriage return and line feed together are one Return. */
export function pressesOf(text: string): TypedText {
  const presses: KeyPress[] = [];
  const unknown = new Set<string>();
  for (const char of text.replaceAll("\r\n", "\n")) {
    const press = pressFor(char);
    if (press !== undefined) presses.push(press);
    else unknown.add(char);
  }
  return { presses, unknown: [...unknown] };
}
