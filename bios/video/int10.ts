/**
 * INT 10h, video: modes, text, palette, fonts, state.
 *
 * Reference: IBM VGA Technical Reference, BIOS interface; Ralf Brown's Interrupt List, INT 10.
 */

import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { fontService } from "./font.ts";
import {
  readGraphicsCell,
  readPixel,
  scrollGraphics,
  writeGraphicsCell,
  writePixel,
} from "./graphics.ts";
import { paletteService } from "./palette.ts";
import { displayCombination, functionalityState } from "./state.ts";
import type { TextScreen } from "./text_screen.ts";
import { isGraphics, setVideoMode } from "./video_mode.ts";

/** Serves one call. */
export function int10(guest: Guest, screen: TextScreen): void {
  const { memory } = guest.host;
  switch (guest.ah) {
    case 0x00:
      setVideoMode(guest, screen, guest.al & 0x7f, (guest.al & 0x80) === 0);
      guest.al = guest.al === 6 ? 0x3f : (guest.al & 0x7f) > 7 ? 0x20 : 0x30;
      return;
    case 0x01:
      return screen.setCursorShape(guest.ch, guest.cl);
    case 0x02:
      return screen.setCursor(guest.bh, guest.dh, guest.dl);
    case 0x03: {
      const { row, column } = screen.cursor(guest.bh);
      guest.cx = memory.readU16(Bda.cursorShape);
      guest.dx = row << 8 | column;
      guest.ax = 0;
      return;
    }
    case 0x04: // light pen: there is none
      guest.ah = 0;
      return;
    case 0x05:
      return screen.selectPage(guest.al);
    case 0x06:
    case 0x07:
      return scroll(guest, screen);
    case 0x08:
      guest.ax = readCell(guest, screen);
      return;
    case 0x09:
    case 0x0a:
      return writeCells(guest, screen);
    case 0x0b:
      return paletteService(guest);
    case 0x0c:
      return writePixel(guest, guest.cx, guest.dx, guest.al);
    case 0x0d:
      guest.al = readPixel(guest, guest.cx, guest.dx);
      return;
    case 0x0e:
      return teletype(guest, screen, screen.page, guest.al, guest.bl);
    case 0x0f:
      guest.al = memory.readU8(Bda.videoMode) | (memory.readU8(Bda.videoControl) & 0x80);
      guest.ah = screen.columns;
      guest.bh = screen.page;
      return;
    case 0x10:
      return paletteService(guest);
    case 0x11:
      return fontService(guest, screen);
    case 0x12:
      return alternateSelect(guest);
    case 0x13:
      return writeString(guest, screen);
    case 0x1a:
      return displayCombination(guest);
    case 0x1b:
      return functionalityState(guest);
    case 0x4f: // VESA: without a linear frame buffer there is none, and AL stays what it was
      return;
  }
}

function scroll(guest: Guest, screen: TextScreen): void {
  const box = { top: guest.ch, left: guest.cl, bottom: guest.dh, right: guest.dl };
  const lines = guest.ah === 6 ? guest.al : -guest.al;
  if (isGraphics(guest)) scrollGraphics(guest, screen, box, lines, guest.bh);
  else screen.scroll(screen.page, box, lines, guest.bh);
}

function readCell(guest: Guest, screen: TextScreen): number {
  const { row, column } = screen.cursor(guest.bh);
  if (isGraphics(guest)) return readGraphicsCell(guest, row, column);
  return screen.readCell(guest.bh, row, column);
}

function writeCells(guest: Guest, screen: TextScreen): void {
  const page = guest.bh;
  let { row, column } = screen.cursor(page);
  const graphics = isGraphics(guest);
  const limit = screen.columns * screen.rows;
  for (let i = Math.min(guest.cx, limit); i > 0; i--) {
    if (graphics) writeGraphicsCell(guest, row, column, guest.al, guest.bl);
    else screen.writeCell(page, row, column, guest.al, guest.ah === 9 ? guest.bl : undefined);
    if (++column >= screen.columns) {
      column = 0;
      row++;
    }
  }
}

/** AH=0Eh, in graphics modes too. */
function teletype(
  guest: Guest,
  screen: TextScreen,
  page: number,
  character: number,
  attribute: number,
  useAttribute = false,
): void {
  if (!isGraphics(guest)) {
    return screen.teletype(page, character, useAttribute ? attribute : undefined);
  }
  const before = screen.cursor(page);
  if (character > 13 || ![7, 8, 10, 13].includes(character)) {
    writeGraphicsCell(guest, before.row, before.column, character, attribute);
  }
  advance(guest, screen, page, character);
}

/** Moves the cursor over a character in a graphics mode, scrolling at the end. */
function advance(guest: Guest, screen: TextScreen, page: number, character: number): void {
  let { row, column } = screen.cursor(page);
  if (character === 7) return;
  if (character === 8) column = Math.max(0, column - 1);
  else if (character === 10) row++;
  else if (character === 13) column = 0;
  else if (++column >= screen.columns) {
    column = 0;
    row++;
  }
  if (row >= screen.rows) {
    row = screen.rows - 1;
    const box = { top: 0, left: 0, bottom: row, right: screen.columns - 1 };
    scrollGraphics(guest, screen, box, 1, 0);
  }
  screen.setCursor(page, row, column);
}

/** Characters after which a string may be cut when the machine is to stop. */
const LONG_STRING = 2048;

/** AH=13h: a string, AL bit 0 moves the cursor, bit 1 has attributes in the string. */
function writeString(guest: Guest, screen: TextScreen): void {
  const page = guest.bh;
  const saved = screen.cursor(page);
  const withAttributes = (guest.al & 2) !== 0;
  screen.setCursor(page, guest.dh, guest.dl);
  let at = guest.bp;
  const next = () => guest.space.read8(guest.linear(guest.registers.es, at++));
  for (let i = 0; i < guest.cx; i++) {
    // No honest string is that long; thousands of lines scrolled would keep the machine from stopping.
    if (i > LONG_STRING && guest.host.stopped()) break;
    const character = next();
    teletype(guest, screen, page, character, withAttributes ? next() : guest.bl, true);
  }
  if ((guest.al & 1) === 0) screen.setCursor(page, saved.row, saved.column);
}

/** AH=12h: information and switches; what is only a switch of the hardware says "done". */
function alternateSelect(guest: Guest): void {
  const { memory } = guest.host;
  switch (guest.bl) {
    case 0x10:
      guest.bx = 0x0003; // colour, 256 KiB
      guest.cx = memory.readU8(Bda.videoSwitches) & 0x0f;
      return;
    case 0x30: { // scan lines of text modes: 0 = 200, 1 = 350, 2 = 400
      const options = memory.readU8(Bda.videoModeOptions) & 0x6f;
      memory.writeU8(Bda.videoModeOptions, options | [0x80, 0x00, 0x10][guest.al % 3]);
      guest.al = 0x12;
      return;
    }
    case 0x31:
    case 0x32:
    case 0x33:
    case 0x34:
    case 0x35:
    case 0x36:
      guest.al = 0x12;
      return;
  }
}
