/**
 * INT 16h, keyboard. Waiting for a key is the stub's: it halts and asks again.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, INT 16h; Ralf Brown, INT 16.
 */

import { Bda, Ebda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { peekKey, pushKey } from "./int09.ts";

/**
 * Questions for a key within one tick (55 ms) without an answer, after which the guest is taken to do
 * nothing else and halts until its next interrupt: DOS at its prompt would keep a host processor busy.
 */
const IDLE_POLLS = 96;

/** Serves one call. */
export function int16(guest: Guest): void {
  const { memory } = guest.host;
  switch (guest.ah) {
    case 0x00:
    case 0x10:
      return readKey(guest, guest.ah === 0x10);
    case 0x01:
    case 0x11:
      return testKey(guest, guest.ah === 0x11);
    case 0x02:
      guest.al = memory.readU8(Bda.keyFlags);
      return;
    case 0x05:
      guest.al = pushKey(guest, guest.cx) ? 0 : 1;
      return;
    case 0x09:
      guest.al = 0x20; // AH=10h-12h are there, the repeat rate cannot be set
      return;
    case 0x0a:
      guest.bx = 0x41ab; // an MF2 keyboard behind a translating controller
      return;
    case 0x12:
      guest.al = memory.readU8(Bda.keyFlags);
      guest.ah = extendedFlags(memory.readU8(Bda.keyFlags2), memory.readU8(Bda.keyboardStatus));
      return;
    case 0x92: // how programs find out about AH=10h and 12h: AH is below 80h then
      guest.ah = 0x80;
      return;
    case 0xa2:
      guest.ah = 0x80;
      return;
  }
}

function readKey(guest: Guest, enhanced: boolean): void {
  for (let i = 0; i < 64; i++) {
    const word = peekKey(guest, true);
    if (word < 0) break;
    const key = translate(word, enhanced);
    if (key >= 0) {
      guest.ax = key;
      return;
    }
  }
  guest.goTo("wait16");
}

function testKey(guest: Guest, enhanced: boolean): void {
  for (let i = 0; i < 64; i++) {
    const word = peekKey(guest, false);
    if (word < 0) break;
    const key = translate(word, enhanced);
    if (key >= 0) {
      guest.ax = key;
      guest.zero = false;
      return;
    }
    peekKey(guest, true); // a key that this program cannot know
  }
  guest.zero = true;
  idle(guest);
}

function idle(guest: Guest): void {
  const { memory } = guest.host;
  const tick = memory.readU16(Bda.ticks);
  const polls = memory.readU16(Ebda.idleTick) === tick ? memory.readU16(Ebda.idlePolls) + 1 : 0;
  memory.writeU16(Ebda.idleTick, tick);
  memory.writeU16(Ebda.idlePolls, Math.min(polls, IDLE_POLLS));
  if (polls >= IDLE_POLLS) guest.goTo("idle16");
}

/** A word of the buffer as the old functions show it; -1: they do not. */
function translate(word: number, enhanced: boolean): number {
  const scan = word >>> 8;
  const character = word & 0xff;
  if (enhanced) return character === 0xf0 && scan !== 0 ? word & 0xff00 : word;
  if (scan === 0xe0) return character === 0x2f ? 0x352f : 0x1c00 | character;
  if (scan >= 0x85) return -1;
  if (character === 0xe0 && scan !== 0) return scan << 8;
  return character === 0xf0 && scan !== 0 ? -1 : word;
}

/** AH of AH=12h: which Ctrl and Alt keys are held, and which locks. */
function extendedFlags(flags2: number, status: number): number {
  return (flags2 & 0x73) | (status & 0x0c) | (flags2 & 0x04) << 5;
}
