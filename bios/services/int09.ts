/**
 * IRQ 1, the keyboard: from scan codes (set 1) to the key buffer and the shift flags in the BIOS data
 * area.
 *
 * Reference: IBM PC/AT Technical Reference, BIOS, "Keyboard"; BIOS data area 40:17h, 18h, 96h, 97h.
 */

import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { keyWords } from "./keyboard_table.ts";

const DATA = 0x60;
const STATUS = 0x64;
const STATUS_FULL = 0x01;
const STATUS_MOUSE = 0x20;

/** Bits of `Bda.keyFlags`. */
export const RIGHT_SHIFT = 0x01;
export const LEFT_SHIFT = 0x02;
export const CONTROL = 0x04;
export const ALT = 0x08;
const SCROLL_LOCK = 0x10;
const NUM_LOCK = 0x20;
const CAPS_LOCK = 0x40;
const INSERT = 0x80;
/** Bits of `Bda.keyFlags2`. */
const LEFT_CONTROL = 0x01;
const LEFT_ALT = 0x02;
const PAUSE = 0x08;
/** Bits of `Bda.keyboardStatus`. */
const PREFIX_E1 = 0x01;
const PREFIX_E0 = 0x02;
const RIGHT_CONTROL = 0x04;
const RIGHT_ALT = 0x08;

const WARM_RESET = 0x1234;
const DELETE = 0x53;
const PAUSE_KEY = 0x45;
const PRINT = 0x37;
const BREAK = 0x46;

/** First half: fetches the scan code into AL, if there is one of the keyboard's. */
export function int09(guest: Guest): void {
  const { ports } = guest.host;
  const status = ports.read(STATUS, 1);
  if ((status & STATUS_FULL) === 0 || (status & STATUS_MOUSE) !== 0) {
    return guest.goTo("keyNothing");
  }
  guest.al = ports.read(DATA, 1);
}

/** Second half: the scan code in AL, as INT 15h AH=4Fh left it. */
export function int09Key(guest: Guest): void {
  const { memory } = guest.host;
  const code = guest.al;
  const status = memory.readU8(Bda.keyboardStatus);
  if (code === 0xe0) return memory.writeU8(Bda.keyboardStatus, status | PREFIX_E0);
  if (code === 0xe1) return memory.writeU8(Bda.keyboardStatus, status | PREFIX_E1);
  if (code >= 0xf0) return; // acknowledgements and errors of the keyboard
  const scan = code & 0x7f;
  const pressed = (code & 0x80) === 0;
  if ((status & PREFIX_E1) !== 0) {
    // Pause sends E1 1D 45, E1 9D C5: the second byte ends the sequence.
    if (scan === 0x1d) return;
    memory.writeU8(Bda.keyboardStatus, status & ~PREFIX_E1);
    if (scan === PAUSE_KEY && pressed) pause(guest);
    return;
  }
  const extended = (status & PREFIX_E0) !== 0;
  memory.writeU8(Bda.keyboardStatus, status & ~PREFIX_E0);
  if (modifier(guest, scan, extended, pressed)) return;
  if (pressed) press(guest, scan, extended);
}

function pause(guest: Guest): void {
  const { memory } = guest.host;
  memory.writeU8(Bda.keyFlags2, memory.readU8(Bda.keyFlags2) | PAUSE);
  guest.goTo("keyPause");
}

function setBit(guest: Guest, address: number, bit: number, value: boolean): void {
  const { memory } = guest.host;
  const before = memory.readU8(address);
  memory.writeU8(address, value ? before | bit : before & ~bit);
}

/** Shift keys and locks; true when the key was one. */
function modifier(guest: Guest, scan: number, extended: boolean, pressed: boolean): boolean {
  switch (scan) {
    case 0x2a: // an extended one is made up by the keyboard around the grey keys
      if (!extended) setBit(guest, Bda.keyFlags, LEFT_SHIFT, pressed);
      return true;
    case 0x36:
      if (!extended) setBit(guest, Bda.keyFlags, RIGHT_SHIFT, pressed);
      return true;
    case 0x1d:
      if (extended) setBit(guest, Bda.keyboardStatus, RIGHT_CONTROL, pressed);
      else setBit(guest, Bda.keyFlags2, LEFT_CONTROL, pressed);
      setBit(
        guest,
        Bda.keyFlags,
        CONTROL,
        pressed || otherHeld(guest, RIGHT_CONTROL, LEFT_CONTROL),
      );
      return true;
    case 0x38:
      if (extended) setBit(guest, Bda.keyboardStatus, RIGHT_ALT, pressed);
      else setBit(guest, Bda.keyFlags2, LEFT_ALT, pressed);
      setBit(guest, Bda.keyFlags, ALT, pressed || otherHeld(guest, RIGHT_ALT, LEFT_ALT));
      if (!pressed) enterAltNumber(guest);
      return true;
    case 0x3a:
      lock(guest, CAPS_LOCK, pressed);
      return true;
    case PAUSE_KEY:
      if (extended) return false;
      lock(guest, NUM_LOCK, pressed);
      return true;
    case BREAK:
      if (extended || (guest.host.memory.readU8(Bda.keyFlags) & CONTROL) !== 0) return false;
      lock(guest, SCROLL_LOCK, pressed);
      return true;
  }
  return false;
}

function otherHeld(guest: Guest, right: number, left: number): boolean {
  const { memory } = guest.host;
  return (memory.readU8(Bda.keyboardStatus) & right) !== 0 ||
    (memory.readU8(Bda.keyFlags2) & left) !== 0;
}

/** A lock key: its bit in `keyFlags2` tells that it is held, so that repeats do not toggle. */
function lock(guest: Guest, bit: number, pressed: boolean): void {
  const { memory } = guest.host;
  if (pressed && (memory.readU8(Bda.keyFlags2) & bit) === 0) {
    const flags = memory.readU8(Bda.keyFlags) ^ bit;
    memory.writeU8(Bda.keyFlags, flags);
    const leds = memory.readU8(Bda.keyboardLeds) & ~7;
    memory.writeU8(Bda.keyboardLeds, leds | ((flags >>> 4) & 7));
  }
  setBit(guest, Bda.keyFlags2, bit, pressed);
}

/** Alt let go after digits on the keypad: the character with that number. */
function enterAltNumber(guest: Guest): void {
  const { memory } = guest.host;
  const number = memory.readU8(Bda.altNumber);
  memory.writeU8(Bda.altNumber, 0);
  if (number !== 0) pushKey(guest, number);
}

function press(guest: Guest, scan: number, extended: boolean): void {
  const { memory } = guest.host;
  const flags = memory.readU8(Bda.keyFlags);
  if ((memory.readU8(Bda.keyFlags2) & PAUSE) !== 0) {
    return setBit(guest, Bda.keyFlags2, PAUSE, false);
  }
  const control = (flags & CONTROL) !== 0;
  const alt = (flags & ALT) !== 0;
  if (scan === DELETE && control && alt) {
    memory.writeU16(Bda.resetFlag, WARM_RESET);
    return guest.goTo("reboot");
  }
  if (scan === BREAK && control) return controlBreak(guest);
  if (scan === PRINT && extended) return guest.goTo("keyPrint");
  const digit = keypadDigit(scan);
  if (alt && !extended && digit >= 0) {
    return memory.writeU8(Bda.altNumber, memory.readU8(Bda.altNumber) * 10 + digit);
  }
  const words = keyWords(scan, extended) ?? (extended ? keyWords(scan, false) : undefined);
  if (words === undefined) return;
  if (scan === 0x52) memory.writeU8(Bda.keyFlags, flags ^ INSERT);
  let shifted = (flags & (LEFT_SHIFT | RIGHT_SHIFT)) !== 0;
  if (words.letter && (flags & CAPS_LOCK) !== 0) shifted = !shifted;
  if (words.keypad && (flags & NUM_LOCK) !== 0) shifted = !shifted;
  const word = alt ? words.alt : control ? words.control : shifted ? words.shift : words.plain;
  if (word >= 0) pushKey(guest, word);
}

/** The digit on a key of the keypad, by scan code. */
function keypadDigit(scan: number): number {
  return [7, 8, 9, -1, 4, 5, 6, -1, 1, 2, 3, 0][scan - 0x47] ?? -1;
}

function controlBreak(guest: Guest): void {
  const { memory } = guest.host;
  const start = memory.readU16(Bda.keyBufferStart);
  memory.writeU16(Bda.keyHead, start);
  memory.writeU16(Bda.keyTail, start);
  memory.writeU8(Bda.breakFlag, 0x80);
  pushKey(guest, 0);
  guest.goTo("keyBreak");
}

/** Appends a word to the key buffer; false when it is full. */
export function pushKey(guest: Guest, word: number): boolean {
  const { memory } = guest.host;
  const tail = memory.readU16(Bda.keyTail);
  const next = nextSlot(guest, tail);
  if (next === memory.readU16(Bda.keyHead)) return false;
  memory.writeU16(0x400 + tail, word);
  memory.writeU16(Bda.keyTail, next);
  return true;
}

/** The oldest word of the key buffer, or -1; `remove` takes it out. */
export function peekKey(guest: Guest, remove: boolean): number {
  const { memory } = guest.host;
  const head = memory.readU16(Bda.keyHead);
  if (head === memory.readU16(Bda.keyTail)) return -1;
  if (remove) memory.writeU16(Bda.keyHead, nextSlot(guest, head));
  return memory.readU16(0x400 + head);
}

function nextSlot(guest: Guest, slot: number): number {
  const { memory } = guest.host;
  const end = memory.readU16(Bda.keyBufferEnd);
  return slot + 2 >= end ? memory.readU16(Bda.keyBufferStart) : slot + 2;
}
