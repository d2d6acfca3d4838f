/**
 * The screen in text modes: characters, cursor, scrolling, pages, as INT 10h and the firmware's own
 * messages use them. Cells go through the video window, cursor and start address through the CRTC.
 */

import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";

/** CRT controller registers. */
const CRTC_CURSOR_START = 0x0a;
const CRTC_CURSOR_END = 0x0b;
const CRTC_START_HIGH = 0x0c;
const CRTC_CURSOR_HIGH = 0x0e;
const BLANK = 0x20;
const BELL = 7;
const BACKSPACE = 8;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
/** Attribute of the firmware's messages and of rows that a teletype scrolls in on an empty screen. */
export const GREY_ON_BLACK = 0x07;

/** A rectangle of cells, both corners included. */
export interface Box {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** See above. */
export class TextScreen {
  readonly #guest: Guest;

  constructor(guest: Guest) {
    this.#guest = guest;
  }

  get columns(): number {
    return this.#memory.readU16(Bda.videoColumns) || 80;
  }

  get rows(): number {
    return this.#memory.readU8(Bda.videoRows) + 1;
  }

  /** The page that is shown. */
  get page(): number {
    return this.#memory.readU8(Bda.videoPage) & 7;
  }

  /** Row and column of a page's cursor. */
  cursor(page: number): { row: number; column: number } {
    const at = Bda.cursorPositions + (page & 7) * 2;
    return { row: this.#memory.readU8(at + 1), column: this.#memory.readU8(at) };
  }

  /** Moves a page's cursor, on the screen as well when the page is shown. */
  setCursor(page: number, row: number, column: number): void {
    const at = Bda.cursorPositions + (page & 7) * 2;
    this.#memory.writeU8(at, column);
    this.#memory.writeU8(at + 1, row);
    if ((page & 7) === this.page) this.#crtc16(CRTC_CURSOR_HIGH, this.#cell(page, row, column));
  }

  /** Lines of the cursor; bit 5 of `start` hides it. */
  setCursorShape(start: number, end: number): void {
    this.#memory.writeU16(Bda.cursorShape, (start & 0xff) << 8 | (end & 0xff));
    this.#crtc(CRTC_CURSOR_START, start & 0x3f);
    this.#crtc(CRTC_CURSOR_END, end & 0x1f);
  }

  /** Shows another page. */
  selectPage(page: number): void {
    const bytes = this.#memory.readU16(Bda.videoPageBytes);
    this.#memory.writeU8(Bda.videoPage, page & 7);
    this.#memory.writeU16(Bda.videoPageStart, (page & 7) * bytes);
    this.#crtc16(CRTC_START_HIGH, ((page & 7) * bytes) >>> 1);
    const { row, column } = this.cursor(page);
    this.setCursor(page, row, column);
  }

  /** Character (low byte) and attribute (high byte) at a place. */
  readCell(page: number, row: number, column: number): number {
    const at = this.#address(page, row, column);
    return at < 0 ? BLANK : this.#guest.host.bus.read(at, 2) & 0xffff;
  }

  /** Writes character and, unless undefined, attribute. */
  writeCell(
    page: number,
    row: number,
    column: number,
    character: number,
    attribute?: number,
  ): void {
    const at = this.#address(page, row, column);
    if (at < 0) return;
    const { bus } = this.#guest.host;
    if (attribute === undefined) bus.write(at, 1, character & 0xff);
    else bus.write(at, 2, (attribute & 0xff) << 8 | (character & 0xff));
  }

  /** Scrolls a box by `lines` (positive: up); 0, or more than there are, clears it. */
  scroll(page: number, box: Box, lines: number, attribute: number): void {
    const right = Math.min(box.right, this.columns - 1);
    const bottom = Math.min(box.bottom, this.rows - 1);
    const height = bottom - box.top + 1;
    if (height <= 0 || right < box.left) return;
    const count = lines === 0 ? height : Math.min(Math.abs(lines), height);
    const up = lines >= 0;
    for (let i = 0; i < height; i++) {
      const row = up ? box.top + i : bottom - i;
      const from = up ? row + count : row - count;
      const inside = i + count < height;
      this.#moveRow(page, row, inside ? from : -1, box.left, right, attribute);
    }
  }

  /** Writes as INT 10h AH=0Eh does: control characters act, the screen scrolls at its end. */
  teletype(page: number, character: number, attribute?: number): void {
    let { row, column } = this.cursor(page);
    if (character === BELL) return;
    if (character === BACKSPACE) column = Math.max(0, column - 1);
    else if (character === LINE_FEED) row++;
    else if (character === CARRIAGE_RETURN) column = 0;
    else {
      this.writeCell(page, row, column, character, attribute);
      column++;
    }
    if (column >= this.columns) {
      column = 0;
      row++;
    }
    if (row >= this.rows) {
      row = this.rows - 1;
      const fill = this.readCell(page, row, Math.min(column, this.columns - 1)) >>> 8;
      const box = { top: 0, left: 0, bottom: row, right: this.columns - 1 };
      this.scroll(page, box, 1, attribute ?? fill);
    }
    this.setCursor(page, row, column);
  }

  #moveRow(
    page: number,
    to: number,
    from: number,
    left: number,
    right: number,
    fill: number,
  ): void {
    const { bus } = this.#guest.host;
    const target = this.#address(page, to, left);
    if (target < 0) return;
    const source = from < 0 ? -1 : this.#address(page, from, left);
    const blank = (fill & 0xff) << 8 | BLANK;
    const length = (right - left + 1) * 2;
    for (let i = 0; i < length;) {
      const size = length - i >= 4 ? 4 : 2; // two cells at a time
      const cells = source < 0 ? blank * 0x1_0001 : bus.read(source + i, size);
      bus.write(target + i, size, size === 4 ? cells : cells % 0x1_0000);
      i += size;
    }
  }

  /** Address of a cell; -1 when it is outside of the window. */
  #address(page: number, row: number, column: number): number {
    const base = this.#memory.readU8(Bda.videoMode) === 7 ? 0xb0000 : 0xb8000;
    const offset = this.#cell(page, row, column) * 2;
    return offset >= 0 && offset < 0x8000 ? base + offset : -1;
  }

  #cell(page: number, row: number, column: number): number {
    const start = (page & 7) * this.#memory.readU16(Bda.videoPageBytes);
    return (start >>> 1) + row * this.columns + column;
  }

  get #memory() {
    return this.#guest.host.memory;
  }

  #crtc(index: number, value: number): void {
    const port = this.#memory.readU16(Bda.crtcPort) === 0x3b4 ? 0x3b4 : 0x3d4;
    this.#guest.host.ports.write(port, 1, index);
    this.#guest.host.ports.write(port + 1, 1, value & 0xff);
  }

  #crtc16(index: number, value: number): void {
    this.#crtc(index, value >>> 8);
    this.#crtc(index + 1, value);
  }
}
